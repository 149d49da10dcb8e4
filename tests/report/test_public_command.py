"""The command of a published sweep: no path, account, machine or secret in it, all other words as
they were.
"""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as some

from hybrid_sweep.report.public_command import public_command

KEPT = [
    "hybrid-sweep",
    "run",
    "-m",
    "seed=0,1,2",
    "model.path=me5-small",
    "model.query_prompt=query: ",
    "+data@eval.also.x=y",
]
GONE = [
    "logger.entity=alice",
    "+logger.project=alice",
    "paths.outputs=alice",
    "~paths.cache=/home/alice",
]
GONE += [
    "hydra.job.env_set.A=alice",
    "++hydra.launcher.account=alice",
    "hydra/launcher=alice",
    "+hydra.x={a: alice}",
]
PLACES = [
    "model.path=/home/alice/m",
    "data.path=~alice/x",
    "data.path=../alice",
    "data.mirror=https://alice.org/x",
]
PLACES += [
    "data.negatives=alice/x.tsv",
    "model.path=a,/alice/b",
    r"data.path=C:\\alice",
    "--config-dir=/alice",
    "+more.x.path=a/alice",
]
PLACES += [
    "eval.also.x.path=${oc.env:HOME}/alice",
    "data.path=' /alice'",
    "model.x=[b,/alice]",
    "/alice",
    "data.path=alice/b",
]


@given(some.lists(some.sampled_from(KEPT[3:] + GONE + PLACES), max_size=8))
def test_no_path_and_no_account_is_published(words: list[str]) -> None:
    made = public_command(shlex.join([*KEPT[:3], *words]))
    assert "alice" not in made
    known = [word for word in shlex.split(made) if word in KEPT]
    assert known == [*KEPT[:3], *(word for word in words if word in KEPT)]
    assert public_command(made) == made


def test_a_folder_after_its_option_goes_too() -> None:
    assert (
        public_command("hybrid-sweep run --config-dir conf/alice -m")
        == "hybrid-sweep run --config-dir PATH -m"
    )


@pytest.mark.parametrize("command", ["broken 'quote", ""])
def test_what_is_no_command_is_left_out(command: str) -> None:
    assert public_command(command) == ""
