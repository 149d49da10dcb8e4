"""The verb `dashboard`: the W&B workspace of a sweep, from what its points have measured."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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

TITLE = 128  # characters of the title of a report, at most
ABOUT = (
    "The share r of cross-lingual steps in training, and what it does to retrieval. The curve and"
    " the table are those of `hybrid-sweep report`, with intervals over seeds and questions; the"
    " other panels show single runs, without intervals."
)
HEAD = {
    "monolingual/RR@10": "monolingual MRR@10",
    "cross-lingual/RR@10": "cross-lingual MRR@10",
    "multilingual/AP": "multilingual mAP",
}
# What its figure shows: the untrained encoder and BM25 are lines in it.
CURVE = "the curve with its band and margin; untrained encoder and BM25 for reference"
LOSSES = {
    "train/loss": "training loss, by ratio",
    "train/monolingual_loss": "loss of monolingual steps, by ratio",
    "train/cross_lingual_loss": "loss of cross-lingual steps, by ratio",
    "dev/monolingual/RR@10": "monolingual MRR@10 on dev, by ratio",
}
TRAINING = {
    "train/cross_lingual": "share of cross-lingual pairs",
    "train/lr": "learning rate",
    "train/grad_norm": "norm of the gradients, before clipping",
    "train/pairs_per_second": "pairs a second",
}
BY_SEED = "Over the ratio, by seed"
NOTE = "dashboard.json"
DRY = "--dry-run writes the specification into a file"


@dataclass(frozen=True)
class DashboardRequest:
    """What is asked for: a report in place of a workspace; only its specification; whose."""

    is_report: bool
    is_dry: bool
    project: str | None
    entity: str | None


def dashboard(sweep_dir: Path, asked: DashboardRequest) -> str:
    """Save the workspace or the report, or write its specification into dashboard.json or
    wandb-report.json of the sweep; what to tell the user.

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
    target = target_of(sweep_dir, plan, "online", asked.project, asked.entity)
    kind, file = ("report", "wandb-report.json") if asked.is_report else ("workspace", NOTE)
    if asked.is_dry:
        try:
            whole = report if asked.is_report else workspace
            made = specification(whole(plan, names, target))
        except ValueError as error:
            raise UserError(
                f"{sweep_dir}: wandb-workspaces refuses its names ({line_of(error)})",
                key="dashboard.names_refused",
            ) from error
        write_json(sweep_dir / file, made)
        return f"the specification of the {kind}: {sweep_dir / file}"
    if mirror.mode_of({"mode": "online"}) != "online":
        raise UserError(
            f"WANDB_MODE or WANDB_DISABLED keeps Weights & Biases from being asked; {DRY}",
            key="wandb.disabled",
        )
    check_login(DRY)
    with reachable(DRY):
        save = _save_report if asked.is_report else _save
        return f"{kind}: {save(plan, names, target)}"


def library(part: str) -> Any:
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


def sections(plan: Mapping[str, Any], names: Sequence[str]) -> dict[str, list[Any]]:
    """Return the panels of each section: the figure of the curve, the curve by seed, each language,
    language bias, losses, the course of training, and each further collection.
    """
    wr = library("reports.v2")

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
    figure = wr.MediaBrowser(title=CURVE, media_keys=["curve"])
    made = {
        "The report": [figure, wr.WeavePanelSummaryTable(table_name="results")],
        BY_SEED: [over_ratio(*panel) for panel in head],
        "Each language": [over_ratio(*panel) for panel in _languages(names)],
        "Language bias": [over_ratio(*panel) for panel in bias],
        "Losses": [over_steps([name], title) for name, title in LOSSES.items()],
        "Training": [over_steps([name], title) for name, title in TRAINING.items()],
    }
    for stage in sorted({name for entry in plan["points"] for name in entry.get("also", [])}):
        there = {f"{stage}/{name}": title for name, title in HEAD.items()}
        shown = [(name, title) for name, title in there.items() if name in names]
        made[f"On {stage}"] = [over_ratio(*panel) for panel in shown]
    return {name: panels for name, panels in made.items() if panels}


def ids_of(plan: Mapping[str, Any]) -> list[str]:
    """Return the ids of the runs of a sweep, its own last. By id, not by group: a point that two
    sweeps share stands in the group of one of them.
    """
    return [*(str(entry["run_id"]) for entry in plan["points"]), wandb_sweep.id_of(plan)]


def workspace(plan: Mapping[str, Any], names: Sequence[str], target: Target) -> Any:
    """Return the workspace: the panels of `sections`, runs grouped by seed."""
    ws, expr = library("workspaces"), library("expr")
    head = [name for name in HEAD if name in names]
    ids = ids_of(plan)
    return ws.Workspace(
        entity=target.entity or "",
        project=target.project,
        name=f"Hybrid Sweep: {plan['name']}",
        sections=[
            ws.Section(name=name, panels=panels, is_open=True)
            for name, panels in sections(plan, names).items()
        ],
        settings=ws.WorkspaceSettings(x_axis=mirror.STEP, max_runs=len(ids)),
        runset_settings=ws.RunsetSettings(
            filters=expr.And(expr.Metric("ID").isin(ids)),
            groupby=[expr.Config("seed")],
            order=[expr.Ordering(expr.Config("ratio"), ascending=True)],
            pinned_columns=[
                "config:ratio",
                "config:seed",
                *(f"summary:{name}" for name in head),
            ],
        ),
    )


def report(
    plan: Mapping[str, Any], names: Sequence[str], target: Target, *, is_dry: bool = True
) -> Any:
    """Return a report with the same panels, each section under its heading, of the same runs.

    is_dry: leave out the project of the run sets, which the library asks the server for.
    """
    wr, expr = library("reports.v2"), library("expr")
    runs = {"entity": target.entity or "", "project": target.project}
    blocks = [wr.MarkdownBlock(text=ABOUT)]
    for name, panels in sections(plan, names).items():
        chosen = wr.Runset(
            **({} if is_dry else runs),
            name=plan["name"],
            filters=[expr.Metric("ID").isin(ids_of(plan))],
            groupby=["config.seed"] if name == BY_SEED else [],
        )
        blocks += [wr.H2(text=name), wr.PanelGrid(runsets=[chosen], panels=panels)]
    title = f"Hybrid Sweep: {plan['name']}"[:TITLE]
    return wr.Report(**runs, title=title, blocks=blocks, width="fluid")


def _save_report(plan: Mapping[str, Any], names: Sequence[str], target: Target) -> str:
    """Save a new report as a draft, which its owner publishes; its address."""
    import wandb

    entity = target.entity or wandb.Api().default_entity
    made = report(plan, names, dataclasses.replace(target, entity=entity), is_dry=False)
    made.save(draft=True)
    return str(made.url)


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
                    if key in ("__id__", "id") and value and isinstance(value, str)
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

    ws = library("workspaces")
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
