"""What `plan` says of the power of a sweep: what its seeds and questions can show at its margin."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid_sweep.utils.errors import UserError

if TYPE_CHECKING:
    from hybrid_sweep.data.collection import Collection
    from hybrid_sweep.report.power import Power, Variances
    from hybrid_sweep.sweeps.point_list import Point

FEWEST = 3  # seeds for a verdict: statistics.MIN_SEEDS
LOW = 0.5  # a power below it is warned of


@dataclass(frozen=True)
class _Planned:
    """A sweep of a command: its margin, seeds, monolingual questions, ratios, collection and
    primary measure; in_clusters: whether its report counts clusters of questions.
    """

    name: str
    margin: float
    n_seeds: int
    n_questions: int
    ratios: tuple[float, ...]
    collection: str
    primary: str
    in_clusters: bool = False


@dataclass(frozen=True)
class _Origin:
    """Where variances are from, in words, and the variances by ratio."""

    words: str
    variances: "list[Variances]"


def options(words: Sequence[str]) -> tuple[list[str], bool, Path | None]:
    """Return the words without --power and --like SWEEP, whether one of them is there, and the
    folder of the latter.
    """
    rest: list[str] = []
    asked = False
    like = None
    waiting = False
    for word in words:
        name, given, value = word.partition("=")
        if waiting:
            like = Path(word)
            waiting = False
        elif word == "--power":
            asked = True
        elif name == "--like" and given:
            like = Path(value)
        elif word == "--like":
            waiting = True
        else:
            rest.append(word)
    if waiting:
        raise UserError("--like needs the folder of a finished sweep", key="option.like")
    return rest, asked or like is not None, like


def power_lines(points: "Sequence[Point]", asked: bool, like: Path | None) -> list[str]:
    """Return what each sweep of a command can show; without being asked only a warning, where the
    power is below a half at some ratio.

    Args:
        points: of the command.
        asked: whether --power or --like was given.
        like: a finished sweep, or a published folder, with like variances; None for the published
            sweeps that are kept as data.
    """
    lines: list[str] = []
    for planned in _planned(points, asked):
        lines += _table(planned, like) if asked else _warning(planned)
    if asked and not lines:
        raise UserError(
            "--power: no sweep in these words has ratio 0 and another one; give several values of"
            " batch.cross_lingual_ratio, with -m",
            key="option.power",
        )
    return lines


def _planned(points: "Sequence[Point]", asked: bool) -> list[_Planned]:
    """Return the sweeps of a command that compare a ratio with ratio 0; unless asked, only those
    with enough seeds for a verdict, and not on generated text.
    """
    from hybrid_sweep.config.schema import SyntheticData
    from hybrid_sweep.data.datasets.sources import has_clusters
    from hybrid_sweep.inputs import prepare

    by_sweep: dict[Path, list[Point]] = {}
    for point in points:
        if point.kind == "trained":
            by_sweep.setdefault(point.sweep_dir, []).append(point)
    planned = []
    for own in by_sweep.values():
        config = own[0].config
        ratios = tuple(sorted({point.place[1] for point in own}))
        if ratios[0] != 0 or len(ratios) < 2:
            continue
        seeds = config.sweep.stated_seeds or len({point.config.seed for point in own})
        if not asked and (seeds < FEWEST or isinstance(config.data, SyntheticData)):
            continue
        collection = prepare.collection_of(config)
        planned.append(
            _Planned(
                config.sweep.name,
                config.sweep.margin,
                seeds,
                _count_questions(collection, config.eval.split),
                ratios,
                config.data.name,
                config.sweep.primary,
                has_clusters(collection, config.data.name),
            )
        )
    return planned


def _count_questions(collection: "Collection", split: str) -> int:
    """Return the number of questions of a split, without their texts in memory."""
    import pyarrow.compute as pc

    queries = collection.queries
    groups = queries["group"].filter(pc.equal(queries["split"], split))
    return int(pc.count_distinct(groups).as_py())


def _source(planned: _Planned, like: Path | None) -> _Origin:
    """Return the variances of a finished sweep, or of the published one with most seeds, on the
    same collection where there is one.
    """
    from hybrid_sweep.report import power
    from hybrid_sweep.report.measures import DEFAULT

    if like is not None:
        return _Origin(f"of {like}", _variances_in(like, planned.primary))
    published: list[dict[str, Any]] = power.published()
    alike = [one for one in published if one["collection"] == planned.collection]
    best = max(alike or published, key=lambda one: one["seeds"])
    words = (
        f"of the published sweep {best['name']} ({best['collection']}, {best['questions']:,}"
        f" questions, {best['seeds']} seeds)"
    )
    if not alike:
        words += ", on another collection: a rough guide"
    if planned.primary != DEFAULT:
        words += f"; they are of {DEFAULT}, and those of {planned.primary} may be others (--like)"
    return _Origin(words, power.variances_from(best))


def _variances_in(folder: Path, measure: str) -> "list[Variances]":
    """Return the variances of a measure of a sweep in a folder: outputs/sweeps/NAME, or a published
    one.
    """
    from hybrid_sweep.report import power, publish
    from hybrid_sweep.report.cluster_files import ClusterChoice
    from hybrid_sweep.report.load import load

    with tempfile.TemporaryDirectory() as outputs:
        sweep_dir = folder
        if (folder / "runs.json").is_file():
            sweep_dir = publish.thaw(folder, Path(outputs))
        elif not (folder / "points.json").is_file():
            raise UserError(f"--like {folder}: no sweep there (no points.json)", key="option.like")
        alone = ClusterChoice(is_off=True)
        variances = power.variances_of(load([sweep_dir], measure=measure, clusters=alone))
    if not variances:
        raise UserError(
            f"--like {folder}: no ratio above 0 has three seeds in common with ratio 0, so that"
            " nothing tells how much seeds vary",
            key="option.like",
        )
    return variances


def _expected(planned: _Planned, source: _Origin) -> "list[Power]":
    """Return the power at each ratio."""
    from hybrid_sweep.report import power

    variances = power.nearest(source.variances, planned.ratios)
    return power.expected(variances, planned.n_seeds, planned.n_questions, planned.margin)


def _needed(planned: _Planned, source: _Origin) -> list[float]:
    """Return the seeds for enough power at each ratio."""
    from hybrid_sweep.report import power

    variances = power.nearest(source.variances, planned.ratios)
    return power.seeds_for(variances, planned.n_questions, planned.margin)


def _seeds(number: float) -> str:
    from hybrid_sweep.report.power import MOST_SEEDS

    if number <= MOST_SEEDS:
        return f"{number:.0f}"
    return f"more than {MOST_SEEDS}"


def _table(planned: _Planned, like: Path | None) -> list[str]:
    """Return the power of one sweep, by ratio."""
    from hybrid_sweep.sweeps import plan_text

    source = _source(planned, like)
    head = (
        f"power of sweep {planned.name}: {planned.n_seeds} seeds, {planned.n_questions:,}"
        f" questions, margin {planned.margin:g}; variances {source.words}"
    )
    if planned.n_seeds < FEWEST:
        return [head, "  no verdict is possible with fewer than 3 seeds"]
    rows = [("", "ratio", "half-width", "power", "seeds for 80 %")]
    tested = zip(_expected(planned, source), _needed(planned, source), strict=True)
    for row, needed in tested:
        cells = f"{row.ratio:g}", f"{row.half_width:.4f}", f"{100 * row.power:.0f} %"
        rows.append(("", *cells, "too few questions" if row.too_few else _seeds(needed)))
    lines = [
        head,
        *plan_text.table(rows),
        "  half-width: of the 90 % interval of a change; power: how often a ratio without any loss"
        " is called non-inferior",
    ]
    if planned.in_clusters:
        lines.append(
            "  questions are taken for independent here; the report counts the clusters that they"
            " are in, and its intervals are no narrower than these"
        )
    return lines


def _warning(planned: _Planned) -> list[str]:
    """Return a warning where the power is low, by the published sweeps."""
    source = _source(planned, None)
    rows = _expected(planned, source)
    low = [row for row in rows if row.power < LOW]
    if not low:
        return []
    ratios = ", ".join(f"{row.ratio:g}" for row in low)
    at_least = min(row.power for row in low)
    if any(row.too_few for row in low):
        advice = "more questions are needed"
    else:
        advice = f"{_seeds(max(_needed(planned, source)))} seeds would do in four of five"
    return [
        f"warning: sweep {planned.name}: with {planned.n_seeds} seeds and {planned.n_questions:,}"
        f" questions a ratio without any loss is called non-inferior in fewer than half of such"
        f" sweeps at r = {ratios} ({100 * at_least:.0f} % at worst), if they vary like those"
        f" {source.words}; {advice} (hybrid-sweep plan --power)"
    ]
