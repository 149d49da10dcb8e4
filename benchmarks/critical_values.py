"""Critical values of many means at once, for simulations: interpolated, where `report.statistics`
integrates for each mean anew.
"""

import functools

import numpy as np
from scipy.interpolate import CubicSpline

from hybrid_sweep.report import statistics as st

KNOTS = 129  # of the spline: the critical value is right to 2e-5 of itself


@functools.lru_cache(maxsize=256)
def _spline(level: float, df_seeds: int, df_questions: float) -> CubicSpline:
    """Return the logarithm of the critical value over the angle whose squared sine is the share of
    the seeds in the variance.
    """
    angle = np.linspace(0, np.pi / 2, KNOTS)
    values = st.critical_value(level, np.sin(angle) ** 2, df_seeds, df_questions)
    return CubicSpline(angle, np.log(values))


def half_widths(estimated: st.Estimate, level: float) -> np.ndarray:
    """Return half the width of the two-sided intervals at `level` of an array of means.

    A mean is significant at 1 - level where it is further from zero.
    """
    if estimated.parts is None:
        return st.half_width(estimated, level)
    share = np.clip(st.share_of_seeds(estimated), 0.0, 1.0)
    spline = _spline(level, estimated.n_seeds - 1, estimated.df_questions)
    return np.exp(spline(np.arcsin(np.sqrt(share)))) * estimated.se
