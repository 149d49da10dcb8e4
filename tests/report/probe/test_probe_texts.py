"""The probe's texts: those of the collection that the runs read, whole, and never those of another
build.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from hybrid_sweep.data import collection as collections
from hybrid_sweep.data.collection import Collection
from hybrid_sweep.report.probe.report import Asked, write_probe
from tests import ready, snapshots
from tests.refused import refused
from tests.report.sections import section
from tests.small import SMALL

NAMES = ("lost", "gained", "weak")


def runs_of(sweep_dir: Path) -> Path:
    return sweep_dir.parent.parent / "runs"


def built(questions: int = 40, word: str = "about") -> Collection:
    """Every question of the worlds, and of Spanish, which the runs leave out: a query, two relevant
    passages, others.
    """
    names = [(f"g{i:05d}", lang) for i in range(questions) for lang in ("de", "en", "es", "fr")]
    # Longer for later questions, with line breaks and other scripts, since texts must come through
    # as they are.
    queries = [
        (f"{g}.{lang}", g, lang, "test", f"{word} {g}\n{'長い ' * int(g[1:])}{lang}")
        for g, lang in names
    ]
    kinds = [("p", "test"), ("x", "*"), ("n", "test"), ("t", "train")]
    passages = [
        (f"{g}.{lang}.{k}", f"{g}.{k}", lang, split, f"{g} {lang} {k} " * 300)
        for g, lang in names
        for k, split in kinds
    ]
    groups = sorted({g for g, _ in names})
    grades = {"p": 1, "x": 2, "n": 0, "t": 1}
    judged = [(g, f"{g}.{k}", grade) for g in groups for k, grade in grades.items()]
    texts = [
        pa.table(
            dict(
                zip(("id", "group", "lang", "split", "text"), zip(*rows, strict=True), strict=True)
            )
        )
        for rows in (queries, passages)
    ]
    qrels = pa.table(
        dict(zip(("query_group", "passage_group", "grade"), zip(*judged, strict=True), strict=True))
    )
    return collections.make("toy", *texts, qrels, {"source": "a test"})


@pytest.fixture
def known(sweep_dir: Path, tmp_path: Path) -> tuple[Path, Path, Collection]:
    """A sweep whose runs name a collection, its folder, and the collection itself."""
    collection = built()
    folder = tmp_path / "built"
    collections.save(collection, folder)
    for path in runs_of(sweep_dir).glob("*/provenance.json"):
        found = json.loads(path.read_text())
        found["fingerprints"]["collection"] = collection.fingerprint
        path.write_text(json.dumps(found))
    return sweep_dir, folder, collection


def note(console: str) -> str:
    """What the console says where texts are missing: the paragraph before the last, in one line."""
    return " ".join(console.split("\n\n")[-2].split()) + "\n"


def written(sweep_dir: Path) -> dict[str, list[dict[str, Any]]]:
    lines = {
        name: (sweep_dir / "probe" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        for name in NAMES
    }
    return {name: [json.loads(line) for line in found] for name, found in lines.items()}


def test_the_texts_are_those_of_the_collection_whole_and_in_every_language(
    known: tuple[Path, Path, Collection],
) -> None:
    sweep_dir, folder, collection = known
    assert write_probe([sweep_dir], Asked(collection=folder)).exit_code == 0
    texts = {
        row["id"]: row
        for table in (collection.queries, collection.passages)
        for row in table.to_pylist()
    }
    files = written(sweep_dir)
    page = (sweep_dir / "probe" / "probe.md").read_text()
    (line,) = (line for line in page.splitlines() if collection.fingerprint in line)
    assert all(files.values())
    snapshots.check(
        "probe/where the texts are from", line.replace(collection.fingerprint, "BUILD") + "\n"
    )
    first = max(
        (entry for record in files["lost"] for entry in record["lost"]),
        key=lambda entry: float(entry["drop"]),
    )
    # its largest drop is quoted, in one line
    assert " ".join(texts[first["query"]]["text"].split())[:200] in page
    for record in [record for records in files.values() for record in records]:
        question = record["question"]
        assert [row["id"] for row in record["queries"]] == [
            f"{question}.{lang}" for lang in ("de", "en", "fr")
        ]
        # Relevant: grade above 0, of the split or of every split; the higher grade of a language
        # first.
        expected = [f"{question}.{lang}.{kind}" for kind in "xp" for lang in ("de", "en", "fr")]
        assert [row["id"] for row in record["relevant"]] == expected and record[
            "relevant_left_out"
        ] == 0
        for row in record["queries"] + record["relevant"]:
            assert (row["text"], row["language"]) == (
                texts[row["id"]]["text"],
                texts[row["id"]]["lang"],
            )
        assert [row["grade"] for row in record["relevant"]] == [2, 2, 2, 1, 1, 1]


def test_at_most_so_many_passages_one_of_every_language_first_and_the_rest_counted(
    known: tuple[Path, Path, Collection],
) -> None:
    sweep_dir, folder, _ = known
    write_probe([sweep_dir], Asked(collection=folder, most=4))
    for record in written(sweep_dir)["weak"]:
        assert [(row["language"], row["grade"]) for row in record["relevant"]] == [
            ("de", 2),
            ("en", 2),
            ("fr", 2),
            ("de", 1),
        ]
        assert record["relevant_left_out"] == 2


def test_lengths_are_thirds_of_the_queries_of_a_language(
    known: tuple[Path, Path, Collection],
) -> None:
    sweep_dir, folder, _ = known
    write_probe([sweep_dir], Asked(collection=folder))
    table = pd.read_csv(sweep_dir / "probe" / "probe.csv", keep_default_na=False)
    found = table[
        (table["passages"] == "length")
        & (table["setting"] == "monolingual")
        & (table["ratio"] == 1)
    ]
    assert found["scope"].tolist() == ["short", "middle", "long"] and found["against"].tolist() == [
        "",
        "short",
        "short",
    ]
    raw = pd.read_parquet(runs_of(sweep_dir) / "t000s0" / "per_query.parquet").query(
        "setting == 'monolingual'"
    )
    # Lengths grow with the number of a question, so that the cuts are known: n values lie below or
    # at (n - 1) / 3 + 1.
    cuts = [((n - 1) // 3 + 1, 2 * (n - 1) // 3 + 1, n) for n in raw.groupby("query_lang").size()]
    assert found["n_asked"].tolist() == [
        sum(cut[0] for cut in cuts),
        sum(cut[1] - cut[0] for cut in cuts),
        sum(cut[2] - cut[1] for cut in cuts),
    ]
    frames = {
        p.parent.name: pd.read_parquet(p) for p in runs_of(sweep_dir).glob("t*/per_query.parquet")
    }
    levels: dict[str, list[float]] = {"short": [], "long": []}
    for level, cells in levels.items():
        for _, part in raw.groupby("query_lang"):
            order = sorted(part["query_id"])
            n = len(order)
            chosen = (
                order[: (n - 1) // 3 + 1] if level == "short" else order[2 * (n - 1) // 3 + 1 :]
            )
            differences = []
            for seed in range(3):
                hits = [
                    frames[f"t{r}s{seed}"]
                    .query("setting == 'monolingual'")
                    .set_index("query_id")["rank_min"][chosen]
                    <= 10
                    for r in ("000", "100")
                ]
                differences.append(hits[1].mean() - hits[0].mean())
            cells.append(sum(differences) / 3)
    means = {level: sum(cells) / 3 for level, cells in levels.items()}
    by_level = found.set_index("scope")
    assert by_level["difference"][["short", "long"]].astype(float).tolist() == pytest.approx(
        list(means.values())
    )
    assert float(by_level["contrast"]["long"]) == pytest.approx(means["long"] - means["short"])


def test_another_build_is_refused_in_one_line(
    known: tuple[Path, Path, Collection], tmp_path: Path
) -> None:
    sweep_dir, _, collection = known
    other = built(word="again about")
    collections.save(other, tmp_path / "other")
    with refused("probe.other_collection", other.fingerprint, collection.fingerprint) as refusal:
        write_probe([sweep_dir], Asked(collection=tmp_path / "other"))
    assert "\n" not in refusal.message
    assert not (sweep_dir / "probe").exists()
    assert write_probe([sweep_dir], Asked(texts=False)).exit_code == 0


def test_damaged_texts_are_refused(known: tuple[Path, Path, Collection]) -> None:
    sweep_dir, folder, _ = known
    path = folder / "queries.arrow"
    path.write_bytes(path.read_bytes()[:-8])
    with refused("seals.altered"):
        write_probe([sweep_dir], Asked(collection=folder))


def test_a_collection_that_is_not_here_leaves_everything_but_the_texts(
    known: tuple[Path, Path, Collection], tmp_path: Path
) -> None:
    sweep_dir, folder, collection = known
    write_probe([sweep_dir], Asked(collection=folder))
    whole = written(sweep_dir)
    for path in runs_of(sweep_dir).glob("*/config.yaml"):
        config = path.read_text().replace("name: toy", f"name: files\n  path: {tmp_path / 'gone'}")
        path.write_text(config)
    probe = write_probe([sweep_dir])
    assert probe.exit_code == 1
    told = (
        note(probe.console).replace(str(tmp_path), "TMP").replace(collection.fingerprint, "BUILD")
    )
    page = (sweep_dir / "probe" / "probe.md").read_text()
    assert str(tmp_path) not in page
    written_there = section(page, "Lost at r = 1: the largest drops").splitlines()[0]
    snapshots.check("probe/texts that are not here", f"{told}\n{written_there}\n")
    for name, records in written(sweep_dir).items():
        assert [record["question"] for record in records] == [
            record["question"] for record in whole[name]
        ]
        for record, full in zip(records, whole[name], strict=True):
            assert record["relevant"] is None and record[name] == full[name]
            assert all(row["text"] is None for row in record["queries"]) and record["queries"]
    quiet = write_probe([sweep_dir], Asked(texts=False))
    assert quiet.exit_code == 0 and "--no-texts" not in quiet.console


def test_a_collection_that_is_not_prepared_names_the_command(
    known: tuple[Path, Path, Collection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep_dir, _, collection = known
    monkeypatch.setenv("HYBRID_SWEEP_CACHE", str(tmp_path / "empty"))
    for path in runs_of(sweep_dir).glob("*/config.yaml"):
        path.write_text(path.read_text().replace("name: toy", "name: debian"))
    probe = write_probe([sweep_dir], how=lambda data: f"prepare {data.name}")
    told = note(probe.console)
    assert "prepare debian" in told and not (tmp_path / "empty").exists()
    snapshots.check(
        "probe/a collection that is not prepared", told.replace(collection.fingerprint, "BUILD")
    )


def test_runs_that_name_no_build_get_no_texts(known: tuple[Path, Path, Collection]) -> None:
    sweep_dir, folder, _ = known
    for path in runs_of(sweep_dir).glob("*/provenance.json"):
        path.unlink()
    probe = write_probe([sweep_dir], Asked(collection=folder))
    assert probe.exit_code == 1
    snapshots.check("probe/runs that name no build", note(probe.console))


@pytest.mark.slow
def test_a_real_sweep_through_the_command_line(cache: Path, tmp_path: Path) -> None:
    """Trained in seconds on generated text: lost questions, their ranks and their texts are those
    of the runs.
    """

    def cli(*words: str, code: int = 0) -> str:
        done = ready.run(["-m", "hybrid_sweep", *words], cwd=tmp_path)
        assert done.returncode == code, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout + done.stderr

    further = [
        "+data@eval.also.other=synthetic",
        "eval.also.other.groups=60",
        "eval.also.other.seed=5",
    ]
    words = [
        "trainer.max_steps=20",
        "logger=disabled",
        "batch.cross_lingual_ratio=0,1",
        "seed=0,1,2",
        "sweep.name=s",
    ]
    cli("run", "-m", *SMALL, *words, *further)
    told = cli("probe", "outputs/sweeps/s")
    assert (
        told.splitlines()[-1].endswith("outputs/sweeps/s/probe/probe.md")
        and "--no-texts" not in told
    )
    found = written(tmp_path / "outputs/sweeps/s")
    plan = json.loads((tmp_path / "outputs/sweeps/s/points.json").read_text())["points"]
    runs = {(p["ratio"], p["seed"]): p["run_id"] for p in plan if p["kind"] == "trained"}
    frames = {
        point: (
            pd.read_parquet(tmp_path / "outputs/runs" / run / "per_query.parquet").set_index(
                ["query_id", "passage_lang"]
            )["rank_min"]
        )
        for point, run in runs.items()
    }
    run_dir = tmp_path / "outputs/runs" / runs[0.0, 0]
    mark = json.loads((run_dir / "identity.json").read_text())["fingerprints"]["collection"]
    # other tests have put other collections into the same cache
    built = (cache / "collections").glob("synthetic-*")
    several = [collections.load(path) for path in built if (path / "info.json").is_file()]
    collection = next(one for one in several if one.fingerprint.startswith(mark))
    texts = {
        row["id"]: row["text"]
        for table in (collection.queries, collection.passages)
        for row in table.to_pylist()
    }
    assert found["lost"] and found["gained"] and found["weak"]
    for name in ("lost", "gained"):
        for record in found[name]:
            for entry in record[name]:
                for ratio, key in ((0.0, "rank_at_0"), (1.0, "rank")):
                    ranks = [
                        int(frames[ratio, s][entry["query"], entry["passage_language"]])
                        for s in range(3)
                    ]
                    assert entry[key] == ranks
                    hits = sum(rank <= 10 for rank in ranks)
                    assert (hits >= 2) == ((name == "lost") == (key == "rank_at_0"))
            assert record["relevant"] and record["queries"]
            for row in record["queries"] + record["relevant"]:
                assert row["text"] == texts[row["id"]]
    assert "on-other" in cli(
        "probe", "outputs/sweeps/s", "--on", "other", "--ratio", "1", "--at", "3"
    )
    assert (tmp_path / "outputs/sweeps/s/on-other/probe/weak.jsonl").is_file()
    assert "--on ohter" in cli("probe", "outputs/sweeps/s", "--on", "ohter", code=2)
    (tmp_path / "outputs/runs" / runs[1.0, 2] / "metrics.json").unlink()
    assert runs[1.0, 2] in cli("probe", "outputs/sweeps/s", code=1)
    cli("probe", "outputs/sweeps/s", "--allow-missing")
