"""The table of derived statistics: shape, trade-off, and who wins and loses, from the per-query
rows and the results.
"""

import pandas as pd

from hybrid_sweep.report.curves import complete, curves, draw
from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.results import typed
from hybrid_sweep.report.shape import shapes
from hybrid_sweep.report.tradeoff import fronts, prices, winners

# The columns of derived.csv. Every interval is two-sided 95 %.
COLUMNS = {
    "statistic": (
        "slope, isotonic (the closest monotone curve), reversal, front (Pareto front), price or"
        " language"
    ),
    "setting": "the setting of the curve; front and price: monolingual",
    "measure": "the measure of the curve, as in results.csv",
    "scope": "macro, trained, unseen or a language",
    "against": (
        "front and price: what monolingual RR@10 is weighed against; reversal: the lower ratio of"
        " the move"
    ),
    "ratio": "the ratio it is about; reversal: the higher one of the move; empty for slope",
    "value": (
        "slope: change of the mean per unit of r, least squares over the ratios. isotonic: fitted"
        " change to r = 0. reversal: the largest significant move against the curve's direction, or"
        " the move nearest to it. front: share of the bootstrap replicates with the ratio on the"
        " front. price: monolingual RR@10 lost per unit of `against` gained (a gain of same@10 or"
        " RD is a fall); negative: both gain. language: mean paired difference to r = 0"
    ),
    "low": "lower end of the interval or band; empty for front",
    "high": "upper end of the interval or band",
    "interval": (
        "crossed: over seeds and questions; bootstrap: over both too (isotonic: a band for the"
        " whole curve, if it is monotone); conditional: over questions alone; none"
    ),
    "p": "two-sided p of no change; only with a crossed interval",
    "p_holm": (
        "p adjusted (Holm): slope: over the curves; reversal: over the pairs of ratios; language:"
        " over the languages at that ratio"
    ),
    "word": (
        "slope: rises, falls, not shown. isotonic: rising, falling, flat. reversal: not monotone,"
        " no reversal shown. front: on the front, off the front (by the means). price: stated, no"
        " loss (both gain), no gain shown. language: winner, loser, not shown. Each shown at"
        " adjusted 5 %"
    ),
    "n_seeds": (
        "number of seeds: slope, isotonic, reversal and front take those that have every ratio"
    ),
    "n_questions": "number of questions",
}
TEXT = ["statistic", "setting", "measure", "scope", "against", "interval", "word"]
COUNTS = ["n_seeds", "n_questions"]


def derived(sweep: Sweep, results: pd.DataFrame) -> pd.DataFrame:
    """Return the derived statistics of a sweep, one row each, columns as in `COLUMNS`; empty where
    nothing can be derived.

    `results` is that of `aggregate` for the same sweep. Numbers are rounded to nine significant
    digits; the bootstraps are seeded by the number of seeds and questions, so that the same tables
    give the same frame in any order.
    """
    found = curves(sweep)
    rows = []
    if found and any(point.kind == "trained" for point in sweep.finished):
        draws = draw(len(complete(sweep)[1]), found)
        rows = (
            shapes(sweep, found, draws)
            + fronts(sweep, found, draws)
            + prices(sweep, results, found)
        )
        rows += winners(results)
    return typed(pd.DataFrame(rows, columns=list(COLUMNS)), TEXT, COUNTS)
