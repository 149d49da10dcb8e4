"""The public names: they exist, come lazily, and do what docs/api.md shows."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hybrid_sweep as hs
from hybrid_sweep import api
from tests import ready
from tests.refused import refused
from tests.small import SMALL

DOCUMENT = Path(__file__).parents[1] / "docs" / "api.md"


def test_every_public_name_exists_and_no_other() -> None:
    for name in hs.__all__:
        assert getattr(hs, name) is not None
    assert set(dir(hs)) == set(hs.__all__) >= set(api.__all__)
    with pytest.raises(AttributeError):
        hs.no_such_name  # noqa: B018
    text = DOCUMENT.read_text(encoding="utf-8")
    public = set(hs.__all__) - {"__version__"}
    named = {name for name in public if f"hs.{name}" in text or f"`{name}`" in text}
    assert {"run", "compose", "evaluate", "load_sweep", "BatchSchedule", "ScheduleSampler"} <= named


@pytest.mark.slow
def test_the_import_brings_nothing_else() -> None:
    code = (
        "import sys, json, hybrid_sweep\n"
        "heavy = {'torch', 'numpy', 'pandas', 'hydra', 'matplotlib', 'pyarrow', 'transformers'}\n"
        "print(json.dumps(sorted(heavy & sys.modules.keys())))\n"
        "hybrid_sweep.BatchSchedule\n"
        "print(json.dumps('torch' in sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert json.loads(done[0]) == [] and json.loads(done[1]) is False


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(hs.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize(
    ("call", "key"),
    [
        (lambda: hs.compose("experiment=smoke"), "api.several_points"),
        (lambda: hs.load_collection(hs.DataConfig(), "seed=1"), "api.words_without_name"),
        (lambda: hs.run_sweep("data=synthetic", "sweep.name=a,b"), "api.several_sweeps"),
        (lambda: hs.run_sweep("data=synthetic", "sweep.until=settled"), "api.sequential"),
        (lambda: hs.run_sweep("data=synthetic", "hydra/sweeper=optuna"), "api.search"),
        (
            lambda: hs.BatchSchedule.from_config(hs.compose("data=synthetic", "model=bm25")),
            "schedule.nothing_to_train",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(cache, call, key) -> None:
    with refused(key):
        call()


@pytest.fixture
def texts(config):
    return hs.of_split(hs.load_collection(config().data))


def test_vectors_are_ranked_as_a_brute_force_does_it(texts) -> None:
    chance = np.random.default_rng(3)
    queries, passages = (
        chance.normal(size=(len(table), 8)).astype(np.float32)
        for table in (texts.queries, texts.passages)
    )
    found = hs.evaluate(queries, passages, texts, metrics=["nDCG@20"])
    rows = found.per_query
    scores = queries.astype(float) @ passages.T.astype(float)
    lang = np.array(texts.passages["lang"].to_pylist())
    group = np.array(texts.passages["group"].to_pylist())
    relevant = {}
    for judged in texts.qrels.to_pylist():
        if judged["grade"] > 0:
            relevant.setdefault(judged["query_group"], set()).add(judged["passage_group"])
    own = rows[rows["setting"] == "monolingual"].set_index("query_id")["RR@10"]
    for row, query in enumerate(texts.queries.to_pylist()):
        pool = np.flatnonzero(lang == query["lang"])
        order = pool[np.argsort(-scores[row, pool], kind="stable")]
        hits = [
            rank for rank, place in enumerate(order, 1) if group[place] in relevant[query["group"]]
        ]
        assert own[query["id"]] == pytest.approx(1 / hits[0] if hits[0] <= 10 else 0)
    assert found.means["monolingual/RR@10"] == pytest.approx(
        rows[rows["setting"] == "monolingual"].groupby("query_lang")["RR@10"].mean().mean()
    )


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda q, p, d: (q[1:], p, d), "api.vectors"),
        (lambda q, p, d: (q, p[:, :3], d), "api.vectors"),
        (lambda q, p, d: (q.ravel(), p, d), "api.vectors"),
        (lambda q, p, d: (q * np.nan, p, d), None),
    ],
)
def test_vectors_of_another_shape_are_refused(texts, change, key) -> None:
    queries, passages = np.ones((len(texts.queries), 4)), np.ones((len(texts.passages), 4))
    with pytest.raises(hs.UserError) if key is None else refused(key):
        hs.evaluate(*change(queries, passages, texts))


def test_texts_of_several_splits_are_refused(config) -> None:
    whole = hs.load_collection(config().data)
    vectors = np.ones((len(whole.queries), 4)), np.ones((len(whole.passages), 4))
    with refused("api.several_splits"):
        hs.evaluate(*vectors, whole)
    with refused("evaluation.no_texts"):
        hs.of_split(whole, "holdout")


def program(code: str, folder: Path) -> list[str]:
    """The lines that a program of the public names prints, run in a folder."""
    done = ready.run(["-c", f"import hybrid_sweep as hs\nSMALL = {SMALL!r}\n{code}"], cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_a_run_is_that_of_the_command_line(cache, tmp_path) -> None:
    """The same folder, and nothing is trained a second time, whichever comes first."""
    code = """
from hybrid_sweep.commands.cli import main
words = [*SMALL, "logger=disabled", "sweep.name=toy"]
run = hs.run(hs.compose(*words))
written = (run.folder / "per_query.parquet").stat().st_mtime_ns
assert main(["run", *words]) == 0
again = hs.run(hs.compose(*words))
assert (run.folder / "per_query.parquet").stat().st_mtime_ns == written
assert again.folder == run.folder and again.per_query.equals(run.per_query)
try:
    run.on("xquad_r")
except hs.UserError as error:
    print(error.key)
print(run.run_id)
"""
    *_, key, run_id = program(code, tmp_path)
    assert key == "run.no_evaluation"
    assert (tmp_path / "outputs" / "runs" / run_id / "metrics.json").is_file()


@pytest.mark.slow
def test_a_run_that_fails_says_why_and_where(cache, tmp_path) -> None:
    code = """
try:
    hs.run(hs.compose(*SMALL, "logger=disabled", "trainer.lr=1e30", "trainer.clip=0"))
except hs.UserError as error:
    print(error.key, "log.txt" in str(error))
"""
    assert program(code, tmp_path)[-1] == "api.run_failed True"


WHOLE = ["trainer.max_steps=2", "seed=1,2", "batch.cross_lingual_ratio=0,1", "sweep.name=whole"]


@pytest.mark.slow
def test_a_sweep_is_that_of_the_command_line(cache, tmp_path) -> None:
    """The same points and list of points, and nothing is run a second time, whichever comes
    first; a point that fails is told, and the others are done.
    """
    code = f"""
from pathlib import Path
from hybrid_sweep.commands.cli import main
words = [*SMALL, "logger=disabled", *{WHOLE!r}]
sweep = hs.run_sweep(*words)
folder = Path("outputs/sweeps/whole")
listed = (folder / "points.json").read_bytes()
results = sorted(Path("outputs/runs").glob("*/metrics.json"))
written = [path.stat().st_mtime_ns for path in results]
assert main(["run", "-m", *words]) == 0
again = hs.run_sweep(*words)
assert [path.stat().st_mtime_ns for path in results] == written
assert (folder / "points.json").read_bytes() == listed
assert again.per_query.equals(sweep.per_query) and not any(sweep.points["missing"])
counts = sweep.points["kind"].value_counts()
key = ""
try:
    hs.run_sweep(*words, "trainer.lr=1e30", "trainer.clip=0", "sweep.name=broken")
except hs.UserError as error:
    key = error.key
done = len(list(Path("outputs/runs").glob("*/metrics.json")))
print(counts["trained"], counts["untrained"], counts["bm25"], len(written), key, done)
"""
    assert program(code, tmp_path)[-1] == "4 2 1 7 api.points_failed 7"


@pytest.mark.slow
def test_the_examples_of_the_document(cache, tmp_path) -> None:
    code = f"""
import doctest
flags = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
failed, tried = doctest.testfile({str(DOCUMENT)!r}, module_relative=False, optionflags=flags)
print(tried - failed, tried)
"""
    lines = program(code, tmp_path)
    right, tried = map(int, lines[-1].split())
    assert right == tried > 30, "\n".join(lines)
