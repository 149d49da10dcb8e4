"""Questions in clusters: the estimator against a loop and against simulated sweeps, and reports
whose runs, files or tables tell which questions belong together.
"""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybrid_sweep import stats
from hybrid_sweep.report import cluster_files, publish
from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.cluster_files import ClusterChoice, chosen
from hybrid_sweep.report.curves import curves, draw
from hybrid_sweep.report.derived import derived
from hybrid_sweep.report.load import load
from hybrid_sweep.report.power import variances_of
from hybrid_sweep.report.report import write_report
from hybrid_sweep.report.results import aggregate, pick, picked
from hybrid_sweep.runs import finished
from hybrid_sweep.utils.files import read_json
from tests.refused import refused
from tests.report.conftest import World, write_sweep
from tests.report.folders import runs_of

WORLD = World(questions=36, languages=("de", "en"), has={"de": 0.7})
BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "clusters.py"


def cluster_of(group: str) -> str:
    """Four clusters of unequal sizes for every ten questions."""
    number = int(group.removeprefix("g"))
    return f"p{number // 10}.{(0, 1, 1, 2, 2, 2, 3, 3, 3, 3)[number % 10]}"


def keep(run_dir: Path, by_group: dict[str, str]) -> None:
    """Write clusters into a run as an evaluation does."""
    columns = [list(by_group), list(by_group.values())]
    pq.write_table(pa.table(columns, schema=finished.CLUSTERED), run_dir / finished.CLUSTERS)
    metrics = read_json(run_dir / "metrics.json")
    for name in ("per_query", finished.DIGEST):
        metrics.pop(name, None)
    (run_dir / "metrics.json").write_text(json.dumps(finished.sealed(run_dir, metrics)))


def groups_of(sweep_dir: Path) -> list[str]:
    run = next(runs_of(sweep_dir).glob("t*"))
    return sorted(set(pd.read_parquet(run / finished.TABLE)["group_id"]))


@pytest.fixture(scope="module")
def clustered_sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sweep_dir = write_sweep(tmp_path_factory.mktemp("clusters"), WORLD)
    by_group = {group: cluster_of(group) for group in groups_of(sweep_dir)}
    for run_dir in runs_of(sweep_dir).iterdir():
        keep(run_dir, by_group)
    return sweep_dir


def test_clusters_of_one_question_change_nothing() -> None:
    chance = np.random.default_rng(4)
    domain = np.repeat([0, 1, 2], [30, 30, 12])
    group = np.concatenate([np.arange(30), np.arange(30), chance.choice(30, 12, replace=False)])
    values = chance.random((5, 72))
    names = chance.permutation(30)
    y, df = st.contributions(values, domain, group)
    other, other_df = st.contributions(values, domain, group, names[group])
    assert other[:, names] == pytest.approx(y, abs=1e-12) and other_df == pytest.approx(df)
    first, second = st.crossed_estimate(y, df), st.crossed_estimate(other, other_df)
    for name in ("mean", "se", "df_questions", "carrying"):
        assert getattr(second, name) == pytest.approx(getattr(first, name), rel=1e-12)
    assert st.p_value(second) == pytest.approx(st.p_value(first), rel=1e-10)


def test_contributions_of_clusters_equal_a_brute_force() -> None:
    chance = np.random.default_rng(6)
    domain = np.array([0, 0, 0, 0, 0, 1, 1, 1])
    group = np.array([0, 1, 2, 3, 4, 0, 2, 3])
    cluster = np.array([0, 0, 1, 2, 2, 0, 1, 2])
    x = chance.random((2, 8))
    y, df = st.contributions(x, domain, group, cluster)
    for run in range(2):
        means = [x[run][domain == d].mean() for d in (0, 1)]
        for c in range(3):
            wanted = np.mean(means)
            for d in (0, 1):
                n = (domain == d).sum()
                shares = [((domain == d) & (cluster == k)).sum() / n for k in range(3)]
                squares = sum(share**2 for share in shares)
                cubes = sum(share**3 for share in shares)
                stretch = np.sqrt(1 / (1 - 2 * cubes / squares + squares) * (3 - 1) / 3)
                mine = x[run][(domain == d) & (cluster == c)]
                wanted += 3 / 2 * (mine - means[d]).sum() / n * stretch
            assert y[run, c] == pytest.approx(wanted)
    assert y.mean(axis=1) == pytest.approx(
        (x[:, domain == 0].mean(axis=1) + x[:, domain == 1].mean(axis=1)) / 2
    )
    of_question = [1 / 25 + 1 / 9, 1 / 25, 1 / 25 + 1 / 9, 1 / 25 + 1 / 9, 1 / 25]
    sums = [of_question[0] + of_question[1], of_question[2], of_question[3] + of_question[4]]
    assert df == pytest.approx(sum(sums) ** 2 / sum(value**2 for value in sums) - 1)


def test_equal_clusters_are_the_plain_estimate_of_their_means() -> None:
    x = np.random.default_rng(8).random((4, 60))
    cluster = np.repeat(np.arange(12), 5)
    y, df = st.contributions(x, np.zeros(60, dtype=int), np.arange(60), cluster)
    means = st.crossed_estimate(x.reshape(4, 12, 5).mean(axis=2))
    mine = st.crossed_estimate(y, df)
    assert df == pytest.approx(11)
    assert (mine.mean, mine.se) == (pytest.approx(means.mean), pytest.approx(means.se))


def simulated() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_of_clusters", BENCHMARK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["20 of 1 to 20", "1 of 100, 200 of 1"])
@pytest.mark.parametrize("n_seeds", [3, 10])
def test_error_rates_hold_over_clusters_and_not_over_questions(layout: str, n_seeds: int) -> None:
    """4,000 sweeps: a rate of 5 % has a standard error of .35."""
    benchmark = simulated()
    cluster = benchmark.layouts()[layout]
    truth = benchmark.Drawn(inflation=1.0, of_questions=5.0, correlation=0.5)
    counted, alone = benchmark.rates(cluster, n_seeds, truth, 4000, 1)
    for rate, level in zip(counted, benchmark.LEVELS, strict=True):
        assert rate <= 100 * level * 1.3 + 3 * np.sqrt(level / 4000) * 100
    assert alone[1] > 15


def test_a_report_counts_the_clusters_of_its_runs(clustered_sweep: Path) -> None:
    sweep = load([clustered_sweep])
    rows = picked(aggregate(sweep), "monolingual", "RR@10")
    frame = sweep.frame[
        (sweep.frame["setting"] == "monolingual") & (sweep.frame["kind"] == "trained")
    ]
    names = {"query_lang": "language", "query_id": "query", "group_id": "group", "RR@10": "value"}
    tidy = frame.rename(columns=names).astype({"group": str})
    by_group = {group: cluster_of(group) for group in groups_of(clustered_sweep)}
    wanted = stats.changes(tidy, "ratio", 0.0, sweep.margin, clusters=by_group)
    alone = picked(
        aggregate(load([clustered_sweep], clusters=ClusterChoice(is_off=True))),
        "monolingual",
        "RR@10",
    )
    for row, other, expected in zip(rows[1:], alone[1:], wanted.to_dict("records"), strict=True):
        for name in ("delta", "delta_low", "delta_high", "p", "p_loss"):
            assert row[name] == pytest.approx(expected[name], rel=1e-7)  # type: ignore[literal-required]
        assert row["delta"] == pytest.approx(other["delta"])
        assert row["delta_low"] != pytest.approx(other["delta_low"])
        assert (row["n_questions"], row["n_clusters"]) == (36, 15)
        assert expected["n_clusters"] == 15 and expected["n_questions"] == 36
        assert row["won"] + row["tied"] + row["lost"] == 36
        assert row["carrying"] <= 15 and "n_clusters" not in other


def test_all_that_is_derived_counts_clusters(clustered_sweep: Path) -> None:
    sweep = load([clustered_sweep])
    shaped = curves(sweep)
    names = {name for curve in shaped for name in curve.questions}
    assert names == {cluster_of(group) for group in groups_of(clustered_sweep)}
    assert set(draw(3, shaped).questions) == names
    results = aggregate(sweep)
    table = derived(sweep, results)
    alone = load([clustered_sweep], clusters=ClusterChoice(is_off=True))
    other = derived(alone, aggregate(alone))
    slope, plain = (one[one["statistic"] == "slope"].iloc[0] for one in (table, other))
    assert slope["value"] == pytest.approx(plain["value"]) and slope["low"] != plain["low"]
    assert slope["n_questions"] == plain["n_questions"] == 36
    assert all(one.carrying <= 1 for one in variances_of(alone))


@pytest.mark.usefixtures("undrawn")
def test_a_report_says_questions_and_clusters(clustered_sweep: Path) -> None:
    made = write_report([clustered_sweep])
    assert "36 questions in 15 clusters" in made.answer
    text = (clustered_sweep / "report.md").read_text()
    page = (clustered_sweep / "report.html").read_text()
    assert "`n_clusters`" in text and "Clusters (kept with the runs)" in text
    assert "36 questions in 15 clusters" in page
    assert pd.read_csv(clustered_sweep / "results.csv")["n_clusters"].max() == 15
    write_report([clustered_sweep], clusters=chosen("none"))
    text = (clustered_sweep / "report.md").read_text()
    assert "`--clusters none`" in text and "in 15 clusters" not in text
    assert "n_clusters" not in pd.read_csv(clustered_sweep / "results.csv").columns


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_a_published_sweep_has_the_clusters_of_its_runs(
    clustered_sweep: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "published"
    assert finished.CLUSTERS in publish.freeze(clustered_sweep, folder)
    assert pd.read_csv(folder / "results.csv")["n_clusters"].max() == 15
    assert publish.differences(folder) == []
    (folder / finished.CLUSTERS).unlink()
    assert publish.differences(folder) != []


def test_two_sweeps_are_compared_over_the_clusters_of_either(
    clustered_sweep: Path, tmp_path: Path
) -> None:
    other = write_sweep(tmp_path, World(**{**vars(WORLD), "seed": 0}), name="other")
    frames = [load([folder]).frame for folder in (clustered_sweep, other)]
    assert cluster_files.clusters_of(frames) == {
        group: cluster_of(group) for group in groups_of(clustered_sweep)
    }
    changed = frames[1].assign(cluster_id="one")
    with refused("clusters.sweeps_differ", "g00000"):
        cluster_files.clusters_of([frames[0], changed])


def test_a_file_of_clusters_serves_runs_without(tmp_path: Path, clustered_sweep: Path) -> None:
    sweep_dir = write_sweep(tmp_path, WORLD)
    path = tmp_path / "paragraphs.csv"
    lines = [f"{group},{cluster_of(group)}" for group in groups_of(sweep_dir)]
    path.write_text("\n".join(["group,cluster", *lines, "elsewhere,p9"]))
    given = load([sweep_dir], clusters=chosen(str(path)))
    assert given.clusters == "given in paragraphs.csv"
    place = ("monolingual", "RR@10")
    wanted = pick(aggregate(load([clustered_sweep])), *place)
    assert pick(aggregate(given), *place).equals(wanted)
    assert load([sweep_dir]).clusters == ""


@pytest.mark.parametrize(
    "text, key, facts",
    [
        ("question,cluster\na,b\n", "clusters.columns", ("group",)),
        ("group,cluster\n", "clusters.columns", ()),
        ("group,cluster\na,\n", "clusters.empty_cell", ("line 2",)),
        ("group,cluster\na\n", "clusters.empty_cell", ("line 2", "cluster")),
        ("group,cluster\na,b\na,c\n", "clusters.two_of_one", ("line 3", "b", "c")),
        ("group,cluster\nx,y\n", "clusters.unknown", ("g00000",)),
        ("group,cluster\ng00001,y\n", "clusters.incomplete", ("35 of 36", "g00000")),
        ("group,cluster,collection\na,b,x\nc,d,y\n", "clusters.two_collections", ("x", "y")),
        ("group,cluster,collection\na,b,\nc,d,y\n", "clusters.two_collections", ("y",)),
    ],
)
def test_a_file_of_clusters_that_cannot_be_used_is_refused(
    clustered_sweep: Path, tmp_path: Path, text: str, key: str, facts: tuple[str, ...]
) -> None:
    path = tmp_path / "clusters.csv"
    path.write_text(text)
    with refused(key, *facts):
        load([clustered_sweep], clusters=chosen(str(path)))
    with refused("clusters.file", "absent.csv"):
        chosen(str(tmp_path / "absent.csv"))


def test_a_file_of_clusters_of_another_collection_is_refused(
    clustered_sweep: Path, tmp_path: Path
) -> None:
    own = "mine"
    for run in runs_of(clustered_sweep).iterdir():
        metrics = json.loads((run / "metrics.json").read_text())
        sealed = finished.sealed(run, metrics | {"collection": own})
        (run / "metrics.json").write_text(json.dumps(sealed))
    path = tmp_path / "clusters.csv"
    for name in (own, "elsewhere"):
        lines = [f"{group},{cluster_of(group)},{name}" for group in groups_of(clustered_sweep)]
        path.write_text("\n".join(["group,cluster,collection", *lines]))
        if name == own:
            assert load([clustered_sweep], clusters=chosen(str(path))).clusters
        else:
            with refused("clusters.other_collection", own, "elsewhere"):
                load([clustered_sweep], clusters=chosen(str(path)))


def test_clusters_of_runs_that_disagree_or_were_changed_are_refused(tmp_path: Path) -> None:
    sweep_dir = write_sweep(tmp_path, WORLD, untrained=())
    runs = sorted(runs_of(sweep_dir).iterdir())
    by_group = {group: cluster_of(group) for group in groups_of(sweep_dir)}
    keep(runs[0], by_group)
    assert load([sweep_dir]).clusters == cluster_files.KEPT  # of one run, known of all
    keep(runs[1], by_group | {"g00000": "p0.1"})
    with refused("clusters.runs_differ", runs[0].name, runs[1].name):
        load([sweep_dir])
    changed = pa.table([["g00000"], ["p0.2"]], schema=finished.CLUSTERED)
    pq.write_table(changed, runs[1] / finished.CLUSTERS)
    assert runs[1].name in load([sweep_dir]).missing  # another digest than its metrics.json says
