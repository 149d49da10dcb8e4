"""Help teaches with words that work, and comes at once: no heavy import stands before it."""

import ast
import re
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hybrid_sweep.commands import cli, usage
from hybrid_sweep.config.compose import points

VERBS = [
    "run",
    "plan",
    "report",
    "probe",
    "merge",
    "freeze",
    "data",
    "evaluate",
    "mine",
    "wandb",
    "dashboard",
    "push",
    "completion",
]


@pytest.mark.parametrize(
    "words",
    [[], ["--help"], ["-h"], ["help"], *([verb, "--help"] for verb in VERBS), ["run", "-m", "-h"]],
)
def test_help_teaches_with_examples(words, capsys):
    assert cli.main(words) == 0
    text = capsys.readouterr().out
    assert (
        "examples:" in text
        and text.count("hybrid-sweep ") >= 3
        and max(map(len, text.splitlines())) <= 120
    )


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"]])
def test_help_imports_nothing_heavy_and_answers_at_once(words):
    command = [sys.executable, "-X", "importtime", "-m", "hybrid_sweep", *words]
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    modules = {
        line.rsplit("|", 1)[1].strip().split(".")[0]
        for line in found.stderr.splitlines()
        if "|" in line
    }
    assert not modules & {
        "torch",
        "hydra",
        "omegaconf",
        "pandas",
        "numpy",
        "pyarrow",
        "rich",
        "transformers",
    }
    # Of the processor's time, of which a busy machine takes nothing.
    assert now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime < 0.5


@pytest.mark.slow
def test_the_words_of_the_examples_are_valid():
    """Every `hybrid-sweep run` and `plan` in the help composes."""
    lines = [
        line.split("  ")[0]
        for line in f"{usage.RUN}{usage.PLAN}{usage.PROGRAM}".replace("\n  ", "\n").splitlines()
        if line.strip().startswith(("hybrid-sweep run", "hybrid-sweep plan")) and "--" not in line
    ]
    assert len(lines) >= 8
    for line in set(lines):
        words = [
            re.sub(r"(=[^,]*),.*", r"\1", word) for word in shlex.split(line)[2:] if word != "-m"
        ]
        points(words, multirun=False)


def test_the_help_names_every_variable_of_the_environment():
    package = Path(cli.__file__).parents[1]
    read = {
        name
        for path in package.rglob("*.py")
        for name in re.findall(r"HYBRID_SWEEP_[A-Z]+", path.read_text())
    }
    page = (package.parent / "docs" / "configuration.md").read_text()
    assert len(read) >= 3 and all(name in usage.PROGRAM and name in page for name in read)


def test_imports_go_one_way():
    """The driver never imports torch: what trains is only named on a command line."""
    package = Path(cli.__file__).parents[1]
    for name in (
        "commands/cli",
        "commands/report_verbs",
        "commands/data_verbs",
        "commands/sweep_verbs",
        "commands/usage",
        "config/compose",
        "config/schema",
        "inputs/prepare",
        "inputs/batch_schedule",
        "sweeps/scheduler",
        "sweeps/processes",
        "sweeps/progress",
        "sweeps/point_list",
        "utils/arguments",
        "utils/files",
        "api",
    ):
        for node in ast.walk(ast.parse((package / f"{name}.py").read_text())):
            found = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else ([node.module or ""] if isinstance(node, ast.ImportFrom) else [])
            )
            assert not [
                module
                for module in found
                if module.split(".")[0] in ("torch", "pytorch_lightning", "transformers")
            ]


@pytest.mark.slow
def test_no_script_where_one_stands_takes_the_place_of_a_library(tmp_path):
    for name in ("hydra", "yaml", "numpy", "tokenizers", "wandb"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(9)\n")
    command = [sys.executable, "-m", "hybrid_sweep", "plan", "data=synthetic", "data.path=X"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "data.path=X" in done.stderr
