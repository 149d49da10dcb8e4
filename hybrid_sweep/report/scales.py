"""Means on other scales: differences of reciprocal ranks depend on where on the scale they are.

A change of .01 is a tenth of .1 and a ninetieth of .9, and of an error of .1 a tenth: whether one
loss is larger than another depends on the scale. Here the mean m of a measure is read on the scale
of its logarithm (a change is a ratio of means), of the logarithm of what is missing to 1 (a ratio
of errors), or of its logit (a ratio of odds).

The contributions y of questions and seeds are made linear about their mean, f(m) + f'(m) (y - m),
the delta method, so that the interval is the same crossed one as of the mean itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybrid_sweep.report.statistics import Array


@dataclass(frozen=True)
class Scale:
    """A function of a mean and its derivative. prefix, suffix: what stands about the measure in the
    name of a row, as in "log(RR@10)".
    """

    prefix: str
    suffix: str
    value: Callable[[Any], Any]
    slope: Callable[[Any], Any]

    def name(self, measure: str) -> str:
        """Return the name of a row of a measure on this scale."""
        return f"{self.prefix}{measure}{self.suffix}"

    def of(self, y: Array) -> Array:
        """Return contributions (..., S, G) to means on this scale; NaN where one has no value
        there.
        """
        if self is PLAIN:
            return y
        mean = y.mean(axis=(-2, -1), keepdims=True)
        mean = np.where((mean > 0) & (mean < 1), mean, np.nan)
        scaled: Array = self.value(mean) + self.slope(mean) * (y - mean)
        return scaled


PLAIN = Scale("", "", lambda mean: mean, lambda mean: 1.0)
LOG = Scale("log(", ")", np.log, lambda mean: 1 / mean)
LOG_ERROR = Scale("log(1 - ", ")", lambda mean: np.log1p(-mean), lambda mean: -1 / (1 - mean))
LOGIT = Scale(
    "logit(",
    ")",
    lambda mean: np.log(mean / (1 - mean)),
    lambda mean: 1 / (mean * (1 - mean)),
)


def scale_of(measure: str) -> tuple[Scale, str]:
    """Return the scale of the measure of a row, and the measure itself."""
    for scale in (LOG_ERROR, LOG, LOGIT):
        if measure.startswith(scale.prefix) and measure.endswith(scale.suffix):
            return scale, measure[len(scale.prefix) : -len(scale.suffix)]
    return PLAIN, measure
