"""Hostile names and errors in the files of a sweep: every output of report, probe and comparison
stays harmless.
"""

import json
from pathlib import Path

import pytest

from hybrid_sweep.commands.cli import main
from hybrid_sweep.sweeps import plan_text, processes, progress
from hybrid_sweep.utils.escaping import is_hidden
from tests.report.conftest import undrawn, write_sweep
from tests.report.folders import edit, runs_of

__all__ = ["undrawn"]  # a fixture
HOSTILE = (
    "=x|y`<img src=x onerror=alert(1)> [z](https://evil.org) \x1b]0;t\x07\r\x00\u202e\n## forged\n|"
    " zz | b |"
)

# What a name can still hold: no control, no separator.
NAME = "=x|y`<img src=x onerror=alert(1)> [z](evil.org) $a_b$ \\input{z} ## forged | zz | b |"


def hidden(text: str) -> set[str]:
    """The characters of an output that act on a terminal."""
    return {sign for sign in text if is_hidden(sign) and sign not in "\n\t"}


def fail(sweep_dir: Path, run_id: str) -> None:
    """Let a point have failed for a hostile reason."""
    run = runs_of(sweep_dir) / run_id
    (run / "metrics.json").unlink()
    (run / "status.json").write_text(json.dumps({"state": "failed", "error": HOSTILE}))


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    sweep_dir = write_sweep(tmp_path)
    edit(
        sweep_dir / "points.json",
        lambda plan: plan.update(name=NAME, command=f"hybrid-sweep run -m '{HOSTILE}'"),
    )
    for run in runs_of(sweep_dir).iterdir():
        edit(run / "provenance.json", lambda made: made["versions"].update({"numpy": HOSTILE}))
    fail(sweep_dir, "t050s1")
    return sweep_dir


def check_texts(folder: Path, names: set[str]) -> None:
    """Check every text of a folder: no hidden character, no markup, no forged heading or row."""
    found = {
        path.name: path.read_bytes().decode()
        for path in folder.rglob("*")
        if path.suffix in (".md", ".tex", ".csv")
    }
    assert names <= set(found)
    for name, text in found.items():
        assert not hidden(text), name
        assert "\n## forged" not in text and "\n| zz | b |" not in text, name
        assert not any(
            cell.startswith(("=", "@")) for line in text.splitlines() for cell in line.split(",")
        ), name
    for path in folder.rglob("*.html"):
        text = path.read_bytes().decode()
        assert "<img src=x" not in text and not hidden(text)
    for path in folder.rglob("*.md"):
        for line in path.read_text().splitlines():
            outside = "".join(line.split("`")[::2])
            assert "<img" not in outside and "evil.org" not in outside, path.name


def test_a_report_of_a_hostile_sweep(
    hostile: Path, capsys: pytest.CaptureFixture[str], undrawn: None
) -> None:
    assert main(["report", str(hostile)]) == 1
    assert not hidden(capsys.readouterr().out)
    check_texts(hostile, {"report.md", "table.tex", "results.csv", "derived.csv"})


def test_a_probe_of_a_hostile_sweep(hostile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["probe", str(hostile), "--no-texts", "--allow-missing"])
    assert not hidden(capsys.readouterr().out)
    check_texts(hostile / "probe", {"probe.md", "probe.csv"})


def test_errors_that_quote_a_file_are_one_harmless_line(
    hostile: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(hostile / "points.json", lambda plan: plan["points"][0].update(kind=HOSTILE))
    assert main(["report", str(hostile)]) == 2
    assert main(["report", str(hostile / "\x1b[31m\u202e")]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 2 and not hidden(told)


def test_the_end_of_a_log_is_harmless(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_bytes(
        b"\x1b[31mred\x1b[0m\n\x1b]0;title\x07 \x00 \x9b \xe2\x80\xae\n" + "שלום 中\n".encode()
    )
    last = processes.tail(log)
    assert last[0] == "red" and last[2] == "שלום 中" and not hidden("".join(last))


def test_views_print_harmless_lines(capsys: pytest.CaptureFixture[str]) -> None:
    view = progress.Plain(1)
    view.say(HOSTILE)
    lines = plan_text.table([("state", HOSTILE), ("a", "b")])
    assert (
        not hidden(capsys.readouterr().out)
        and not hidden("".join(lines))
        and not any("\n" in line for line in lines)
    )
