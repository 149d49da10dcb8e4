"""A shell completes verbs, options, keys, names and folders, at once; a real bash is asked."""

import os
import pty
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hybrid_sweep.commands import cli, completion
from tests.refused import refused

ROOT = Path(__file__).parents[2]


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder with sweeps, runs and a published sweep, in which the shell is."""
    for name in (
        "outputs/sweeps/first/points.json",
        "outputs/sweeps/half/other.json",
        "outputs/sweeps/$(touch evil)/points.json",
        "outputs/runs/0123456789ab/config.yaml",
        "experiments/shape/runs.json",
    ):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def asked(place, capsys):
    """Makes the answers for a line, whose last word is being typed."""

    def answers(line: str) -> list[str]:
        *before, current = line.split(" ")
        assert cli.main(["completion", "query", *before, "--", current]) == 0
        return capsys.readouterr().out.split("\n")[:-1]

    return answers


@pytest.mark.parametrize(
    ("line", "some"),
    [
        ("", {"run", "plan", "report", "push", "completion", "version"}),
        ("pl", {"plan"}),
        ("report --me", {"--measure"}),
        ("run -", {"-m", "--multirun", "--help", "--cfg"}),
        ("run data=synth", {"data=synthetic"}),
        ("run -m experiment=sm", {"experiment=smoke"}),
        ("run hydra/launcher=sl", {"hydra/launcher=slurm"}),
        ("run batch.cross", {"batch.cross_lingual_ratio="}),
        ("run loss.alignment.w", {"loss.alignment.weight="}),
        ("run batch.budget=", {"batch.budget=fixed_total", "batch.budget=fixed_monolingual"}),
        ("run sweep.bm25=", {"sweep.bm25=true", "sweep.bm25=false"}),
        ("run trainer.compile=t", {"trainer.compile=true"}),
        ("run nothing=", set()),
        ("report o", {"outputs/sweeps/first"}),
        ("report e", {"experiments/shape"}),
        ("probe e", set()),
        ("evaluate o", {"outputs/runs/0123456789ab"}),
        ("push o", {"outputs/runs/0123456789ab", "outputs/sweeps/first"}),
        ("data p", {"prepare"}),
        ("data prepare xq", {"xquad_r", "xquad_r_context"}),
        ("data prepare debian batch.si", {"batch.size="}),
        ("wandb ", {"push"}),
        ("completion z", {"zsh"}),
        ("unknown ", set()),
    ],
)
def test_a_line_is_gone_on_with(asked, line, some):
    answers = asked(line)
    last = line.split(" ")[-1]
    assert all(answer.startswith(last) for answer in answers)
    assert some <= set(answers) and (some or not answers)


def test_keys_are_those_of_the_chosen_option(asked):
    assert "data.concepts=" in asked("run data=synthetic data.c")
    assert "data.concepts=" not in asked("run data=mmarco data.c")
    assert not [answer for answer in asked("report ") if "$" in answer or "half" in answer]


def test_every_key_that_is_offered_exists(asked, config):
    from omegaconf import OmegaConf

    made = OmegaConf.structured(config())
    for answer in asked("run data=synthetic model=tiny "):
        key = answer.removesuffix("=")
        if "." in key:
            OmegaConf.select(made, key, throw_on_missing=True)
            group, _, name = key.partition(".")
            assert name.split(".")[0] in made[group], key


@pytest.mark.parametrize("words", [["-sc", "install=bash"], ["run", "--shell-completion", "x=y"]])
def test_hydras_own_completion_is_answered_with_this_one(words):
    with refused("command.completion", "hybrid-sweep completion bash"):
        cli._dispatch(words)


@pytest.mark.parametrize("words", [[], ["csh"], ["bash", "zsh"]])
def test_another_shell_is_refused(words):
    with refused("command.arguments", "bash, zsh, fish"):
        completion.completion(words, {})


@pytest.mark.parametrize("words", [["-V"], ["--version"], ["version"]])
def test_the_version_has_three_words(words, capsys):
    from hybrid_sweep import __version__

    assert cli.main(words) == 0
    assert capsys.readouterr().out == f"hybrid-sweep {__version__}\n"


def test_an_answer_comes_at_once():
    command = [sys.executable, "-X", "importtime", "-m", "hybrid_sweep", "completion", "query"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [*command, "run", "--", ""], capture_output=True, text=True, check=True, cwd=ROOT
    )
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    modules = {
        line.rsplit("|", 1)[1].strip().split(".")[0]
        for line in done.stderr.splitlines()
        if "|" in line
    }
    assert not modules & {"torch", "hydra", "omegaconf", "pandas", "numpy", "pydantic", "pyarrow"}
    assert now.ru_utime - before.ru_utime < 0.6  # 0.16 on a quiet machine


@pytest.fixture
def program(place) -> dict[str, str]:
    """An environment with the program on its path."""
    command = place / "bin" / "hybrid-sweep"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m hybrid_sweep "$@"\n')
    command.chmod(0o755)
    around = {"PATH": f"{command.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    return {**os.environ, **around}


@pytest.mark.parametrize("shell", completion.SCRIPTS)
def test_a_script_is_one_of_its_shell(shell, tmp_path, capsys):
    assert cli.main(["completion", shell]) == 0
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed here")
    subprocess.run([shell, "-n", script], check=True)


ASK = """\
eval "$(hybrid-sweep completion bash)"
COMP_LINE="$1" COMP_POINT="${2:-${#1}}"
set -- $(complete -p hybrid-sweep)
[[ "$*" == *"-F _hybrid_sweep"* ]] || exit 3
_hybrid_sweep
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("hybrid-sweep pla", ["plan"]),
        ("hybrid-sweep run -m data=synth", ["synthetic"]),
        ("hybrid-sweep run data=synthetic model.path=x seed", ["seed="]),
        ("hybrid-sweep report outputs/sw", ["outputs/sweeps/first"]),
        ("hybrid-sweep report --clus", ["--clusters"]),
    ],
)
def test_bash_gets_the_words(program, line, wanted):
    done = subprocess.run(
        ["bash", "-c", ASK, "bash", line], env=program, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.split() == wanted


@pytest.mark.slow
def test_tab_in_an_interactive_bash_completes_the_line(program, place):
    """The tabulator is pressed at a terminal; what the line became is then printed by the shell."""
    (place / "rc").write_text('eval "$(hybrid-sweep completion bash)"\nPS1="READY> "\n')
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe("bash", ["bash", "--rcfile", "rc", "-i"], program)
    try:
        _read_until(terminal, b"READY> ")
        os.write(terminal, b"hybrid-sweep comple\tfi\t")
        shown = _read_until(terminal, b"completion fish")
        assert b"error" not in shown
        os.write(terminal, b"\r")
        assert b"complete -c hybrid-sweep" in _read_until(terminal, b"READY> ")
    finally:
        os.write(terminal, b"\x03exit\r")
        os.close(terminal)
        os.waitpid(child, 0)


def _read_until(terminal: int, mark: bytes) -> bytes:
    seen, end = b"", time.monotonic() + 60
    while mark not in seen:
        assert time.monotonic() < end, seen
        seen += os.read(terminal, 4096)
    return seen
