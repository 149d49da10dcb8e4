"""The recipes for containers, conda and the public host: they copy what the package is built from,
ask for extras that exist, and name files that are there.
"""

import fnmatch
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "containers"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = set(PROJECT["project"]["optional-dependencies"])
WHEEL = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
NEEDED = {
    "pyproject.toml",
    "constraints.txt",
    PROJECT["project"]["readme"],
    *PROJECT["project"]["license-files"],
    *WHEEL["packages"],
    *WHEEL["force-include"],
}


def instructions(text: str) -> list[list[str]]:
    """The instructions of a Dockerfile, each as its words."""
    joined = re.sub(r"\\\n", " ", text)
    lines = [line.strip() for line in joined.splitlines()]
    return [line.split() for line in lines if line and not line.startswith("#")]


def test_the_dockerfile_copies_what_the_package_is_built_from():
    parts = instructions((FOLDER / "Dockerfile").read_text())
    assert {words[0] for words in parts} <= set(
        "FROM ARG ENV WORKDIR COPY RUN USER ENTRYPOINT CMD".split()
    )
    copied = {
        word.removeprefix("./") for words in parts if words[0] == "COPY" for word in words[1:-1]
    }
    assert copied == NEEDED and all((ROOT / name).exists() for name in copied)
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not [name for name in copied for rule in ignored if fnmatch.fnmatch(name, rule)]
    extras = next(words[1] for words in parts if words[:1] == ["ARG"] and "EXTRAS" in words[1])
    assert set(extras.split("=")[1].split(",")) <= EXTRAS
    assert [words[1] for words in parts if words[0] == "USER"][-1] != "root"
    assert ":" in parts[0][1] and not parts[0][1].endswith(":latest")


def test_the_apptainer_recipe_copies_the_same():
    text = (FOLDER / "hybrid-sweep.def").read_text()
    sections = dict(re.findall(r"^%(\w+)\n((?:(?!^%).*\n?)*)", text, re.MULTILINE))
    assert {"files", "post", "environment", "runscript", "test", "arguments"} == set(sections)
    pairs = [line.split() for line in sections["files"].splitlines() if line.strip()]
    assert {source for source, _ in pairs} == NEEDED
    assert all(target == f"/opt/hybrid-sweep/{source}" for source, target in pairs)
    (extras,) = re.findall(r"EXTRAS=(\S+)", sections["arguments"])
    assert set(extras.split(",")) <= EXTRAS
    for name in re.findall(r"{{ (\w+) }}", sections["post"]):
        assert f"{name}=" in sections["arguments"]
    header = text[: text.index("%")]
    assert "Bootstrap: docker" in header
    assert f"From: {instructions((FOLDER / 'Dockerfile').read_text())[0][1]}" in header


def test_the_conda_environment_names_files_that_are_there():
    made = yaml.safe_load((FOLDER / "environment.yml").read_text())
    (pip,) = [part["pip"] for part in made["dependencies"] if isinstance(part, dict)]
    constraint, editable = pip
    assert (FOLDER / constraint.split()[1]).is_file()
    place, extra = re.fullmatch(r"-e (.+)\[(\w+)\]", editable).groups()
    assert (FOLDER / place / "pyproject.toml").is_file() and extra in EXTRAS


def test_the_workflow_runs_what_there_is_on_each_python():
    made = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    matrix = made["jobs"]["versions"]["strategy"]["matrix"]["python"]
    named = [part.rsplit(" ", 1)[1] for part in PROJECT["project"]["classifiers"] if "3." in part]
    assert matrix == ["3.11", "3.12", "3.13", "3.14"]
    assert named == ["3.11"]  # the one on which the tests have been seen to pass
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    runs = [step["run"] for job in made["jobs"].values() for step in job["steps"] if "run" in step]
    for text in runs:
        assert set(re.findall(r"\bmake ([a-z-]+)", text)) <= targets
        for script in re.findall(r"bash (\S+)", text):
            assert (ROOT / script).is_file()
    for job in made["jobs"].values():
        for step in job["steps"]:
            path = step.get("with", {}).get("dockerfile")
            assert path is None or (ROOT / path).is_file()


def test_hadolint_has_nothing_to_say():
    if not shutil.which("hadolint"):
        pytest.skip("hadolint is not installed here; the public workflow runs it")
    done = subprocess.run(["hadolint", FOLDER / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
