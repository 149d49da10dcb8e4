"""What a sweep has recorded of its points, and how those of a new command join them: points.json,
and a line of plan.jsonl.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hybrid_sweep.config import validate
from hybrid_sweep.config.schema import Config, identity
from hybrid_sweep.runs import stages
from hybrid_sweep.sweeps.point_list import Point, outputs_of
from hybrid_sweep.utils import plan_log, records, redaction, safe_paths
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import write_json
from hybrid_sweep.utils.locks import OUTPUTS, exclusive

# What may differ between the points of a sweep: what it varies, what changes rounding alone, and
# what no stored config says of a run.
APART = frozenset(
    [
        *("batch.cross_lingual_ratio", "batch.added", "seed"),
        *("trainer.accelerator", "trainer.devices", "trainer.nodes", "trainer.precision"),
        *("trainer.threads", "eval.batch_tokens"),
        *("trainer.loss", "trainer.callbacks", "model.remote_code"),
    ]
)


def check_sweeps(points: Sequence[Point]) -> None:
    """Refuse points that would stand beside points of an earlier command with other settings: their
    sweep could not be reported.

    Those at the same places are replaced, and an earlier point that has no run yet counts for
    nothing.
    """
    _check_seeds(points)
    news = {(point.sweep_dir, point.place): point for point in points if point.kind == "trained"}
    for folder in dict.fromkeys(folder for folder, _ in news):
        new = next(point for (its, _), point in news.items() if its == folder)
        now = settings(new.config)
        try:
            entries = (records.plan(folder) or {}).get("points", [])
        except records.Broken:  # said where the list is written
            continue
        for entry in entries:
            run_dir = outputs_of(new.config) / "runs" / entry["run_id"]
            stays = entry["kind"] == "trained" and (folder, _place(entry)) not in news
            if not stays or not (run_dir / "config.yaml").is_file():
                continue
            before = settings(validate.stored(run_dir))
            for key in sorted(before.keys() | now.keys()):
                if before.get(key) != now.get(key):
                    raise UserError(
                        f"sweep {new.config.sweep.name} has points of an earlier command with"
                        f" {key}={before.get(key)}, now it is {now.get(key)}: a sweep is one curve"
                        " over ratio and seed; give another sweep.name, or these ratios and seeds"
                        " too, to replace them",
                        key="sweep.settings_differ",
                    )


def _check_seeds(points: Sequence[Point]) -> None:
    """Refuse a sweep with more seeds than it plans."""
    seeds: dict[Path, set[int]] = {}
    for point in points:
        if point.kind == "trained":
            seeds.setdefault(point.sweep_dir, set()).add(point.config.seed)
    for point in points:
        planned, own = point.config.sweep.stated_seeds, seeds.get(point.sweep_dir, set())
        if planned is not None and len(own) > planned:
            key = "max_seeds" if point.config.sweep.is_sequential else "seeds_planned"
            raise UserError(
                f"sweep.{key}={planned}: the command has {len(own)} seeds; plan at least as"
                " many, or give fewer",
                key="config.sweep.seeds_planned",
            )


def settings(config: Config) -> dict[str, Any]:
    """Return the settings that all points of a sweep must share, by their keys."""
    flat: dict[str, Any] = {}
    waiting: list[tuple[str, Any]] = [("", identity(config))]
    while waiting:
        prefix, node = waiting.pop()
        for name, value in node.items():
            if isinstance(value, dict):
                waiting.append((f"{prefix}{name}.", value))
            elif f"{prefix}{name}" not in APART:
                flat[prefix + name] = value
    return flat


def record(points: Sequence[Point], command: str) -> list[str]:
    """Write points.json of every sweep among the points, before the first one starts; what to tell
    the user about it.

    command: the words that were typed, joined for a shell; their secrets must be gone
    (`redaction.words`).

    Points that a sweep of that name already holds stay in it, except those at the same place (kind,
    ratio, seed) with other settings: the new ones take their place.
    """
    notes = []
    for folder in dict.fromkeys(point.sweep_dir for point in points):
        safe_paths.check_links(folder)
        new = {point.place: _entry(point) for point in points if point.sweep_dir == folder}
        sweep = next(point.config.sweep for point in points if point.sweep_dir == folder)
        with exclusive(folder / "lock", OUTPUTS):
            try:
                before = records.plan(folder) or {}
            except records.Broken as error:
                raise UserError(
                    f"{error}; restore the file, or remove it to begin its list of points anew",
                    key=error.key,
                ) from error
            old = {_place(entry): entry for entry in before.get("points", [])}
            replaced = sum(
                place in old and old[place]["run_id"] != new[place]["run_id"] for place in new
            )
            others = len(old.keys() - new.keys())
            if replaced:
                rest = f"; {others} more keep the settings of an earlier command" if others else ""
                notes.append(
                    f"sweep {sweep.name}: {replaced} of its points had other settings and are"
                    f" replaced; their runs stay in outputs/runs{rest}"
                )
            elif others:
                notes.append(
                    f"sweep {sweep.name} also holds other points, of earlier commands ({others})"
                )
            if before.get("margin", sweep.margin) != sweep.margin:
                notes.append(
                    f"sweep {sweep.name}: its margin changes from {before['margin']:g} to"
                    f" {sweep.margin:g}"
                )
            merged = {**old, **new}
            entries = [merged[place] for place in sorted(merged)]
            gone = [entry["run_id"] for place, entry in old.items() if place in new]
            write_json(
                folder / "points.json",
                {
                    "name": sweep.name,
                    "margin": sweep.margin,
                    "command": redaction.redacted(command),
                    "points": entries,
                },
            )
            # after the points: a command that is stopped between the two is recorded by the next
            plan_log.add(folder, _planned(folder, points, entries, gone))
    return notes


def _planned(
    folder: Path, points: Sequence[Point], entries: Sequence[dict[str, Any]], gone: Sequence[str]
) -> dict[str, Any]:
    """Return what plan.jsonl keeps of a plan: `entries` are the points of the sweep, `gone` those
    at the places of the new ones until now.
    """
    runs = folder.parent.parent / "runs"
    log = plan_log.read(folder)
    if log.plans:
        gone = list(dict.fromkeys([*gone, *log.plans[-1].points]))
    there = [entry["run_id"] for entry in entries]
    own = [point for point in points if point.sweep_dir == folder]
    collections = {_collection(point) for point in own}
    for entry in entries:
        collections |= set(entry.get("also", []))
    trained_entries = [entry for entry in entries if entry["kind"] == "trained"]
    replaced = [run_id for run_id in gone if run_id not in there]
    seeds = sorted({entry["seed"] for entry in trained_entries})
    finished_here = _count_finished(runs, there)
    was_replaced = [run_id for run_id in replaced if _count_finished(runs, [run_id])]
    return {
        "primary": plan_log.PRIMARY.format(own[0].config.sweep.primary),
        "margin": own[0].config.sweep.margin,
        "ratios": sorted({entry["ratio"] for entry in trained_entries}),
        "seeds": seeds,
        "collections": sorted(collections),
        "points": there,
        "finished": finished_here,
        "replaced": was_replaced,
        "seeds_planned": plan_log.seeds_planned(
            log,
            own[0].config.sweep.stated_seeds,
            len(seeds),
            bool(finished_here or was_replaced),
        ),
        "sequential": own[0].config.sweep.is_sequential,
    }


def _count_finished(runs: Path, run_ids: Sequence[str]) -> int:
    """Return how many runs have a result, whether it holds or not: somebody may have seen it."""
    return sum((runs / run_id / "metrics.json").is_file() for run_id in run_ids)


def _collection(point: Point) -> str:
    """Return the name of the collection that a point is trained and evaluated on, and its
    fingerprint.
    """
    return f"{point.config.data.name} {point.fingerprints.get('collection', '')}".strip()


def _entry(point: Point) -> dict[str, Any]:
    kind, ratio, seed = point.place
    entry = {
        "run_id": point.run_id,
        "ratio": ratio,
        "seed": seed,
        "kind": kind,
        "overrides": redaction.words(point.overrides),
    }
    return entry | ({"also": names} if (names := stages.further(point.config)) else {})


def _place(entry: dict[str, Any]) -> tuple[str, float, int]:
    return str(entry["kind"]), float(entry["ratio"]), int(entry["seed"])
