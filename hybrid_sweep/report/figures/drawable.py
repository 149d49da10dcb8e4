"""What figures and pages may draw of the derived statistics: what the report's sentences tell."""

import pandas as pd

CURVE = ["setting", "measure", "scope"]
TESTED = ("slope", "isotonic", "band", "knee", "front")
# Intervals that say nothing of other seeds.
UNTESTED = ("conditional", "none")


def drawable(derived: pd.DataFrame) -> pd.DataFrame:
    """Return the rows without lines, bands, turns and fronts that rest on too few seeds or on one
    question: the sentences say that there are none.
    """
    untested = derived["statistic"].isin(TESTED) & derived["interval"].isin(UNTESTED)
    kept = derived[~untested]
    slopes = kept[kept["statistic"] == "slope"]
    with_slope = pd.MultiIndex.from_frame(kept[CURVE]).isin(pd.MultiIndex.from_frame(slopes[CURVE]))
    return kept[(kept["statistic"] != "reversal") | with_slope]
