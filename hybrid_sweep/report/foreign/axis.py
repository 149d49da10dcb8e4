"""A setting of several sweeps as what is compared: tidy rows, each ratio a system of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hybrid_sweep.report.cluster_files import AS_KEPT, ClusterChoice
from hybrid_sweep.report.clusters import CLUSTER
from hybrid_sweep.report.foreign.rows import tidy
from hybrid_sweep.report.load import Sweep, load
from hybrid_sweep.report.looks import Looks
from hybrid_sweep.report.settings import (
    REST,
    VARIED,
    Difference,
    check,
    differences,
    settings,
)
from hybrid_sweep.utils.errors import UserError

# Settings that have no effect where another one is 0.
IDLE = {
    "loss.alignment.of": "loss.alignment.weight",
    "loss.alignment.divergence": "loss.alignment.weight",
    "loss.distillation.loss": "loss.distillation.weight",
    "loss.distillation.over": "loss.distillation.weight",
    "loss.distillation.temperature": "loss.distillation.weight",
}
# Content that is read only where its setting is not 0.
IDLE_CONTENT = {"fingerprint of teacher": "loss.distillation.weight"}


@dataclass(frozen=True)
class AxisRows:
    """The rows of several sweeps over one setting.

    rows: as `foreign.rows.read` gives them, with a column of the setting's name. margin: of all
    sweeps. missing: a line for each point without a result. clusters: where those of the questions
    are from, as in `load.Sweep`. looks: the largest number of planned seeds, and all looks at any
    of the sweeps; None where no sweep planned one.
    """

    rows: pd.DataFrame
    margin: float
    missing: list[str]
    clusters: str
    looks: Looks | None


def axis_of(
    folders: Sequence[Path],
    key: str,
    measure: str | None = None,
    clusters: ClusterChoice = AS_KEPT,
) -> AxisRows:
    """Return the rows of sweeps that differ in one setting.

    Args:
        folders: of the sweeps.
        key: the setting, as trainer.lr.
        measure: that the report is on; None: the primary one of each sweep.
        clusters: which questions belong together.

    Raises:
        UserError: where the sweeps do not differ in the setting, or differ in others too, or in
            their margins.
    """
    sweeps = [load([folder], measure=measure, clusters=clusters) for folder in folders]
    for sweep in sweeps:
        check(sweep)
    _check_settings(sweeps, key)
    margins = {sweep.margin for sweep in sweeps}
    if len(margins) > 1:
        raise UserError(
            f"the sweeps have the margins {' and '.join(f'{m:g}' for m in sorted(margins))}: one"
            " report has one; run the same command with one sweep.margin",
            key="report.axis_margins",
        )
    _check_once(sweeps, key)
    parts = [_rows(sweep, key) for sweep in sweeps]
    rows = pd.concat(parts, ignore_index=True)
    origins = [sweep.clusters for sweep in sweeps if sweep.clusters]
    origin = origins[0] if origins else ""
    return AxisRows(rows, margins.pop(), _missing(sweeps, key), origin, _looks(sweeps))


def _looks(sweeps: Sequence[Sweep]) -> Looks | None:
    """Return the planned seeds and the looks of several sweeps, as of sweeps read as one."""
    told = [sweep.looks for sweep in sweeps if sweep.looks is not None]
    if not told:
        return None
    taken = sorted({count for looks in told for count in looks.taken})
    return Looks(
        max(looks.planned for looks in told),
        tuple(taken),
        all(looks.sequential for looks in told),
        any(looks.is_changed for looks in told),
    )


def _rows(sweep: Sweep, key: str) -> pd.DataFrame:
    """Return the rows of the trained points of a sweep, at its level of the setting."""
    level = settings(sweep)[key]
    frame = sweep.frame.astype({"query_lang": str, "passage_lang": str})
    frame = frame.rename(columns={CLUSTER: "cluster"})
    parts = []
    for point in sweep.trained:
        own = frame[frame["run_id"] == point.run_id]
        labels = {"system": f"r{point.ratio:g}", key: level, "seed": str(point.seed)}
        parts.append(tidy(own, labels))
    return pd.concat(parts, ignore_index=True)


def _missing(sweeps: Sequence[Sweep], key: str) -> list[str]:
    """Return a line for each point without a result."""
    lines = []
    for sweep in sweeps:
        for point in sweep.gaps:
            reason = sweep.missing[point.run_id]
            lines.append(f"{key} {settings(sweep)[key]}: {point.label}, {reason}")
    return lines


def _check_settings(sweeps: Sequence[Sweep], key: str) -> None:
    """Refuse sweeps that do not differ in a setting, or differ in others."""
    recorded = [settings(sweep) for sweep in sweeps]
    if key in VARIED:
        raise UserError(
            f"--axis {key}: each sweep varies it by itself, and its own report is over that:"
            " hybrid-sweep report SWEEP_DIR",
            key="report.axis",
        )
    if not all(key in own for own in recorded):
        raise UserError(
            f"--axis {key}: no setting that can change a result, as loss.alignment.weight or"
            " trainer.lr",
            key="report.axis",
        )
    if len({own[key] for own in recorded}) < 2:
        raise UserError(
            f"--axis {key}: it is {recorded[0][key]} in all sweeps", key="report.axis_one_level"
        )
    others = []
    for difference in differences(sweeps):
        name = difference.key
        is_margin = name == "sweep.margin"  # refused with words of its own
        if name == key or is_margin or difference.part == REST or _is_idle(name, recorded):
            continue
        if _is_unread(difference, recorded):
            continue
        others.append(f"{name} ({', '.join(difference.values)})")
    if others:
        raise UserError(
            f"--axis {key}: the sweeps differ in {'; '.join(others)} too: an effect could be of"
            " either",
            key="report.axis_confounded",
        )


def _check_once(sweeps: Sequence[Sweep], key: str) -> None:
    """Refuse two sweeps that have the same point: level, ratio and seed."""
    owners: dict[tuple[str, float, int], str] = {}
    for sweep in sweeps:
        level = settings(sweep)[key]
        for point in sweep.trained:
            place = (level, point.ratio, point.seed)
            if place in owners:
                raise UserError(
                    f"--axis {key}: {owners[place]} and {sweep.name} both have {point.label} at"
                    f" {level}: name one of them",
                    key="report.axis_twice",
                )
            owners[place] = sweep.name


def _is_idle(name: str, recorded: Sequence[dict[str, str]]) -> bool:
    """Return whether a setting has one value wherever it has an effect."""
    if name not in IDLE:
        return False
    values = {own[name] for own in recorded if float(own[IDLE[name]]) != 0}
    return len(values) < 2


def _is_unread(difference: Difference, recorded: Sequence[dict[str, str]]) -> bool:
    """Return whether a content is the same in all sweeps that read it."""
    setting = IDLE_CONTENT.get(difference.key)
    if setting is None:
        return False
    values = zip(difference.values, recorded, strict=True)
    return len({value for value, own in values if float(own[setting]) != 0}) < 2
