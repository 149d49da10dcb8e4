"""The rows of merged.csv: trained ratios, and averages of weights against each of them."""

from typing import Annotated, TypedDict

from hybrid_sweep.report.columns import meanings


class MergedRow(TypedDict, total=False):
    """A row of merged.csv. Differences are paired: same seeds, same questions."""

    kind: Annotated[
        str,
        "trained: a trained ratio against the lowest one; averaged: an average of weights against"
        " a trained ratio",
    ]
    ratio: Annotated[float, "the trained ratio; empty for an average"]
    mixture: Annotated[str, "the average in words; empty for a trained ratio"]
    alpha: Annotated[float, "share of the higher ratio's weights in an average of two; else empty"]
    ratios: Annotated[str, "the ratios of the parents of an average, separated by blanks"]
    shares: Annotated[str, "the share of each parent in the weights, in the same order"]
    mean_ratio: Annotated[float, "mean of these ratios by their shares; of a trained ratio itself"]
    monolingual: Annotated[float, "mean of the monolingual measure over the seeds"]
    cross_lingual: Annotated[float, "mean of the cross-lingual measure over the seeds"]
    against: Annotated[float, "the trained ratio that the differences are to"]
    mono_delta: Annotated[float, "mean paired difference of the monolingual measure"]
    mono_low: Annotated[float, "lower end of its 95 % interval"]
    mono_high: Annotated[float, "upper end of its 95 % interval"]
    cross_delta: Annotated[float, "mean paired difference of the cross-lingual measure"]
    cross_low: Annotated[float, "lower end of its 95 % interval"]
    cross_high: Annotated[float, "upper end of its 95 % interval"]
    interval: Annotated[
        str, "crossed (seeds and questions) or conditional (questions alone): what they cover"
    ]
    mono_p: Annotated[float, "two-sided p of no monolingual difference; crossed intervals only"]
    mono_p_holm: Annotated[float, "the same, Holm over all averages, trained ratios and both axes"]
    cross_p: Annotated[float, "two-sided p of no cross-lingual difference"]
    cross_p_holm: Annotated[float, "the same, adjusted likewise"]
    p_average: Annotated[
        float,
        "p of: the average is not worse than the trained ratio by the margin on either axis, and"
        " better on one",
    ]
    p_average_holm: Annotated[
        float, "the same, Holm over all averages and trained ratios, in either direction"
    ]
    p_trained: Annotated[float, "p of the reverse: the trained ratio dominates the average"]
    p_trained_holm: Annotated[float, "the same, adjusted likewise"]
    word: Annotated[
        str,
        "average dominates, training dominates (each at adjusted 5 %), not shown, not tested"
        " (fewer than 3 seeds), or parent (all weight is on one parent: nothing to test)",
    ]
    nearest: Annotated[
        str,
        "monolingual, cross-lingual or both: where this average is, by the means, the nearest to"
        " the trained ratio",
    ]
    n_seeds: Annotated[int, "number of seeds: those with every ratio and every average"]
    n_questions: Annotated[int, "number of monolingual questions"]


COLUMNS = meanings(MergedRow)
