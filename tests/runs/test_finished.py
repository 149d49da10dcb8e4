"""One definition of finished, which run and report share: whatever was done to a result, both say
the same.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybrid_sweep.report.load import load
from hybrid_sweep.runs import finished
from hybrid_sweep.utils.files import read_json, write_json
from tests.refused import refused
from tests.report.conftest import World, write_sweep

RUN = "t050s1"


@pytest.fixture(params=["with digest", "of an earlier version"])
def sweep_dir(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A small sweep; the results of earlier versions have no digest."""
    made = write_sweep(tmp_path, World(questions=12), ratios=(0.0, 0.5), seeds=(0, 1))
    if request.param == "with digest":
        for path in (tmp_path / "runs").glob("*/metrics.json"):
            write_json(path, finished.sealed(path.parent, read_json(path)))
    return made


def _run(sweep_dir: Path) -> Path:
    return sweep_dir.parent.parent / "runs" / RUN


def _truncate(run: Path) -> None:
    path = run / finished.TABLE
    path.write_bytes(path.read_bytes()[:-100])


def _swap(run: Path) -> None:
    shutil.copy(run.parent / "t000s0" / finished.TABLE, run / finished.TABLE)


def _link(run: Path) -> None:
    path = run / finished.TABLE
    path.rename(run.parent / "elsewhere")
    path.symlink_to(run.parent / "elsewhere")


def _other_columns(run: Path) -> None:
    table = pq.read_table(run / finished.TABLE)
    pq.write_table(table.drop_columns(["AP"]), run / finished.TABLE)


def _texts_for_numbers(run: Path) -> None:
    table = pq.read_table(run / finished.TABLE)
    place = table.column_names.index("RR@10")
    pq.write_table(
        table.set_column(place, "RR@10", pa.array(["x"] * len(table))), run / finished.TABLE
    )


def _impossible(run: Path) -> None:
    table = pq.read_table(run / finished.TABLE)
    place = table.column_names.index("RR@10")
    pq.write_table(
        table.set_column(place, "RR@10", pa.array([7.0] * len(table))), run / finished.TABLE
    )


def _no_correlation(run: Path) -> None:
    table = pq.read_table(run / finished.TABLE)
    pq.write_table(
        table.append_column("MRC@10", pa.array([-1.1] * len(table))), run / finished.TABLE
    )


def _empty(run: Path) -> None:
    pq.write_table(pq.read_table(run / finished.TABLE).slice(0, 0), run / finished.TABLE)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "table truncated": _truncate,
    "table of another run": _swap,
    "table gone": lambda run: (run / finished.TABLE).unlink(),
    "table empty": lambda run: (run / finished.TABLE).write_bytes(b""),
    "table without rows": _empty,
    "table a link": _link,
    "table with other columns": _other_columns,
    "table with texts": _texts_for_numbers,
    "table with impossible values": _impossible,
    "table with a correlation below -1": _no_correlation,
    "metrics cut": lambda run: (run / "metrics.json").write_text('{"run_id": "t0'),
    "metrics empty": lambda run: (run / "metrics.json").write_text(""),
    "metrics a list": lambda run: (run / "metrics.json").write_text("[]"),
    "metrics gone": lambda run: (run / "metrics.json").unlink(),
    "metrics of another run": lambda run: shutil.copy(
        run.parent / "t000s0" / "metrics.json", run / "metrics.json"
    ),
    "provenance broken": lambda run: (run / "provenance.json").write_text('{"fingerprints": 3}'),
    "config broken": lambda run: (run / "config.yaml").write_text("a: ${oc.env:HOME}"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_run_and_report_agree_on_what_is_not_finished(sweep_dir: Path, damage: str) -> None:
    run = _run(sweep_dir)
    assert finished.problem(run, run) == "" and not load([sweep_dir]).missing
    DAMAGE[damage](run)
    problem = finished.problem(run, run)
    assert problem and "\n" not in problem
    assert list(load([sweep_dir]).missing) == [RUN]


def test_a_bit_anywhere_in_a_table_with_a_digest_is_noticed(tmp_path: Path) -> None:
    """Without one it may change a number in silence: most bits of a table are values."""
    sweep_dir = write_sweep(tmp_path, World(questions=6), ratios=(0.0, 0.5), seeds=(0, 1))
    run = _run(sweep_dir)
    write_json(run / "metrics.json", finished.sealed(run, read_json(run / "metrics.json")))
    whole = (run / finished.TABLE).read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 150)):
        spoiled = bytearray(whole)
        spoiled[place] ^= 4
        (run / finished.TABLE).write_bytes(bytes(spoiled))
        assert finished.problem(run, run), place
    (run / finished.TABLE).write_bytes(whole)
    assert finished.problem(run, run) == ""


def test_a_changed_value_of_metrics_is_noticed(tmp_path: Path) -> None:
    sweep_dir = write_sweep(tmp_path, World(questions=6), ratios=(0.0,), seeds=(0,))
    run = sweep_dir.parent.parent / "runs" / "t000s0"
    whole = finished.sealed(
        run, read_json(run / "metrics.json") | {"monolingual/RR@10": 0.5, "dev": {"best": 0.25}}
    )
    write_json(run / "metrics.json", whole)
    assert finished.metrics(run, run) == whole
    for changed in (
        {"monolingual/RR@10": 0.51},
        {"dev": {"best": 0.26}},
        {"examples_monolingual": 1},
        {"new": 1},
    ):
        write_json(run / "metrics.json", whole | changed)
        assert finished.problem(run, run)


@pytest.mark.parametrize(
    ("field", "value", "key"),
    [
        ("ratio", 0.25, "report.ratio_not_as_planned"),
        ("seed", 7, "report.run_not_as_planned"),
        ("kind", "untrained", "report.run_not_as_planned"),
        ("kind", "bm25", "report.run_not_as_planned"),
    ],
)
def test_what_points_json_says_of_a_run_is_compared_with_the_run(
    sweep_dir: Path, field: str, value: object, key: str
) -> None:
    plan = read_json(sweep_dir / "points.json")
    for point in plan["points"]:
        if point["run_id"] == RUN:
            point[field] = value
    write_json(sweep_dir / "points.json", plan)
    with refused(key, RUN):
        load([sweep_dir])


def test_run_files_are_part_of_what_is_finished(tmp_path: Path) -> None:
    sweep_dir = write_sweep(tmp_path, World(questions=6), ratios=(0.0,), seeds=(0,))
    run = sweep_dir.parent.parent / "runs" / "t000s0"
    (run / "runs").mkdir()
    (run / "runs" / "de.run").write_text("q Q0 p 1 0.5 x\n")
    write_json(run / "metrics.json", finished.sealed(run, read_json(run / "metrics.json")))
    assert finished.problem(run, run) == ""
    (run / "runs" / "de.run").unlink()
    assert finished.problem(run, run)


def test_a_points_json_that_was_cut_short_is_no_smaller_sweep(sweep_dir: Path) -> None:
    plan = json.loads((sweep_dir / "points.json").read_text())
    text = json.dumps(plan)
    for end in range(1, len(text), 37):
        (sweep_dir / "points.json").write_text(text[:end])
        with refused("records.json", "points.json"):
            load([sweep_dir])
