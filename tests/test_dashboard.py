"""The workspace of a sweep: its specification, made offline; saved, then saved again in its
place.
"""

import json
import sys

import pytest

from hybrid_sweep import cli, dashboard
from hybrid_sweep.store import read_json, write_json
from tests import finished_runs
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
    assert (spec["entity"], spec["project"], spec["displayName"]) == (
        "team",
        "hybrid-sweep",
        "Hybrid Sweep: toy",
    )
    found = panels(spec)
    assert list(found) == [
        "Over the ratio, by seed", "Each language", "Language bias", "Losses", "The report", "On xquad",
    ]  # fmt: skip
    title, kind, curve = found["Over the ratio, by seed"][0]
    assert (title, kind) == ("monolingual MRR@10", "Scatter Plot")
    assert (curve["xAxis"], curve["yAxis"]) == ("config:ratio.value", "summary:monolingual/RR@10")
    assert [panel[2]["yAxis"] for panel in found["Each language"]] == [
        "summary:monolingual/de/RR@10"
    ]
    assert {panel[2]["yAxis"] for panel in found["Language bias"]} == {
        "summary:bias/own_first/de", "summary:bias/rank_distance/de/mean",
    }  # fmt: skip
    loss = found["Losses"][0][2]
    assert (loss["xAxis"], loss["metrics"], loss["groupBy"]) == (
        "step",
        ["train/loss"],
        "ratio.value",
    )
    assert found["On xquad"][0][2]["yAxis"] == "summary:xquad/monolingual/RR@10"
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
    assert told[0] == told[1] and told[0].startswith(
        "workspace: https://wandb.test/team/hybrid-sweep?nw="
    )
    assert [view["id"] for view in saved] == ["", "new-id"] and saved[0]["name"] == saved[1]["name"]
    assert (
        saved[0]["entity"] == "team"
        and len(saved[1]["spec"]["section"]["panel_bank_config"]["sections"]) == 6
    )


def test_without_a_login_the_library_a_sweep_or_a_result_one_line_says_so(
    sweep, tmp_path, monkeypatch, capsys
):
    def told(*words):
        assert cli.main(["dashboard", *words]) == 2
        found = capsys.readouterr().err
        assert found.count("error: ") == 1
        return found

    assert "no sweep there" in told(str(tmp_path))
    assert "not logged in" in told(str(sweep))
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert "WANDB_MODE" in told(str(sweep))
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    monkeypatch.setitem(sys.modules, "wandb_workspaces.workspaces", None)
    assert "pip install 'hybrid-sweep[dashboard]'" in told(str(sweep), "--dry-run")
    monkeypatch.undo()
    for path in (sweep.parents[1] / "runs").rglob("metrics.json"):
        path.unlink()
    assert "none of its points is finished" in told(str(sweep), "--dry-run")
