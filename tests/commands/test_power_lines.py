"""`plan --power`: its options, its table, and the warning of a plan with little power."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from hybrid_sweep.commands import power_lines
from hybrid_sweep.commands.power_lines import _Planned, options
from hybrid_sweep.config import compose
from hybrid_sweep.config.schema import DebianData, SyntheticData
from hybrid_sweep.inputs import prepare
from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.blocks import MACRO
from hybrid_sweep.report.curves import curves
from hybrid_sweep.report.load import load
from hybrid_sweep.utils.errors import UserError
from tests import snapshots
from tests.report.conftest import World, write_sweep

PLANNED = _Planned("mine", 0.01, 3, 2604, (0.0, 0.25, 1.0), "debian", "RR@10")
SHAPE = Path(__file__).parents[2] / "experiments/shape"


def test_options_are_taken_out_of_the_words() -> None:
    assert options(["-m", "seed=0,1"]) == (["-m", "seed=0,1"], False, None)
    assert options(["--power", "-m"]) == (["-m"], True, None)
    assert options(["-m", "--like", "a=b"]) == (["-m"], True, Path("a=b"))
    assert options(["--like=x", "k=v"]) == (["k=v"], True, Path("x"))
    with pytest.raises(UserError) as refused:
        options(["-m", "--like"])
    assert refused.value.key == "option.like"


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[_Planned]:
    """What a command plans."""
    sweeps: list[_Planned] = []
    monkeypatch.setattr(power_lines, "_planned", lambda points, asked: sweeps)
    return sweeps


def test_a_plan_with_little_power_is_warned_of(planned: list[_Planned]) -> None:
    planned.append(PLANNED)
    table = power_lines.power_lines([], True, None)
    warning = power_lines.power_lines([], False, None)
    snapshots.check("cli/power of a plan", "\n".join([*table, "", *warning]) + "\n")
    planned[:] = [_Planned(**{**vars(PLANNED), "n_seeds": 20})]
    assert power_lines.power_lines([], False, None) == []
    planned[:] = [_Planned(**{**vars(PLANNED), "n_questions": 100, "collection": "other"})]
    assert "more questions" in power_lines.power_lines([], False, None)[0]


def test_published_variances_of_another_measure_than_the_primary_one_are_told(
    planned: list[_Planned],
) -> None:
    planned.append(PLANNED)
    [usual, *_] = power_lines.power_lines([], True, None)
    planned[:] = [_Planned(**{**vars(PLANNED), "primary": "nDCG@10"})]
    [head, *_] = power_lines.power_lines([], True, None)
    assert "nDCG@10" in head and "nDCG@10" not in usual


def test_variances_of_a_sweep_are_those_of_the_primary_measure(
    planned: list[_Planned], tmp_path: Path
) -> None:
    folder = write_sweep(tmp_path, World(questions=40))
    for measure in ("RR@10", "nDCG@10"):
        planned[:] = [_Planned(**{**vars(PLANNED), "primary": measure})]
        source = power_lines._source(planned[0], folder)
        [curve] = [
            one
            for one in curves(load([folder], measure=measure))
            if (one.setting, one.measure, one.scope) == ("monolingual", measure, MACRO)
        ]
        y = curve.y[3:6] - curve.y[:3]
        rest = float(st.mean_squares(y)[3])
        assert source.variances[0].rest == pytest.approx(rest)


@pytest.mark.parametrize(
    ("sweeps", "like", "key"),
    [([], None, "option.power"), ([PLANNED], Path("nowhere"), "option.like")],
)
def test_what_tells_nothing_is_refused(
    planned: list[_Planned], sweeps: list[_Planned], like: Path | None, key: str
) -> None:
    planned += sweeps
    with pytest.raises(UserError) as refused:
        power_lines.power_lines([], True, like)
    assert refused.value.key == key


@pytest.mark.slow
def test_a_published_folder_gives_the_variances_that_are_kept_of_it(
    planned: list[_Planned],
) -> None:
    planned.append(PLANNED)
    kept = power_lines.power_lines([], True, None)
    assert power_lines.power_lines([], True, SHAPE)[1:] == kept[1:]


def test_a_plain_plan_reads_questions_only_where_it_may_warn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not of generated text, nor with too few seeds; asked for, both are counted by group in the
    split that is evaluated.
    """
    rows = [("a", "test"), ("a", "test"), ("b", "test"), ("c", "dev")]
    columns = [pa.array(column) for column in zip(*rows, strict=True)]
    queries = pa.table(columns, names=["group", "split"])
    collection = SimpleNamespace(queries=queries, clusters=None)
    read: list[Any] = []
    monkeypatch.setattr(prepare, "collection_of", lambda config: read.append(config) or collection)
    words = ["experiment=smoke", "batch.cross_lingual_ratio=0,1"]
    for seeds, data, plain in (("0,1,2", SyntheticData, 0), ("0,1", None, 0), ("0,1,2", None, 1)):
        points: list[Any] = []
        for _, config in compose.points([*words, f"seed={seeds}"], multirun=True):
            if data is None:
                config = dataclasses.replace(config, data=DebianData())
            place = ("trained", config.batch.cross_lingual_ratio, config.seed)
            point = SimpleNamespace(kind="trained", sweep_dir=tmp_path, place=place, config=config)
            points.append(point)
        read.clear()
        assert len(power_lines._planned(points, False)) == len(read) == plain
        [asked] = power_lines._planned(points, True)
        assert (asked.n_questions, asked.n_seeds) == (2, len(seeds.split(",")))
