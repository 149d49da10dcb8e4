"""Critical values of many means at once, interpolated over the share of the seeds in the variance.

The exact value of each mean is `statistics.critical_value`; simulations ask for millions of them.
"""

import functools

import numpy as np
from scipy.interpolate import CubicSpline

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.statistics import Array

KNOTS = 129  # of the spline: the critical value is right to 3e-5 of itself


@functools.lru_cache(maxsize=256)
def _spline(level: float, df_seeds: int, df_questions: float) -> CubicSpline:
    """Return the logarithm of the critical value over the angle whose squared sine is the share of
    the seeds in the variance.
    """
    angle = np.linspace(0, np.pi / 2, KNOTS)
    values = st.critical_value(level, [np.sin(angle) ** 2], (df_seeds,), df_questions)
    return CubicSpline(angle, np.log(values))


def interpolated(level: float, share: Array, df_seeds: int, df_questions: float) -> Array:
    """Return half the width of two-sided intervals in standard errors.

    Args:
        level: e.g. 0.95.
        share: of the seeds in the variance of each mean, from 0 to 1; any shape.
        df_seeds: number of seeds less one.
        df_questions: degrees of freedom of the questions.
    """
    angle = np.arcsin(np.sqrt(np.clip(share, 0.0, 1.0)))
    values: Array = np.exp(_spline(level, df_seeds, df_questions)(angle))
    return values
