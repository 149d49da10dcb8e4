"""The rows of comparison.csv."""

from typing import Annotated, TypedDict


class ComparisonRow(TypedDict, total=False):
    """A row of comparison.csv."""

    statistic: Annotated[
        str,
        "level: mean of a sweep at a ratio. change: its paired difference to its own ratio "
        "0. slope: change of its mean per unit of r (least squares), as in derived.csv. "
        "difference: level of this sweep minus that of `against`. difference of changes: "
        "change of this sweep minus that of `against`",
    ]
    sweep: Annotated[str, "name of the sweep; with a number where names repeat"]
    against: Annotated[str, "the first sweep, in the rows of a difference"]
    kind: Annotated[
        str,
        "trained, untrained (the encoder before its first step) or bm25 (words alone)",
    ]
    ratio: Annotated[
        float,
        "cross-lingual share of the training steps; empty for untrained and bm25",
    ]
    setting: Annotated[
        str,
        "monolingual, cross-lingual or multilingual; empty in the row of a missing point",
    ]
    measure: Annotated[
        str,
        "RR@10, AP, same@10 (share of the top 10 in the query's language) or RD (rank "
        "distance, in ranks)",
    ]
    scope: Annotated[
        str,
        "macro, trained or unseen, as in results.csv; for monolingual RR@10 also each language",
    ]
    status: Annotated[
        str,
        "complete; partial: a point of this ratio is missing; missing: the row stands for "
        "one missing point",
    ]
    value: Annotated[float, "the level, change or difference"]
    low: Annotated[float, "lower end of its 95 % interval"]
    high: Annotated[float, "upper end of its 95 % interval"]
    low_90: Annotated[
        float,
        "lower end of its 90 % interval, the one that a verdict reads; empty for levels",
    ]
    high_90: Annotated[float, "upper end of its 90 % interval"]
    interval: Annotated[
        str,
        "crossed: over seeds (paired, where two ratios or sweeps are compared) and "
        "questions; independent: over the seeds of each sweep apart and the shared "
        "questions; conditional: over questions alone; none",
    ]
    p: Annotated[
        float,
        "two-sided p of no change or no difference; only with a crossed or independent interval",
    ]
    p_holm: Annotated[
        float,
        "p adjusted (Holm): a change, over the ratios of its sweep; a slope, over its "
        "curves; a difference, over the ratios of all sweeps",
    ]
    margin: Annotated[float, "the margin of non-inferiority that the sweep states"]
    verdict: Annotated[
        str,
        "monolingual changes: superior, non-inferior, inconclusive, degraded or untested, "
        "at the sweep's own margin",
    ]
    largest_non_inferior: Annotated[
        float,
        "monolingual changes: largest ratio of the sweep still non-inferior with every smaller one",
    ]
    seeds: Annotated[str, "the seeds of this sweep in the value, separated by blanks"]
    seeds_against: Annotated[str, "those of `against`"]
    n_questions: Annotated[
        int,
        "number of questions (groups): all language versions of one count once",
    ]
    examples_monolingual: Annotated[
        float,
        "mean number of monolingual training examples of a run; empty where not recorded",
    ]
    examples_cross_lingual: Annotated[
        float,
        "mean number of cross-lingual training examples of a run; empty where not recorded",
    ]
    run_ids: Annotated[str, "the runs in a level, separated by blanks"]
