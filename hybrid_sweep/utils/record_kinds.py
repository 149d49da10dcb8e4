"""The kinds of JSON files of runs and sweeps: which fields readers rely on, and of which types."""

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, TypeAdapter
from pydantic import model_validator as checked

from hybrid_sweep.utils import names

RunId = Annotated[str, AfterValidator(lambda value: names.run_id(value, "run_id"))]
Collection = Annotated[str, AfterValidator(lambda value: names.collection(value, "name"))]
FolderName = Annotated[str, AfterValidator(lambda value: names.folder_name(value, "name"))]
Language = Annotated[str, AfterValidator(lambda value: names.language(value, "language"))]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Texts = dict[str, str]
Short = Annotated[str, Field(max_length=1000)]
Matrix = list[list[Finite | None]]


class Record(BaseModel):
    """A JSON object whose fields have the types that its readers rely on; other fields are kept as
    they are.
    """

    model_config = ConfigDict(strict=True, extra="allow")


class PlannedPoint(Record):
    """One planned run in points.json."""

    run_id: RunId
    ratio: Share
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    kind: Literal["trained", "untrained", "bm25"]
    also: list[Collection] = []
    overrides: list[str] = []


class PointList(Record):
    """points.json of a sweep."""

    name: FolderName
    margin: Annotated[Finite, Field(ge=0)]
    command: str = ""
    points: list[PlannedPoint]


class MergedPoint(Record):
    """One average of weights: in merged.json of a sweep, and merge.json of its own run."""

    run_id: RunId
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    ratios: Annotated[list[Share], Field(min_length=2, max_length=100)]
    shares: list[Share]
    parents: list[RunId]
    also: list[Collection] = []

    @checked(mode="after")
    def _one_of_each(self) -> "MergedPoint":
        if not len(self.ratios) == len(self.shares) == len(self.parents):
            raise ValueError("ratios, shares and parents are not as many of each")
        if self.ratios != sorted(set(self.ratios)):
            raise ValueError("ratios are not in order, or one occurs twice")
        if abs(sum(self.shares) - 1) > 1e-6:
            raise ValueError("shares do not add up to 1")
        return self


class MergedList(Record):
    """merged.json of a sweep."""

    points: list[MergedPoint]

    @checked(mode="after")
    def _each_once(self) -> "MergedList":
        run_ids = {point.run_id for point in self.points}
        places = {(tuple(point.ratios), tuple(point.shares), point.seed) for point in self.points}
        if min(len(run_ids), len(places)) < len(self.points):
            raise ValueError("an average occurs twice")
        return self


class Bias(Record):
    """The report on language bias in metrics.json."""

    languages: list[Language] = []
    rank_distance: dict[str, dict[str, Finite | None]] = {}
    answer_rr: Matrix = []
    first_relevant: Matrix = []
    first_retrieved: Matrix = []

    @checked(mode="after")
    def _square(self) -> "Bias":
        size = len(self.languages)
        for name in ("answer_rr", "first_relevant", "first_retrieved"):
            matrix = getattr(self, name)
            if matrix and [len(row) for row in matrix] != [size] * size:
                raise ValueError(f"{name} is no matrix of {size} languages")
        return self


class Metrics(Record):
    """metrics.json of a run, or of its evaluation on a further collection."""

    __pydantic_extra__: dict[str, JsonValue]
    run_id: RunId
    ratio: Share = 0.0
    seed: Count = 0
    stage: str = ""
    collection: str = ""
    fingerprint: str = ""
    languages: list[Language] = []
    passages: dict[str, Count] = {}
    queries: Count = 0
    measures: list[str] = []
    run_depth: Count = 0
    bias: Bias | None = None
    dev: dict[str, JsonValue] | None = None
    examples_monolingual: Count | None = None
    examples_cross_lingual: Count | None = None
    training_pairs: dict[str, Count] = {}
    per_query: Texts | None = None
    run_files: Texts | None = None
    digest: str = ""

    @checked(mode="after")
    def _numbers(self) -> "Metrics":
        for name, value in (self.__pydantic_extra__ or {}).items():
            # SETTING/MEASURE is a mean, and is printed as one.
            if "/" in name and not _is_mean(value):
                raise ValueError(f"{names.shown(name)} is no number")
        return self


def _is_mean(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        return False
    return value is None or (abs(value) < 2**63 and math.isfinite(value))


class Provenance(Record):
    """provenance.json of a run, or of an evaluation."""

    versions: dict[Short, Short] = {}
    git: dict[Short, Short | bool] = {}
    fingerprints: dict[str, JsonValue] = {}
    hardware: dict[str, str | int | float | bool | None] = {}
    times: dict[str, str | Finite | None] = {}
    collection: dict[str, JsonValue] = {}
    trainer: dict[str, JsonValue] = {}


class Identity(Record):
    """identity.json of a run: what it was planned with."""

    run_id: RunId
    fingerprints: dict[str, JsonValue]


class Published(Record):
    """What runs.json of a published sweep holds of one run."""

    config: dict[str, JsonValue]
    provenance: Provenance
    metrics: dict[Literal[""] | Collection, Metrics]
    evaluated: dict[Collection, Provenance] = {}


class StatusRecord(Record):
    """status.json: how far a run has come."""

    state: str | None = None
    step: Count | None = None
    max_steps: Count | None = None
    loss: float | None = None
    steps_per_second: float | None = None
    first_step: Count | None = None
    error: str | None = None
    encoded: Count | None = None
    texts: Count | None = None
    collection: str | None = None


class Named(Record):
    """A group of a stored config that has a name."""

    name: str


class Ratio(Record):
    """The group batch of a stored config."""

    cross_lingual_ratio: Share


class Steps(Record):
    """The group trainer of a stored config."""

    max_steps: Count


class Logger(Record):
    """The group logger of a stored config."""

    mode: str = "offline"
    project: str | None = None
    entity: str | None = None


class Described(Record):
    """What the mirror of a run says of its config."""

    seed: Count
    model: Named
    batch: Ratio
    trainer: Steps
    sweep: Named
    logger: Logger


PUBLISHED: TypeAdapter[dict[str, Published]] = TypeAdapter(dict[RunId, Published])
STORED_ROWS = TypeAdapter(dict[str, dict[str, list[RunId]]])
