"""The measures that a report shows: what each is called, whether more of it is better, its digits
and its column in a table.

Every table, sentence and menu takes these words and digits from here.
"""

import re
from dataclasses import dataclass, replace
from functools import cache

from hybrid_sweep.report.cluster_files import AS_KEPT, ClusterChoice
from hybrid_sweep.retrieval.measures import OF_LANGUAGES, UNCUT, parsed

SETTINGS = ("monolingual", "cross-lingual", "multilingual")
DEFAULT = "RR@10"  # the measure that curve and verdicts are on unless another is asked for


@dataclass(frozen=True)
class Shown:
    """What curve and verdicts of a report are on, and the primary measure, which the margin was
    stated for; and which questions belong together.
    """

    measure: str = DEFAULT
    primary: str = DEFAULT
    clusters: ClusterChoice = AS_KEPT


@dataclass(frozen=True)
class Measure:
    """A measure in one setting.

    name: in the middle of a sentence. column: head of its column. latex: head in table.tex; "" for
    a measure that it does not show. digits: after the point. better: +1 where more is better, -1
    where less is. unit: what a price is given for, "" where monolingual retrieval is not weighed
    against it. per: that unit in the units of the measure, a point being a hundredth.
    """

    setting: str
    measure: str
    name: str
    column: str
    latex: str = ""
    digits: int = 3
    better: int = 1
    unit: str = ""
    per: float = 0.01

    @property
    def place(self) -> tuple[str, str]:
        """Return setting and measure, as they stand in the columns of results.csv."""
        return self.setting, self.measure

    @property
    def key(self) -> str:
        """Return what the column `against` of derived.csv calls it."""
        return f"{self.setting} {self.measure}"

    @property
    def title(self) -> str:
        """Return the name at the beginning of a line."""
        return self.name[0].upper() + self.name[1:]

    @property
    def noun(self) -> str:
        """Return the name in the middle of a sentence, with an article where it needs one."""
        return self.name if self.better > 0 else f"the {self.name}"

    @property
    def subject(self) -> str:
        """Return the same at the beginning of a sentence."""
        return self.noun[0].upper() + self.noun[1:]

    @property
    def gain(self) -> str:
        """Return what a better value is called."""
        return self.name if self.better > 0 else f"a smaller {self.name}"

    @property
    def unit_gained(self) -> str:
        """Return one unit of its gain: what a price is paid for."""
        verb = "of {} gained" if self.better > 0 else "taken off the {}"
        return f"each {self.unit} {verb.format(self.name)}"


MONOLINGUAL = Measure("monolingual", "RR@10", "monolingual MRR@10", "mono MRR@10", "Mono")
CROSS_LINGUAL = Measure(
    "cross-lingual", "RR@10", "cross-lingual MRR@10", "cross MRR@10", "Cross", unit="point"
)
POOLED_PRECISION = Measure("multilingual", "AP", "multilingual mAP", "multi mAP", "mAP")
POOLED_RANK = Measure("multilingual", "RR@10", "multilingual MRR@10", "multi MRR@10")
SAME_LANGUAGE = Measure(
    "multilingual",
    "same@10",
    "same-language share of the top 10",
    "same-lang",
    "Same",
    better=-1,
    unit="point",
)
# rank_max - rank_min of a question's relevant passages in the pool of all languages
RANK_DISTANCE = Measure(
    "multilingual",
    "RD",
    "rank distance",
    "rank dist.",
    "Dist.",
    digits=1,
    better=-1,
    unit="100 ranks",
    per=100,
)


# What eval.measures may name of the pool of all languages alone.
BIAS = (
    Measure("multilingual", "LPR", "language preference rate", "LPR", "LPR", better=-1),
    Measure("multilingual", "Max@R", "last relevant rank", "Max@R", "Max@R", digits=1, better=-1),
    Measure(
        "multilingual",
        "AWRF@10",
        "attention-weighted rank fairness of the top 10",
        "AWRF@10",
        "AWRF",
    ),
    Measure(
        "multilingual",
        "MRC@10",
        "mean rank correlation of a question's language versions",
        "MRC@10",
        "MRC",
    ),
)


@dataclass(frozen=True)
class Measures:
    """The measures of one report.

    name: of what its curve and its verdicts are on. mono, cross, pooled: that measure in the three
    settings. asked: those of eval.measures. all: all that have rows in results.csv, in their order.
    """

    name: str
    mono: Measure
    cross: Measure
    pooled: Measure
    asked: tuple[Measure, ...]
    all: tuple[Measure, ...]

    @property
    def title(self) -> str:
        """Return the name of the mean of the measure, as "MRR@10"."""
        return title_of(self.name)

    @property
    def traded(self) -> tuple[Measure, ...]:
        """Return those that monolingual retrieval is weighed against."""
        return tuple(measure for measure in self.all if measure.unit)

    @property
    def shown(self) -> tuple[Measure, ...]:
        """Return those with a column in the tables by ratio."""
        return tuple(measure for measure in self.all if measure.latex)

    @property
    def shaped(self) -> tuple[Measure, ...]:
        """Return those whose curve has a shape."""
        aside = (self.pooled, *self.asked)
        return tuple(measure for measure in self.all if measure not in aside)


def title_of(name: str) -> str:
    """Return the name of the mean of a measure: MRR@10 of RR@10, mAP of AP, else the same."""
    return re.sub(r"^(RR|AP)(?=@|\(|-|$)", lambda kind: {"RR": "MRR", "AP": "mAP"}[kind[0]], name)


def meaning(name: str) -> str:
    """Return what the mean of a measure is, in a sentence without its end."""
    about, title = parsed(name), title_of(name)
    if about is None or about.least > 1 or about.kind not in _MEANINGS:
        return f"{title} is a measure of retrieval from 0 to 1"
    whole = about.cut == UNCUT
    return f"{title} is {_MEANINGS[about.kind][whole].format(k=about.cut)}"


# of measures with a cut, and without
_MEANINGS = {
    "RR": (
        "the mean of 1 / rank of the first right passage, 0 beyond rank {k}",
        "the mean of 1 / rank of the first right passage",
    ),
    "AP": (
        "the mean precision at the ranks of the right passages, 0 beyond rank {k}",
        "the mean precision at the ranks of the right passages",
    ),
    "nDCG": ("the gain of the first {k} passages as a share of that of the best order", ""),
    "R": ("the share of the right passages that are among the first {k}", ""),
    "P": ("the share of right passages among the first {k}", ""),
    "Success": ("the share of questions with a right passage among the first {k}", ""),
}


def _in_setting(setting: str, measure: str) -> Measure:
    """Return any measure of retrieval in a setting, under the names that reports use."""
    short = {"monolingual": "mono", "cross-lingual": "cross", "multilingual": "multi"}[setting]
    title = title_of(measure)
    return Measure(setting, measure, f"{setting} {title}", f"{short} {title}")


@cache
def measures_on(name: str, asked: tuple[str, ...] = ()) -> Measures:
    """Return the measures of a report whose curve and verdicts are on one of them.

    asked: the names of eval.measures.
    """
    mono, cross, pooled = MONOLINGUAL, CROSS_LINGUAL, POOLED_RANK
    if name != DEFAULT:
        mono = replace(_in_setting("monolingual", name), latex=mono.latex)
        cross = replace(_in_setting("cross-lingual", name), latex=cross.latex, unit=cross.unit)
        pooled = _in_setting("multilingual", name)
    every = [mono, cross, POOLED_PRECISION, pooled, SAME_LANGUAGE, RANK_DISTANCE]
    if pooled.place == POOLED_PRECISION.place:
        every.remove(pooled)
    places = [measure.place for measure in every]
    of_each = [one for one in asked if one not in OF_LANGUAGES]
    more = [_in_setting(setting, one) for one in of_each for setting in SETTINGS]
    more += [measure for measure in BIAS if measure.measure in asked]
    more = [measure for measure in more if measure.place not in places]
    return Measures(name, mono, cross, pooled, tuple(more), (*every, *more))


def measure_of(setting: str, measure: str) -> Measure:
    """Return the measure of a row of results.csv."""
    for one in (*MEASURES, *BIAS):
        if one.place == (setting, measure):
            return one
    return _in_setting(setting, measure)


# Those of the default report: all, those with a price, those with a column in the tables.
MEASURES = measures_on(DEFAULT).all
TRADED = measures_on(DEFAULT).traded
SHOWN = measures_on(DEFAULT).shown
