"""The rows of comparison.csv."""

from typing import Annotated, TypedDict

from hybrid_sweep.report.rows import (
    CrossLingualExamples,
    High,
    High90,
    Kind,
    Low,
    Measured,
    MonolingualExamples,
    Questions,
    Ratio,
    Setting,
    Status,
)


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
    kind: Kind
    ratio: Ratio
    setting: Setting
    measure: Measured
    scope: Annotated[
        str,
        "macro, trained or unseen, as in results.csv; for monolingual RR@10 also each language",
    ]
    status: Status
    value: Annotated[float, "the level, change or difference"]
    low: Low
    high: High
    low_90: Annotated[
        float,
        "lower end of its 90 % interval, the one that a verdict reads; empty for levels",
    ]
    high_90: High90
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
    n_questions: Questions
    examples_monolingual: MonolingualExamples
    examples_cross_lingual: CrossLingualExamples
    run_ids: Annotated[str, "the runs in a level, separated by blanks"]
