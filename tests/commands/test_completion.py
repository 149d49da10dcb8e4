"""A shell completes verbs, and the words of Hydra behind run and plan."""

import os

import pytest

from hybrid_sweep.commands import cli, completion, sweep_verbs
from tests import ready


@pytest.fixture
def asked(monkeypatch):
    """What Hydra is asked: its words, and the line with the place in it."""
    seen = []

    def run(words):
        seen.append((words, os.environ.get("COMP_LINE"), os.environ.get("COMP_POINT")))
        return 0

    monkeypatch.setattr(sweep_verbs, "run", run)
    for name in ("COMP_LINE", "COMP_POINT"):
        monkeypatch.setenv(name, "")
    return seen


@pytest.mark.parametrize("option", completion.OPTIONS)
def test_the_option_of_hydra_needs_no_verb(asked, option):
    assert cli.main([option, "install=bash"]) == 0
    assert asked == [([option, "install=bash"], "", "")]


@pytest.mark.parametrize("verb", completion.OF_HYDRA)
def test_hydra_is_asked_without_the_verb(asked, monkeypatch, verb):
    line = f"hybrid-sweep {verb} seed=1 model="
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("COMP_POINT", str(len(line)))
    assert cli.main(["-sc", "query=bash"]) == 0
    wanted = "hybrid-sweep seed=1 model="
    assert asked == [(["-sc", "query=bash"], wanted, str(len(wanted)))]


def test_verbs_are_completed_and_nothing_is_said_of_words_that_are_not_hydras(
    asked, monkeypatch, capsys
):
    monkeypatch.setenv("COMP_LINE", "hybrid-sweep pl")
    assert cli.main(["-sc", "query=bash"]) == 0
    assert {"run", "plan", "report"} <= set(capsys.readouterr().out.split())
    monkeypatch.setenv("COMP_LINE", "hybrid-sweep report out")
    assert cli.main(["-sc", "query=bash"]) == 0
    assert capsys.readouterr().out == "" and asked == []


@pytest.mark.slow
def test_names_of_a_group_are_completed():
    line = "hybrid-sweep run data=synth"
    done = ready.run(
        ["-m", "hybrid_sweep", "-sc", "query=bash"],
        env={**os.environ, "COMP_LINE": line, "COMP_POINT": str(len(line))},
    )
    assert done.returncode == 0 and done.stdout.split() == ["data=synthetic"]
