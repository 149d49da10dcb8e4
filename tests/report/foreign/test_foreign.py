"""Reports on other people's systems: the numbers, against pandas and scipy, and what is refused."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hybrid_sweep import stats
from hybrid_sweep.commands import report_verbs
from hybrid_sweep.report.cluster_files import ClusterChoice, chosen
from hybrid_sweep.report.foreign import report as foreign
from hybrid_sweep.report.foreign.report import TableRequest, write_foreign
from hybrid_sweep.report.foreign.rows import read, tidy
from hybrid_sweep.report.load import load
from hybrid_sweep.report.looks import Looks
from hybrid_sweep.report.results import aggregate
from tests.refused import refused
from tests.report.behrens_fisher import quantile
from tests.report.folders import runs_of


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the figure, which takes most of the time."""

    def save(figure: Any, folder: Path, name: str) -> tuple[Path, Path, Path]:
        paths = tuple(folder / f"{name}.{kind}" for kind in ("png", "pdf", "svg"))
        for path in paths:
            path.write_text("drawn")
        return paths[0], paths[1], paths[2]

    monkeypatch.setattr(foreign, "save", save)


def rows_of(
    levels: dict[Any, float],
    factor: str = "ratio",
    seeds: tuple[int, ...] = (0, 1, 2),
    queries: int = 160,
) -> pd.DataFrame:
    """Tidy rows whose levels have known effects."""
    chance = np.random.default_rng(5)
    easy = chance.uniform(0.2, 0.8, queries)
    parts = []
    for level, effect in levels.items():
        for seed in seeds:
            noise = chance.normal(0, 0.05, queries) + 0.01 * seed
            value = np.clip(easy + effect + noise, 0, 1)
            part = pd.DataFrame({"query": [f"q{i}" for i in range(queries)], "value": value})
            parts.append(part.assign(**{factor: level, "seed": seed, "measure": "AP"}))
    return pd.concat(parts, ignore_index=True)


def interval(y: np.ndarray, floor: float, level: float) -> tuple[float, float]:
    n, g = y.shape
    mean = y.mean()
    seeds, rest = mean_squares(y)
    questions = n * ((y.mean(axis=0) - mean) ** 2).sum() / (g - 1)
    seeds, more = max(seeds, rest, floor * rest), max(questions - rest, 0)
    size = quantile(level, seeds / (seeds + more), n - 1, g - 1)
    half = size * math.sqrt((seeds + more) / (n * g))
    return mean - half, mean + half


def mean_squares(y: np.ndarray) -> tuple[float, float]:
    n, g = y.shape
    mean = y.mean()
    seeds = g * ((y.mean(axis=1) - mean) ** 2).sum() / (n - 1)
    rest = y - y.mean(axis=1, keepdims=True) - y.mean(axis=0, keepdims=True) + mean
    return float(seeds), float((rest**2).sum() / ((n - 1) * (g - 1)))


@pytest.mark.parametrize(
    "levels, factor, baseline",
    [
        ({0.0: 0.0, 3.0: 0.05, 7.0: -0.1}, "negatives", None),
        ({"plain": 0.0, "distilled": 0.05, "large": -0.1}, "method", "plain"),
        ({0.0: 0.05, 3.0: 0.0, 7.0: -0.1}, "negatives", "3"),
    ],
)
def test_changes_equal_a_brute_force(
    tmp_path: Path, levels: dict[Any, float], factor: str, baseline: str | None
) -> None:
    rows = rows_of(levels, factor)
    told = write_foreign(rows, TableRequest(factor, baseline, margin=0.03), tmp_path)
    results = pd.read_csv(tmp_path / "results.csv", dtype={factor: str})
    mine = results[(results["scope"] == "macro")].set_index(factor)
    base = next(name for name in levels if levels[name] == 0.0)
    wide = {}
    for level in levels:
        part = rows[rows[factor] == level].sort_values(["seed", "query"])
        wide[level] = part["value"].to_numpy().reshape(3, 160)
    changes = {level: y - wide[base] for level, y in wide.items() if level != base}
    squares = [mean_squares(y) for y in changes.values()]
    floor = float(np.median([seeds / rest for seeds, rest in squares]))
    for level, y in changes.items():
        row = mine.loc[f"{level:g}" if isinstance(level, float) else level]
        assert row["delta"] == pytest.approx(y.mean())
        ends = row["delta_low"], row["delta_high"]
        assert ends == pytest.approx(interval(y, floor, 0.95), rel=1e-6)
        low_90 = interval(y, floor, 0.90)[0]
        assert row["delta_low_90"] == pytest.approx(low_90, rel=1e-6)
        assert row["verdict"] == ("degraded" if levels[level] < 0 else "superior")
    is_scale = factor == "negatives" and baseline is None
    assert ("Slope" in told) == is_scale
    text = (tmp_path / "report.md").read_text()
    shown = f"{base:g}" if isinstance(base, float) else base
    assert "degraded: " in text and f"against {factor} = {shown} " in text
    assert "cross-lingual" not in text
    assert "cross-lingual" not in (tmp_path / "report.html").read_text().split("<main>")[1]


def test_a_table_of_a_sweep_has_the_numbers_of_its_report(
    make_sweep: Any, world: Any, tmp_path: Path
) -> None:
    sweep_dir = make_sweep(world(questions=20, has={"de": 0.7}))
    parts = []
    for path in runs_of(sweep_dir).glob("t*/per_query.parquet"):
        table = pd.read_parquet(path)
        labels = {"ratio": str(table["ratio"][0]), "seed": str(table["seed"][0])}
        parts.append(tidy(table, labels))
    rows = pd.concat(parts).sample(frac=1, random_state=1)
    write_foreign(rows, TableRequest(), tmp_path / "out")
    found = pd.read_csv(tmp_path / "out" / "results.csv")
    expected = aggregate(load([sweep_dir]))
    chosen = (expected["kind"] == "trained") & expected["measure"].isin(["RR@10", "AP"])
    expected = expected[chosen]
    key = ["setting", "measure", "scope", "ratio"]
    merged = expected.merge(found, on=key, suffixes=("", "_found"))
    assert len(merged) == len(expected)
    for name in ("mean", "low", "high", "delta", "delta_low", "delta_high", "p", "p_holm"):
        assert merged[f"{name}_found"].to_numpy() == pytest.approx(
            merged[name].to_numpy(), rel=1e-6, abs=1e-9, nan_ok=True
        )
    mono = merged[(merged["measure"] == "RR@10") & (merged["setting"] == "monolingual")]
    assert (mono["verdict"] == mono["verdict_found"]).all()


def _without(name: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda rows: rows.drop(columns=name)


def _with(name: str, value: Any, place: int = 0) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(rows: pd.DataFrame) -> pd.DataFrame:
        column = rows[name].astype(object)
        column.iloc[place] = value
        return rows.assign(**{name: column})

    return change


REFUSED: dict[str, tuple[str, Callable[[pd.DataFrame], pd.DataFrame]]] = {
    "no value": ("table.columns", _without("value")),
    "no seed": ("table.columns", _without("seed")),
    "no row": ("table.empty", lambda rows: rows.head(0)),
    "NaN": ("table.empty_cell", _with("value", float("nan"))),
    "inf": ("table.value", _with("value", float("inf"))),
    "words": ("table.value", _with("value", "good")),
    "negative": ("table.range", _with("value", -0.1)),
    "above 1": ("table.range", _with("value", 1.5)),
    "half a seed": ("table.seed", _with("seed", 0.5)),
    "empty query": ("table.empty_cell", _with("query", None)),
    "twice": ("table.repeated", lambda rows: pd.concat([rows, rows.head(1)])),
    "twice, as another text": (
        "table.repeated",
        lambda rows: rows.assign(ratio=rows["ratio"].replace({0: "0", 1: "0.0"})),
    ),
    "shown alike": (
        "table.levels_alike",
        lambda rows: rows.assign(ratio=rows["ratio"] + 1_000_000),
    ),
    "alike as codes": ("table.levels_alike", lambda rows: rows.assign(ratio=rows["ratio"] / 1e11)),
    "an infinite level": (
        "table.level_infinite",
        lambda rows: rows.assign(ratio=rows["ratio"].replace({1: np.inf})),
    ),
    "a measure as a column": ("table.measure_taken", lambda rows: rows.assign(measure="seed")),
    "one level": ("table.one_level", lambda rows: rows[rows["ratio"] == 0]),
    "a query less": ("table.queries_differ", lambda rows: rows.drop(index=3)),
    "another query": ("table.queries_differ", _with("query", "other", 4)),
    "a path": ("names.folder", lambda rows: rows.assign(system="../up")),
    "a language": ("names.language", lambda rows: rows.assign(language="a b")),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_table_that_cannot_be_used_is_refused_in_one_line(tmp_path: Path, what: str) -> None:
    key, change = REFUSED[what]
    with refused(key) as refusal:
        write_foreign(change(rows_of({0.0: 0.0, 1.0: 0.1})), TableRequest(), tmp_path / "out")
    assert "\n" not in str(refusal.message)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("factor", ["mean", "setting", "verdict", "seed"])
def test_a_factor_that_is_a_column_of_the_report_is_refused(tmp_path: Path, factor: str) -> None:
    rows = rows_of({0.0: 0.0, 1.0: 0.1})
    rows[factor] = rows.get(factor, rows["ratio"])
    with refused("table.factor_taken"):
        write_foreign(rows, TableRequest(factor=factor), tmp_path / "out")


def test_levels_with_other_seeds_and_single_seeds_are_said(tmp_path: Path) -> None:
    rows = rows_of({0.0: 0.0, 0.5: 0.0, 1.0: 0.1}, seeds=(0, 1, 2, 3))
    fewer = rows[~((rows["ratio"] == 1.0) & (rows["seed"] == 3))]
    told = write_foreign(fewer, TableRequest(), tmp_path / "a")
    assert "warning: ratio = 1" not in told and "warning: ratio 1 has 3 seeds, 3 of them" in told
    results = pd.read_csv(tmp_path / "a" / "results.csv")
    assert set(results[results["ratio"] == 1.0]["delta_seeds"]) == {3}
    one = rows[rows["seed"] == 0]
    told = write_foreign(one, TableRequest(), tmp_path / "b")
    assert "warning: one seed" in told and "No verdict" in told
    copies = pd.concat([one.assign(seed=seed) for seed in (0, 1, 2)])
    told = write_foreign(copies, TableRequest(), tmp_path / "c")
    assert told.count("have the same values") == 6


def test_several_systems_are_apart_or_compared(tmp_path: Path) -> None:
    rows = rows_of({0.0: 0.0, 1.0: 0.1})
    both = pd.concat([rows.assign(system="a"), rows.assign(system="b")])
    write_foreign(both, TableRequest(), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "b"]
    named = rows.assign(system=rows["ratio"].map({0.0: "old", 1.0: "new"})).drop(columns="ratio")
    told = write_foreign(named, TableRequest(baseline="old", margin=0.02), tmp_path / "systems")
    assert "against system = old" in told and "superior: new" in told


def test_a_measure_of_ones_own_needs_a_margin(tmp_path: Path) -> None:
    rows = rows_of({0.0: 0.0, 1.0: 3.0}).assign(measure="utility")
    rows["value"] *= 20
    with refused("table.no_margin", "utility"):
        write_foreign(rows, TableRequest(), tmp_path / "out")
    told = write_foreign(rows, TableRequest(margin=0.5), tmp_path / "out")
    assert "margin of 0.5" in told and "superior: 1" in told
    with refused("report.measure_missing", "AP", "utility"):
        write_foreign(rows, TableRequest(measure="AP", margin=0.5), tmp_path / "out")
    with refused("table.baseline", "7"):
        write_foreign(rows, TableRequest(baseline="7", margin=0.5), tmp_path / "out")


@pytest.mark.parametrize("kind", ["csv", "parquet", "folder"])
def test_the_verb_reads_files_and_folders(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = rows_of({0.0: 0.0, 1.0: 0.1})
    path = tmp_path / f"mine.{'parquet' if kind == 'parquet' else 'csv'}"
    rows.to_parquet(path) if kind == "parquet" else rows.to_csv(path, index=False)
    if kind == "folder":
        (tmp_path / "mine").mkdir()
        path = path.rename(tmp_path / "mine" / "one.csv").parent
    assert report_verbs.report(["--table", str(path), "--margin", "0.02"]) == 0
    assert (tmp_path / "outputs/reports/mine/report.html").is_file()
    assert "ratio" in capsys.readouterr().out
    pd.testing.assert_frame_equal(read([path])[rows.columns], rows, check_dtype=False)


@pytest.mark.parametrize(
    "words, key",
    [
        (["--table", "x.csv"], "table.unreadable"),
        (["--table", "x.json"], "table.kind"),
        (["--table", "x.csv", "--runs", "*"], "option.table"),
        (["--table", "x.csv", "data.path=x"], "option.no_effect"),
        (["--table", "x.csv", "--margin", "-1"], "option.margin"),
        (["--runs", "*.trec"], "run_file.no_collection"),
        (["--runs", "*.trec", "--collection", "synthetic"], "run_file.missing"),
    ],
)
def test_words_that_cannot_be_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], key: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with refused(key):
        report_verbs.report(words)


def test_the_curve_has_a_mark_and_an_interval_for_each_level(tmp_path: Path) -> None:
    rows = foreign.checked(rows_of({"a": 0.0, "b$": 0.05, "c": -0.1}, "method"), "method")
    told = foreign._told(rows, "method", TableRequest("method", margin=0.03), "mine")
    figure = foreign.figure.draw(told)
    (axes,) = figure.axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["a", r"b\$", "c"]
    heights = [line.get_ydata() for line in axes.lines]
    spans = [ends for ends in heights if len(ends) == 2 and ends[0] != ends[1]]
    macro = told.results[(told.results["scope"] == "macro") & told.results["delta"].notna()]
    base = told.results[told.results["ratio"] == 0.0]["mean"].iloc[0]
    expected = macro[["delta_low_90", "delta_high_90"]].to_numpy() + base
    assert np.sort(np.array(spans), axis=0) == pytest.approx(np.sort(expected, axis=0))


def pages(rows: pd.DataFrame) -> pd.Series:
    """Clusters of four queries."""
    return "page " + (rows["query"].str.removeprefix("q").astype(int) // 4).astype(str)


def test_a_column_cluster_widens_intervals_as_a_file_does(tmp_path: Path) -> None:
    rows = rows_of({0.0: 0.0, 1.0: -0.02})
    alike = np.random.default_rng(2).normal(0, 0.1, 40)
    number = pages(rows).str.removeprefix("page ").astype(int)
    rows["value"] = np.clip(rows["value"] + rows["ratio"] * alike[number], 0, 1)
    asked = TableRequest()
    write_foreign(rows, asked, tmp_path / "alone")
    said = write_foreign(rows.assign(cluster=pages(rows)), asked, tmp_path / "column")
    path = tmp_path / "pages.csv"
    pairs = pd.DataFrame({"group": rows["query"], "cluster": pages(rows)}).drop_duplicates()
    pairs.to_csv(path, index=False)
    given = TableRequest(clusters=chosen(str(path)))
    write_foreign(rows, given, tmp_path / "file")
    tables = {}
    for name in ("alone", "column", "file"):
        table = pd.read_csv(tmp_path / name / "results.csv")
        tables[name] = table[table["ratio"] == 1].iloc[0]
    width = {name: row["delta_high"] - row["delta_low"] for name, row in tables.items()}
    assert tables["column"].drop("n_clusters").equals(tables["file"].drop("n_clusters"))
    assert width["column"] > 1.3 * width["alone"] and tables["column"]["n_clusters"] == 40
    assert tables["column"]["delta"] == pytest.approx(tables["alone"]["delta"])
    assert "160 questions in 40 clusters" in " ".join(said.split())
    assert "column cluster of the table" in (tmp_path / "column" / "report.md").read_text()


def test_a_query_in_two_clusters_or_none_is_refused(tmp_path: Path) -> None:
    rows = rows_of({0.0: 0.0, 1.0: -0.02}, queries=8)
    clusters = pages(rows)
    clusters[3] = "page 9"
    with refused("table.two_clusters", "q3"):
        write_foreign(rows.assign(cluster=clusters), TableRequest(), tmp_path)
    clusters[rows["query"] == "q3"] = None
    with refused("table.empty_cell", "q3"):
        write_foreign(rows.assign(cluster=clusters), TableRequest(), tmp_path)
    with refused("clusters.unknown", "q0"):
        asked = TableRequest(clusters=ClusterChoice(given={"other": "page 1"}, name="x.csv"))
        write_foreign(rows, asked, tmp_path)


@pytest.mark.parametrize(
    "seeds, largest",
    [(np.array([1, 2, 2**63], dtype=np.uint64), 2**63 - 1), (np.array([1.0, 2.0, 1e16]), 2**53)],
)
def test_a_seed_that_would_become_another_one_is_refused(
    tmp_path: Path, seeds: np.ndarray, largest: int
) -> None:
    rows = rows_of({0.0: 0.0, 1.0: -0.02}, queries=4)
    rows["seed"] = seeds[rows["seed"]]
    with refused("table.seed", largest):
        write_foreign(rows, TableRequest(), tmp_path)


def test_long_seeds_are_told_apart(tmp_path: Path) -> None:
    rows = rows_of({0.0: 0.0, 1.0: -0.02}, queries=40)
    rows["seed"] += 1234567890123456789
    write_foreign(rows, TableRequest(), tmp_path)
    table = pd.read_csv(tmp_path / "results.csv")
    seeds = " ".join(str(1234567890123456789 + number) for number in range(3))
    assert set(table["seeds"]) == {seeds}


def test_a_measure_that_is_not_in_the_table_is_refused_before_its_margin(tmp_path: Path) -> None:
    rows = rows_of({0.0: 0.0, 1.0: -0.02}, queries=4)
    for name in ("nDCG@10", "own"):
        with refused("report.measure_missing", name, "AP"):
            write_foreign(rows, TableRequest(measure=name), tmp_path)


def test_looks_that_are_told_widen_intervals_and_those_that_are_not_are_named(
    tmp_path: Path,
) -> None:
    rows = rows_of({0.0: 0.0, 1.0: -0.02})
    single = write_foreign(rows, TableRequest(), tmp_path / "single")
    interim = write_foreign(rows, TableRequest(looks=Looks(10)), tmp_path / "interim")
    last = write_foreign(rows, TableRequest(looks=Looks(3)), tmp_path / "last")
    assert "--seeds-planned" in single and "3 of 10 planned seeds" in " ".join(interim.split())
    tables = {}
    for name in ("single", "interim", "last"):
        table = pd.read_csv(tmp_path / name / "results.csv")
        tables[name] = table[table["ratio"] == 1].iloc[0]
    assert tables["last"].equals(tables["single"]) and "as told: 3" in " ".join(last.split())
    assert tables["interim"]["p"] > tables["single"]["p"]
    assert tables["interim"]["delta_low"] < tables["single"]["delta_low"]
    of_stats = stats.changes(rows, "ratio", 0.0, 0.01, looks=Looks(10))
    assert of_stats["p"][0] == pytest.approx(tables["interim"]["p"], rel=1e-7)


@pytest.mark.parametrize(
    "words",
    [["--looks", "3"], ["--seeds-planned", "0"], ["--seeds-planned", "5", "--looks", "3,6"]],
)
def test_looks_that_cannot_be_are_refused(tmp_path: Path, words: list[str]) -> None:
    with refused("option.looks"):
        report_verbs.report(["--table", str(tmp_path), *words])
