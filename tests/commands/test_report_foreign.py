"""Run files and labelled models of other people, reported as a sweep."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hybrid_sweep.commands import report_foreign, report_verbs
from hybrid_sweep.commands.labels import keep_labelled, labels_of
from hybrid_sweep.data.datasets import sources
from hybrid_sweep.report.foreign import report as foreign
from tests.commands.test_score_run import marco, official
from tests.refused import refused
from tests.report.conftest import World, per_query


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stand-in for the figure, which takes most of the time."""

    def save(figure: Any, folder: Path, name: str) -> tuple[Path, Path, Path]:
        for kind in ("png", "pdf", "svg"):
            (folder / f"{name}.{kind}").write_text("drawn")
        return folder / f"{name}.png", folder / f"{name}.pdf", folder / f"{name}.svg"

    monkeypatch.setattr(foreign, "save", save)
    monkeypatch.chdir(tmp_path)


def write_runs(folder: Path, names: dict[tuple[float, int], str]) -> None:
    """A run of every question for each ratio and seed; a higher ratio ranks worse."""
    folder.mkdir()
    for (ratio, seed), name in names.items():
        chance = np.random.default_rng([int(10 * ratio), seed])
        with open(folder / name, "w") as file:
            for query in range(1, 31):
                passages = chance.permutation(60)[: 30 - int(20 * ratio)] + 1
                for rank, passage in enumerate(passages, 1):
                    file.write(f"{query}\t{passage}\t{rank}\n")


PLACES = [(ratio, seed) for ratio in (0.0, 0.5) for seed in (0, 1, 2)]


@pytest.mark.parametrize("form", ["r{0:g}_s{1}.tsv", "ratio={0:g},seed={1}.run", "labels"])
def test_run_files_are_scored_and_reported(cache: Path, tmp_path: Path, form: str) -> None:
    marco(tmp_path / "marco", 3)
    names = {}
    for number, place in enumerate(PLACES):
        names[place] = f"system-{number}.tsv" if form == "labels" else form.format(*place)
    write_runs(tmp_path / "runs", names)
    words = ["--runs", "runs/*", "--collection", "msmarco", f"data.path={tmp_path / 'marco'}"]
    if form == "labels":
        lines = [f"{names[place]},{place[0]},{place[1]}" for place in PLACES]
        (tmp_path / "labels.csv").write_text("\n".join(["file,ratio,seed", *lines]) + "\n")
        words += ["--labels", "labels.csv"]
    assert report_verbs.report(words) == 0
    results = pd.read_csv(tmp_path / "outputs/reports/runs/results.csv")
    mine = results[(results["measure"] == "RR@10") & (results["scope"] == "macro")]
    mine = mine.set_index("ratio")
    reference = tmp_path / "marco" / "qrels.dev.small.tsv"
    for ratio in (0.0, 0.5):
        scores = [official(reference, tmp_path / "runs" / names[ratio, seed]) for seed in range(3)]
        assert mine.loc[ratio, "mean"] == pytest.approx(np.mean(scores), abs=1e-9)
    assert mine.loc[0.5, "delta_seeds"] == 3


@pytest.mark.parametrize("asked", ["", "none", "FILE"])
def test_the_clusters_of_a_collection_are_counted(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    monkeypatch.setattr(
        sources, "clusters_of", lambda *_: {str(query): str(query // 5) for query in range(1, 29)}
    )
    marco(tmp_path / "marco", 3)
    names = {(ratio, seed): f"r{ratio:g}_s{seed}.tsv" for ratio, seed in PLACES}
    write_runs(tmp_path / "runs", names)
    words = ["--runs", "runs/*", "--collection", "msmarco", f"data.path={tmp_path / 'marco'}"]
    if asked == "FILE":
        lines = [f"{query},{query % 2}" for query in range(1, 31)]
        (tmp_path / "mine.csv").write_text("\n".join(["group,cluster", *lines]) + "\n")
        words += ["--clusters", "mine.csv"]
    elif asked:
        words += ["--clusters", asked]
    assert report_verbs.report(words) == 0
    results = pd.read_csv(tmp_path / "outputs/reports/runs/results.csv")
    count = results["n_clusters"].max() if "n_clusters" in results else np.nan
    text = (tmp_path / "outputs/reports/runs/report.md").read_text()
    if asked == "none":
        assert not count > 0
    else:
        # six of five questions or fewer, and two that are in none
        assert count == (2 if asked else 8)
    assert ("known of the collection msmarco" in text) == (asked == "")
    assert ("given in mine.csv" in text) == (asked == "FILE")


def test_files_without_labels_are_refused(cache: Path, tmp_path: Path) -> None:
    write_runs(tmp_path / "runs", {(0.0, 0): "first.tsv"})
    words = ["--runs", "runs/*", "--collection", "msmarco"]
    with refused("run_file.no_label", "first.tsv"):
        report_verbs.report(words)
    (tmp_path / "labels.csv").write_text("name\nx\n")
    with refused("table.columns", "labels.csv"):
        report_verbs.report([*words, "--labels", "labels.csv"])
    (tmp_path / "labels.csv").write_text("file,seed\nother.tsv,1\n")
    with refused("run_file.no_label", "first.tsv"):
        report_verbs.report([*words, "--labels", "labels.csv"])


@pytest.mark.parametrize(
    "name, ratio, seed",
    [
        ("r0.5_s3.trec", "0.5", "3"),
        ("bm25.ratio-1.seed-12.run.gz", "1", "12"),
        ("model=x,ratio=0.25,seed=0.tsv", "0.25", "0"),
        ("R2_r0_s1.trec", "0", "1"),
    ],
)
def test_the_name_of_a_file_tells_ratio_and_seed(name: str, ratio: str, seed: str) -> None:
    found = report_foreign._of_names([Path(name)])
    assert found == {Path(name): {"ratio": ratio, "seed": seed}}


def test_labelled_models_are_reported_together(tmp_path: Path) -> None:
    world, means = World(questions=20), {}
    for ratio in (0.0, 1.0):
        for seed in (0, 1, 2):
            run = tmp_path / f"run-{ratio}-{seed}"
            run.mkdir()
            table = per_query(world, run.name, ratio, seed)
            table.to_parquet(run / "per_query.parquet", index=False)
            labels, rest = labels_of([f"label.ratio={ratio}", "data=x", f"label.seed={seed}"])
            assert rest == ["data=x"]
            told = keep_labelled(run, tmp_path / "outputs", labels)
            mono = table[table["setting"] == "monolingual"]
            means[ratio, seed] = mono.groupby("query_lang")["RR@10"].mean().mean()
    assert told.endswith("--table " + str(tmp_path / "outputs/labelled/labelled"))
    assert report_verbs.report(["--table", "outputs/labelled/labelled"]) == 0
    results = pd.read_csv(tmp_path / "outputs/reports/labelled/results.csv")
    chosen = (results["measure"] == "RR@10") & (results["setting"] == "monolingual")
    mine = results[chosen & (results["scope"] == "macro")].set_index("ratio")
    change = np.mean([means[1.0, seed] - means[0.0, seed] for seed in (0, 1, 2)])
    assert mine.loc[1.0, "delta"] == pytest.approx(change)


@pytest.mark.parametrize(
    "words, key",
    [
        (["label.ratio=0.5"], "label.seed"),
        (["label.ratio=0.5", "label.seed=x"], "label.seed"),
        (["label.seed=1"], "label.word"),
        (["label.ratio", "label.seed=1"], "label.word"),
        (["label.a/b=1", "label.seed=1"], "label.word"),
        (["label.system=../x", "label.seed=1"], "names.folder"),
    ],
)
def test_labels_that_say_nothing_are_refused(words: list[str], key: str) -> None:
    with refused(key):
        labels_of(words)
