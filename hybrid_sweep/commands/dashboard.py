"""The verb `dashboard`: the W&B workspace of a sweep, from what its points have measured."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from hybrid_sweep.commands import wandb_sweep
from hybrid_sweep.commands.wandb_target import (
    Target,
    check_login,
    plan_of,
    reachable,
    summaries,
    target_of,
)
from hybrid_sweep.tracking import mirror
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import read_own_json, write_json
from hybrid_sweep.utils.redaction import line_of

HEAD = {
    "monolingual/RR@10": "monolingual MRR@10",
    "cross-lingual/RR@10": "cross-lingual MRR@10",
    "multilingual/AP": "multilingual mAP",
}
DRY = "--dry-run writes the specification into a file"


def dashboard(sweep_dir: Path, *, dry_run: bool, project: str | None, entity: str | None) -> str:
    """Save the workspace, or write its specification into dashboard.json of the sweep; what to tell
    the user.

    Saved again, the same workspace is replaced: its address is kept in wandb/dashboard.json of the
    sweep. Raises UserError where there is no sweep, no point is finished, wandb-workspaces is not
    installed, there is no login or no server.
    """
    plan = plan_of(sweep_dir)
    names = measured(sweep_dir, plan)
    if not names:
        raise UserError(
            f"{sweep_dir}: none of its points is finished: run the sweep first",
            key="sweep.none_finished",
        )
    target = target_of(sweep_dir, plan, "online", project, entity)
    if dry_run:
        try:
            made = specification(workspace(plan, names, target))
        except ValueError as error:
            raise UserError(
                f"{sweep_dir}: wandb-workspaces refuses its names ({line_of(error)})",
                key="dashboard.names_refused",
            ) from error
        write_json(sweep_dir / "dashboard.json", made)
        return f"the specification of the workspace: {sweep_dir / 'dashboard.json'}"
    if mirror.mode_of({"mode": "online"}) != "online":
        raise UserError(
            f"WANDB_MODE or WANDB_DISABLED keeps Weights & Biases from being asked; {DRY}",
            key="wandb.disabled",
        )
    check_login(DRY)
    with reachable(DRY):
        return f"workspace: {_save(plan, names, target)}"


def _library(part: str) -> Any:
    """Return a module of wandb-workspaces, which is an extra; raises UserError where it is not
    installed.
    """
    try:
        return import_module(f"wandb_workspaces.{part}")
    except ModuleNotFoundError as error:
        raise UserError(
            "wandb-workspaces is not installed: pip install 'hybrid-sweep[dashboard]'",
            key="install.wandb_workspaces",
        ) from error


def measured(sweep_dir: Path, plan: Mapping[str, Any]) -> list[str]:
    """Return the names of all numbers in the summaries of the finished points, sorted."""
    results = [
        values for entry in plan["points"] for values in summaries(sweep_dir, entry).values()
    ]
    return sorted(
        {name for values in results for name, value in values.items() if isinstance(value, float)}
    )


def _matching(names: Sequence[str], pattern: str) -> list[tuple[str, str]]:
    """Return the names that match, each with what the pattern's group is in it."""
    both = [(name, re.fullmatch(pattern, name)) for name in names]
    return [(name, match.group(1)) for name, match in both if match]


def _languages(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the series of each language, with titles."""
    panels = _matching(names, r"monolingual/(?!trained/|unseen/)([^/]+)/RR@10")
    return [(name, f"{language}: monolingual MRR@10") for name, language in panels]


def _bias(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the series of language bias, with titles."""
    panels = [("multilingual/same@10", "share of the top 10 in the query's language")]
    for name, code in _matching(names, r"bias/own_first/([^/]+)"):
        panels.append((name, f"{code}: own language first"))
    for name, code in _matching(names, r"bias/rank_distance/([^/]+)/mean"):
        panels.append((name, f"{code}: rank distance"))
    return panels


def workspace(plan: Mapping[str, Any], names: Sequence[str], target: Target) -> Any:
    """Return the workspace: the curve by seed, each language, language bias, losses, and each
    further collection.
    """
    ws, expr, wr = _library("workspaces"), _library("expr"), _library("reports.v2")

    def over_ratio(name: str, title: str) -> Any:
        return wr.ScatterPlot(title=title, x=wr.Config("ratio"), y=wr.SummaryMetric(name))

    def over_steps(names: list[str], title: str) -> Any:
        grouped = {
            "groupby": wr.Config("ratio"),
            "groupby_aggfunc": "mean",
            "groupby_rangefunc": "minmax",
        }
        return wr.LinePlot(
            title=title, x=mirror.STEP, y=names, title_x="optimiser steps", **grouped
        )

    head = [(name, title) for name, title in HEAD.items() if name in names]
    bias = [(name, title) for name, title in _bias(names) if name in names]
    sections = {
        "Over the ratio, by seed": [over_ratio(*panel) for panel in head],
        "Each language": [over_ratio(*panel) for panel in _languages(names)],
        "Language bias": [over_ratio(*panel) for panel in bias],
        "Losses": [
            over_steps(["train/loss"], "training loss, by ratio"),
            over_steps(["dev/monolingual/RR@10"], "monolingual MRR@10 on dev, by ratio"),
            over_steps(["train/cross_lingual"], "share of cross-lingual pairs"),
        ],
    }
    figure = wr.MediaBrowser(title="the curve, with its intervals", media_keys=["curve"])
    sections["The report"] = [figure, wr.WeavePanelSummaryTable(table_name="results")]
    for stage in sorted({name for entry in plan["points"] for name in entry.get("also", [])}):
        there = {f"{stage}/{name}": title for name, title in HEAD.items()}
        shown = [(name, title) for name, title in there.items() if name in names]
        sections[f"On {stage}"] = [over_ratio(*panel) for panel in shown]
    # By id, not by group: a point that two sweeps share stands in the group of one of them.
    ids = [*(str(entry["run_id"]) for entry in plan["points"]), wandb_sweep.id_of(plan)]
    return ws.Workspace(
        entity=target.entity or "",
        project=target.project,
        name=f"Hybrid Sweep: {plan['name']}",
        sections=[
            ws.Section(name=name, panels=panels, is_open=True)
            for name, panels in sections.items()
            if panels
        ],
        settings=ws.WorkspaceSettings(x_axis=mirror.STEP, max_runs=len(ids)),
        runset_settings=ws.RunsetSettings(
            filters=expr.And(expr.Metric("ID").isin(ids)),
            groupby=[expr.Config("seed")],
            order=[expr.Ordering(expr.Config("ratio"), ascending=True)],
            pinned_columns=[
                "config:ratio",
                "config:seed",
                *(f"summary:{name}" for name, _ in head),
            ],
        ),
    )


def specification(made: Any) -> dict[str, Any]:
    """Return what would be saved of a workspace, as JSON; its random ids are numbered, so that
    equal workspaces give equal files.
    """
    numbers: dict[str, str] = {}

    def plain(node: Any) -> Any:
        if isinstance(node, dict):
            return {
                key: (
                    numbers.setdefault(value, f"id-{len(numbers)}")
                    if key == "__id__"
                    else plain(value)
                )
                for key, value in node.items()
            }
        if isinstance(node, list):
            return [plain(value) for value in node]
        return node

    content = plain(made._to_model().model_dump(mode="json", by_alias=True, exclude_none=True))
    assert isinstance(content, dict)
    return content


def _save(plan: Mapping[str, Any], names: Sequence[str], target: Target) -> str:
    """Save the workspace where it was saved before, else as a new one; its address."""
    import wandb

    ws = _library("workspaces")
    entity = target.entity or wandb.Api().default_entity
    made = workspace(plan, names, dataclasses.replace(target, entity=entity))
    note = target.folder / "wandb" / "dashboard.json"
    stored = read_own_json(note)
    if not isinstance(stored, dict):
        stored = {}
    if stored.get("project") == f"{entity}/{target.project}":
        try:
            saved = ws.Workspace.from_url(stored["url"])
        except Exception:
            pass  # it was deleted there
        else:
            saved.sections, saved.settings, saved.runset_settings = (
                made.sections,
                made.settings,
                made.runset_settings,
            )
            made = saved
    made.save()
    write_json(note, {"project": f"{entity}/{target.project}", "url": made.url})
    return str(made.url)
