"""The distribution behind the crossed intervals, by adaptive quadrature and a root finder."""

import math

import scipy.integrate
import scipy.optimize
import scipy.special


def chi2_density(x: float, df: int) -> float:
    """The density of chi-square; that of scipy.stats is ten times as slow for single values."""
    half = df / 2
    return math.exp((half - 1) * math.log(x / 2) - x / 2 - math.lgamma(half)) / 2


def beyond(size: float, share: float, df_seeds: int, df_questions: float) -> float:
    """P(|sqrt(share) T + sqrt(1 - share) U| > size), given the chi-square of T."""

    def given(w: float) -> float:
        v = share / w + 1 - share
        df = df_questions * (v / max(1 - share, 1e-6)) ** 2
        tail = scipy.special.stdtr(df, -size / math.sqrt(v))
        return float(2 * tail * chi2_density(df_seeds * w, df_seeds) * df_seeds)

    pieces = [(0, 0.01), (0.01, 0.2), (0.2, 3), (3, 40)]
    return sum(scipy.integrate.quad(given, *ends, epsabs=1e-13)[0] for ends in pieces)


def quantile(level: float, share: float, df_seeds: int, df_questions: float) -> float:
    """The size that is exceeded with a chance of 1 - level."""
    return float(
        scipy.optimize.brentq(
            lambda size: beyond(size, share, df_seeds, df_questions) - 1 + level, 0.1, 100
        )
    )
