"""The workspace of a sweep: its specification, made offline; saved, then saved again in its
place.
"""

import json
import re
import sys

import pytest

from hybrid_sweep.commands import cli, dashboard
from hybrid_sweep.utils.files import read_json, write_json
from tests import finished_runs, snapshots
from tests.refused import refused
from tests.wandb_sweep_folder import write

pytest.importorskip("wandb_workspaces")


@pytest.fixture
def sweep(tmp_path, config, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    folder = write(tmp_path / "outputs", config)
    further = folder.parents[1] / "runs" / "t050s0" / "evaluations" / "xquad"
    finished_runs.finish(further, "t050s0", **{"monolingual/RR@10": 0.5})
    plan = read_json(folder / "points.json")
    for entry in plan["points"]:
        entry["also"] = ["xquad"]
    write_json(folder / "points.json", plan)
    return folder


def panels(spec):
    """Title (or what else names it), kind and config of the panels of each section."""
    return {
        section["name"]: [
            (panel["config"].get("chartTitle"), panel["viewType"], panel["config"])
            for panel in section["panels"]
        ]
        for section in spec["spec"]["section"]["panelBankConfig"]["sections"]
    }


def test_the_specification_has_the_curve_by_seed_languages_bias_losses_and_further_collections(
    sweep, capsys
):
    words = ["dashboard", str(sweep), "--dry-run", "--entity", "team"]
    assert cli.main(words) == 0
    assert "dashboard.json" in capsys.readouterr().out
    spec = read_json(sweep / "dashboard.json")
    assert (spec["entity"], spec["project"]) == ("team", "hybrid-sweep")
    found = panels(spec)
    titles = [
        f"{name}\n" + "".join(f"- {title}\n" for title, *_ in each) for name, each in found.items()
    ]
    snapshots.check("dashboard/titles", "\n".join([spec["displayName"] + "\n", *titles]))
    first, over_ratio, languages, bias, losses, training, further = found.values()
    assert [kind for _, kind, _ in first] == ["Media Browser", "Weave"]
    assert [panel[2]["metrics"] for panel in [*losses, *training]] == [
        [name] for name in (*dashboard.LOSSES, *dashboard.TRAINING)
    ]
    _, kind, curve = over_ratio[0]
    assert kind == "Scatter Plot"
    assert (curve["xAxis"], curve["yAxis"]) == ("config:ratio.value", "summary:monolingual/RR@10")
    assert [panel[2]["yAxis"] for panel in languages] == ["summary:monolingual/de/RR@10"]
    assert {panel[2]["yAxis"] for panel in bias} == {
        "summary:bias/own_first/de", "summary:bias/rank_distance/de/mean",
    }  # fmt: skip
    loss = losses[0][2]
    assert (loss["xAxis"], loss["metrics"], loss["groupBy"]) == (
        "step",
        ["train/loss"],
        "ratio.value",
    )
    assert further[0][2]["yAxis"] == "summary:xquad/monolingual/RR@10"
    (runs,) = spec["spec"]["section"]["runSets"]
    assert [key["name"] for key in runs["grouping"]] == ["seed.value"]
    (filter_,) = runs["filters"]["filters"]
    assert filter_["value"][:3] == ["t000s0", "t050s0", "u000s0"] and filter_["value"][
        3
    ].startswith("sweep-")
    before = (sweep / "dashboard.json").read_bytes()
    assert cli.main(words) == 0
    assert (sweep / "dashboard.json").read_bytes() == before


def test_it_is_saved_once_and_then_in_its_place(sweep, monkeypatch, capsys):
    import wandb
    import wandb_workspaces.workspaces as ws
    from wandb_workspaces.workspaces import interface

    saved = []

    def upsert(view):
        saved.append(json.loads(view.model_dump_json()))
        return {"upsertView": {"view": {"name": view.name, "id": view.id or "new-id"}}}

    def from_url(url):
        known = ws.Workspace(entity="team", project="hybrid-sweep", name="Hybrid Sweep: toy")
        known._internal_name, known._internal_id = saved[0]["name"], "new-id"
        return known

    monkeypatch.setattr(dashboard, "check_login", lambda hint: None)
    monkeypatch.setattr(interface.internal, "upsert_view2", upsert)
    monkeypatch.setattr(interface, "get_app_url", lambda api: "https://wandb.test")
    monkeypatch.setattr(wandb, "Api", lambda: type("Api", (), {"default_entity": "team"}))
    monkeypatch.setattr(ws.Workspace, "from_url", from_url)
    for _ in range(2):
        assert cli.main(["dashboard", str(sweep)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == told[1]
    snapshots.check("dashboard/saved", re.sub(r"nw=\S+", "nw=ID", told[0]) + "\n")
    assert [view["id"] for view in saved] == ["", "new-id"] and saved[0]["name"] == saved[1]["name"]
    assert (
        saved[0]["entity"] == "team"
        and len(saved[1]["spec"]["section"]["panel_bank_config"]["sections"]) == 7
    )


def test_a_report_has_the_panels_of_the_workspace(sweep, monkeypatch, capsys):
    words = ["dashboard", str(sweep), "--report", "--entity", "team"]
    assert cli.main([*words, "--dry-run"]) == 0
    assert "wandb-report.json" in capsys.readouterr().out
    spec = read_json(sweep / "wandb-report.json")
    text = json.dumps(spec)
    names = dashboard.sections(*_measured(sweep))
    assert all(name in text for name in names) and "t050s0" in text
    assert text.count('"panel-grid"') == len(names)
    assert all(f'"{name}"' in text for name in (*dashboard.LOSSES, *dashboard.TRAINING))
    first = (sweep / "wandb-report.json").read_bytes()
    assert cli.main([*words, "--dry-run"]) == 0
    assert (sweep / "wandb-report.json").read_bytes() == first

    saved = []

    def save(made, draft=False):
        saved.append((made.project, made.entity, draft))

    from wandb_workspaces.reports.v2 import interface

    monkeypatch.setattr(dashboard, "check_login", lambda hint: None)
    monkeypatch.setattr(interface.Report, "save", save)
    monkeypatch.setattr(interface.Report, "url", "https://wandb.test/report")
    assert cli.main(words) == 0
    assert capsys.readouterr().out.endswith("report: https://wandb.test/report\n")
    assert saved == [("hybrid-sweep", "team", True)]


def _measured(sweep):
    plan = read_json(sweep / "points.json")
    return plan, dashboard.measured(sweep, plan)


def test_without_a_login_the_library_a_sweep_or_a_result_one_line_says_so(
    sweep, tmp_path, monkeypatch, capsys
):
    def refuses(key, *words, fact=""):
        assert cli.main(["dashboard", *words]) == 2
        assert capsys.readouterr().err.count("error: ") == 1
        with monkeypatch.context() as asked, refused(key, fact):
            asked.setenv("HYBRID_SWEEP_DEBUG", "1")
            cli.main(["dashboard", *words])

    refuses("sweep.missing", str(tmp_path))
    refuses("wandb.no_login", str(sweep))
    monkeypatch.setenv("WANDB_MODE", "offline")
    refuses("wandb.disabled", str(sweep), fact="WANDB_MODE")
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    monkeypatch.setitem(sys.modules, "wandb_workspaces.workspaces", None)
    refuses(
        "install.wandb_workspaces",
        str(sweep),
        "--dry-run",
        fact="pip install 'hybrid-sweep[dashboard]'",
    )
    monkeypatch.undo()
    for path in (sweep.parents[1] / "runs").rglob("metrics.json"):
        path.unlink()
    refuses("sweep.none_finished", str(sweep), "--dry-run")
