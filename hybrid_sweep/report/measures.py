"""The measures that a report shows: what each is called, whether more of it is better, its digits
and its column in a table.

Every table, sentence and menu takes these words and digits from here.
"""

from dataclasses import dataclass


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

MEASURES = (
    MONOLINGUAL,
    CROSS_LINGUAL,
    POOLED_PRECISION,
    POOLED_RANK,
    SAME_LANGUAGE,
    RANK_DISTANCE,
)
# Those that monolingual retrieval is weighed against.
TRADED = tuple(measure for measure in MEASURES if measure.unit)
# Those with a column in the tables by ratio.
SHOWN = tuple(measure for measure in MEASURES if measure.latex)


def measure_of(setting: str, measure: str) -> Measure:
    """Return the measure of a row of results.csv; KeyError where there is none."""
    return _BY_PLACE[setting, measure]


_BY_PLACE = {measure.place: measure for measure in MEASURES}
