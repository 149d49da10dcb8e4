"""The rows of results.csv and derived.csv.

Intervals of results.csv are two-sided, over seeds and questions where "crossed", over questions
alone where "conditional". Effects (delta and after) compare with ratio 0, same seeds, same
questions. Every interval of derived.csv is two-sided 95 %.
"""

from typing import Annotated, TypedDict

from hybrid_sweep.report.columns import OPTIONAL

# Columns that several tables have.
Kind = Annotated[
    str,
    "trained, untrained (the encoder before its first step) or bm25 (words alone)",
]
Ratio = Annotated[float, "cross-lingual share of the training steps; empty for untrained and bm25"]
Setting = Annotated[
    str,
    "monolingual, cross-lingual or multilingual; empty in the row of a missing point",
]
Measured = Annotated[
    str,
    "RR@10, AP, same@10 (share of the top 10 in the query's language) or RD (rank "
    "distance, in ranks)",
]
Status = Annotated[
    str,
    "complete; partial: a point of this ratio is missing; missing: the row stands "
    "for one missing point",
]
Questions = Annotated[int, "number of questions (groups): all language versions of one count once"]
Low = Annotated[float, "lower end of its 95 % interval"]
High = Annotated[float, "upper end of its 95 % interval"]
High90 = Annotated[float, "upper end of its 90 % interval"]
MonolingualExamples = Annotated[
    float,
    "mean number of monolingual training examples of a run; empty where not recorded",
]
CrossLingualExamples = Annotated[
    float,
    "mean number of cross-lingual training examples of a run; empty where not recorded",
]


class ResultRow(TypedDict, total=False):
    """A row of results.csv."""

    kind: Kind
    ratio: Ratio
    setting: Setting
    measure: Measured
    scope: Annotated[
        str,
        "a query language, an ordered pair query>passage, or macro: the plain mean over "
        "these; where some language was not trained on also trained and unseen: the mean "
        "over the languages, or pairs, trained on alone, and over the rest",
    ]
    status: Status
    seeds: Annotated[str, "the seeds in the mean, separated by blanks"]
    n_seeds: Annotated[int, "number of these seeds"]
    n_questions: Questions
    n_clusters: Annotated[
        int,
        "number of clusters that these are in: what intervals, df and carrying count in place of"
        " questions",
        OPTIONAL,
    ]
    n_rows: Annotated[int, "number of rows of the per-query table of each run in the mean"]
    mean: Annotated[float, "mean of the measure over domain means and seeds"]
    low: Low
    high: High
    interval: Annotated[str, "crossed or conditional: what the interval of the mean covers"]
    delta: Annotated[float, "mean paired difference to ratio 0"]
    delta_low: Low
    delta_high: High
    delta_low_90: Annotated[float, "lower end of its 90 % interval, the one that the verdict reads"]
    delta_high_90: High90
    half_width: Annotated[
        float,
        "half of the width of its 90 % interval: what a verdict at this margin can tell apart",
    ]
    df: Annotated[
        float,
        "degrees of freedom of Student's t with the same 95 % interval: one less than the seeds "
        "where only these matter, up to those of the questions",
    ]
    carrying: Annotated[
        float,
        "effective number of questions that carry the difference; below 10, or with questions "
        "times margin below 3, no ratio is called non-inferior",
    ]
    delta_seeds: Annotated[int, "number of seeds that both ratios have"]
    delta_interval: Annotated[
        str,
        "crossed or conditional: what the intervals of the difference cover",
    ]
    relative: Annotated[float, "delta as a share of the mean at ratio 0 (same seeds)"]
    relative_low: Low
    relative_high: High
    won: Annotated[
        int,
        "questions whose mean difference to ratio 0, over the common seeds and the "
        "question's rows, is above 0",
    ]
    tied: Annotated[int, "questions whose mean difference is 0"]
    lost: Annotated[int, "questions whose mean difference is below 0"]
    p: Annotated[float, "two-sided p of no difference; only with a crossed interval"]
    p_holm: Annotated[
        float,
        "p adjusted (Holm) for the ratios compared; of a language or pair, for all languages or "
        "pairs and ratios",
    ]
    p_loss: Annotated[
        float, "one-sided p of a loss no larger than the margin; monolingual rows only"
    ]
    p_loss_holm: Annotated[float, "p_loss adjusted like p; below .05 the verdict is degraded"]
    verdict: Annotated[
        str,
        "monolingual rows: baseline, superior, non-inferior, inconclusive, degraded or untested",
    ]
    seeds_to_settle_low: Annotated[
        float,
        "where inconclusive: seeds for an 80 % chance of a verdict, if variance and distance to "
        "the margin are at the better quartile of what the estimates allow; inf: more questions "
        "are needed",
    ]
    seeds_to_settle_high: Annotated[float, "the same at the worse quartile"]
    examples_monolingual: MonolingualExamples
    examples_cross_lingual: CrossLingualExamples
    run_ids: Annotated[str, "the runs in the mean, separated by blanks, in the order of the seeds"]


class DerivedRow(TypedDict, total=False):
    """A row of derived.csv."""

    statistic: Annotated[
        str,
        "slope, isotonic (the closest monotone curve), band, knee, reversal, front (Pareto front), "
        "price, largest (the largest ratio still non-inferior) or language",
    ]
    setting: Annotated[str, "the setting of the curve; front and price: monolingual"]
    measure: Annotated[str, "the measure of the curve, as in results.csv"]
    scope: Annotated[str, "macro, trained, unseen or a language"]
    against: Annotated[
        str,
        "front and price: what monolingual RR@10 is weighed against; reversal: the lower "
        "ratio of the move",
    ]
    ratio: Annotated[
        float,
        "the ratio it is about; reversal: the higher one of the move; empty for slope, knee and "
        "largest",
    ]
    value: Annotated[
        float,
        "slope: change of the mean per unit of r, least squares over the ratios. isotonic: "
        "fitted change to r = 0. band: change to r = 0. knee: the ratio where a flat part and a "
        "straight line meet, by least squares. reversal: the largest significant move against the "
        "curve's direction, or the move nearest to it. front: share of the bootstrap samples, of "
        "seeds and questions, with the ratio on the front. price: monolingual RR@10 lost per unit "
        "of `against` gained (a gain of same@10 or RD is a fall); negative: both gain. largest: "
        "the ratio. language: mean paired difference to r = 0",
    ]
    low: Annotated[float, "lower end of the interval or band; empty for front"]
    high: Annotated[float, "upper end of the interval or band"]
    interval: Annotated[
        str,
        "crossed: over seeds and questions (largest: 90 %); simultaneous: over both, for the whole "
        "curve at once (isotonic: if it is monotone; knee: if it has this form); bootstrap: over "
        "both, by resampling; conditional: over questions alone; none",
    ]
    p: Annotated[float, "two-sided p of no change; only with a crossed interval"]
    p_holm: Annotated[
        float,
        "p adjusted (Holm): slope: over the curves; reversal: over the pairs of ratios; front: of "
        "no rival that is better on both axes, over all ordered pairs of ratios; language: over "
        "the languages and ratios",
    ]
    word: Annotated[
        str,
        "slope: rises, falls, not shown. isotonic: rising, falling, flat. knee: flat, then a line; "
        "a line, then flat; none identified (a straight line or no change lies within the band). "
        "reversal: not monotone, no reversal shown. front: dominated (another ratio is better on "
        "both axes), not shown to be dominated, not tested. price: stated, no loss (both gain), no "
        "gain shown. largest: shown, none shown. language: winner, loser, not shown. Each shown at "
        "adjusted 5 %",
    ]
    by_means: Annotated[str, "front: on the front or off the front, by the means alone"]
    rival: Annotated[float, "front: the ratio that is most clearly better on both axes"]
    n_seeds: Annotated[
        int,
        "number of seeds: slope, band, isotonic, knee, reversal and front take those that have "
        "every ratio",
    ]
    n_questions: Annotated[int, "number of questions"]
