"""What the probe reads, refuses and writes: any order of rows, missing points, few seeds, further
collections.
"""

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hybrid_sweep.report.load import load
from hybrid_sweep.report.probe.report import Asked, write_probe
from hybrid_sweep.report.settings import check
from hybrid_sweep.runs.finished import KEY
from tests import snapshots
from tests.refused import refused
from tests.report.probe.probe_reading import BARE, read, runs_of, tables, written
from tests.report.sections import section


def outputs(sweep_dir: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (sweep_dir / "probe").iterdir()}


def test_the_same_runs_give_the_same_bytes_in_any_order_of_rows_and_points(sweep_dir: Path) -> None:
    probe = write_probe([sweep_dir], BARE)
    first = outputs(sweep_dir)
    assert sorted(first) == [
        "gained.jsonl",
        "lost.jsonl",
        "probe.csv",
        "probe.md",
        "shared.csv",
        "weak.jsonl",
    ]
    assert sorted(path.name for path in probe.paths) == sorted(first)
    for number, folder in enumerate(sorted(runs_of(sweep_dir).iterdir())):
        path = folder / "per_query.parquet"
        frame = pd.read_parquet(path).sample(frac=1, random_state=number)
        frame[frame.columns[::-1]].to_parquet(path, index=False)
    points = json.loads((sweep_dir / "points.json").read_text())
    points["points"] = points["points"][::-1]
    (sweep_dir / "points.json").write_text(json.dumps(points))
    write_probe([sweep_dir], BARE)
    assert outputs(sweep_dir) == first
    for path in (sweep_dir.parent, Path(__file__).parents[3]):
        assert str(path).encode() not in b"".join(first.values())


def test_numbers_are_rounded_to_nine_digits_and_no_record_holds_nan(sweep_dir: Path) -> None:
    write_probe([sweep_dir], BARE)
    for value in (sweep_dir / "probe" / "probe.csv").read_text().replace("\n", ",").split(","):
        digits = value.lstrip("-").split("e")[0].replace(".", "").lstrip("0")
        assert not digits.isdigit() or len(digits) <= 9, value
    for name in ("lost.jsonl", "gained.jsonl", "weak.jsonl"):
        assert "NaN" not in (sweep_dir / "probe" / name).read_text()


def test_ranks_that_contradict_the_table_are_refused(sweep_dir: Path) -> None:
    path = runs_of(sweep_dir) / "t050s1" / "per_query.parquet"
    frame = pd.read_parquet(path)
    frame[["rank_min", "rank_max"]] += 1
    frame.to_parquet(path, index=False)
    with refused("probe.ranks_disagree", "t050s1", "RR@10"):
        write_probe([sweep_dir], BARE)


def test_a_passage_that_was_not_retrieved_is_a_miss_without_a_rank(sweep_dir: Path) -> None:
    for folder in runs_of(sweep_dir).iterdir():
        frame = pd.read_parquet(folder / "per_query.parquet")
        frame["rank_min"] = frame["rank_min"].astype("Int64")
        frame["rank_max"] = frame["rank_max"].astype("Int64")
        question = frame["query_id"] == "g00003.en"
        alone = question & (frame["setting"] == "monolingual")
        frame.loc[alone, "rank_min"] = pd.NA if folder.name.startswith("t100") else 1
        frame.loc[alone, "RR@10"] = 0.0 if folder.name.startswith("t100") else 1.0
        frame.to_parquet(folder / "per_query.parquet", index=False)
    write_probe([sweep_dir], BARE)
    (entry,) = [
        entry
        for record in written(sweep_dir, "lost.jsonl")
        for entry in record["lost"]
        if entry["query"] == "g00003.en" and entry["setting"] == "monolingual"
    ]
    assert entry["rank"] == [None] * 3 and entry["rank_at_0"] == [1] * 3 and entry["drop"] == 1
    page = (sweep_dir / "probe" / "probe.md").read_text()
    (line,) = (line for line in page.splitlines() if "monolingual" in line and "g00003.en" in line)
    snapshots.check("probe/a passage that was not retrieved", line + "\n")


def test_several_queries_of_a_question_in_a_language_count_as_one_question(
    make_sweep: Callable[..., Path], world: Any
) -> None:
    """Doubling every query changes no count of questions and no test, where both stand at the same
    rank.
    """
    sweep_dir = make_sweep(world(questions=30))
    write_probe([sweep_dir], BARE)
    table = read(sweep_dir)
    for folder in runs_of(sweep_dir).iterdir():
        frame = pd.read_parquet(folder / "per_query.parquet")
        again = frame.assign(query_id=frame["query_id"] + "+")
        pd.concat([frame, again]).sort_values(KEY).to_parquet(
            folder / "per_query.parquet", index=False
        )
    write_probe([sweep_dir], BARE)
    pd.testing.assert_frame_equal(read(sweep_dir), table)
    entries = [entry for record in written(sweep_dir, "lost.jsonl") for entry in record["lost"]]
    assert {entry["query"] + "+" for entry in entries if "+" not in entry["query"]} == {
        entry["query"] for entry in entries if "+" in entry["query"]
    }


def test_warnings_about_the_points_are_printed_and_written(sweep_dir: Path) -> None:
    path = runs_of(sweep_dir) / "t050s1" / "provenance.json"
    path.write_text(path.read_text().replace('"torch": "2.13.0"', '"torch": "2.9.0"'))
    probe = write_probe([sweep_dir], BARE)
    (warning,) = check(load([sweep_dir]))
    texts = probe.console, (sweep_dir / "probe" / "probe.md").read_text()
    lines = [line for text in texts for line in text.splitlines() if warning in line]
    snapshots.check("probe/a warning", "\n".join(lines) + "\n")


def test_missing_points_are_named_and_change_the_exit_code(sweep_dir: Path) -> None:
    assert write_probe([sweep_dir], BARE).exit_code == 0
    (runs_of(sweep_dir) / "t100s1" / "metrics.json").unlink()
    probe = write_probe([sweep_dir], BARE)
    assert probe.exit_code == 1
    (line,) = (line for line in probe.console.splitlines() if "t100s1" in line)
    *_, last = section(
        (sweep_dir / "probe" / "probe.md").read_text(), "What the words mean"
    ).splitlines()
    snapshots.check("probe/a missing point", f"{line}\n{last}\n")
    assert write_probe([sweep_dir], Asked(texts=False, allow_missing=True)).exit_code == 0
    found = read(sweep_dir).query("part == 'change' and ratio == 1")
    assert (found["n_seeds"] == 2).all() and (found["interval"] == "conditional").all()
    assert written(sweep_dir, "lost.jsonl")[0]["seeds"] == [0, 2]


def test_lost_needs_the_seeds_of_both_ratios_and_weak_those_of_one(sweep_dir: Path) -> None:
    (runs_of(sweep_dir) / "t000s1" / "metrics.json").unlink()
    write_probe([sweep_dir], BARE)
    for name, seeds in (("lost", [0, 2]), ("gained", [0, 2]), ("weak", [0, 1, 2])):
        for record in (records := written(sweep_dir, f"{name}.jsonl")):
            assert record["seeds"] == seeds
            ranks = [entry["rank"] for entry in record[name]]
            assert {
                len(each)
                for rank in ranks
                for each in (rank.values() if name == "weak" else [rank])
            } == {len(seeds)}
        assert records


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_with_one_or_two_seeds_there_is_an_interval_and_no_claim(
    make_sweep: Callable[..., Path], seeds: tuple[int, ...]
) -> None:
    sweep_dir = make_sweep(seeds=seeds)
    probe = write_probe([sweep_dir], BARE)
    found = read(sweep_dir)
    assert (
        set(found["interval"]) == {"conditional"}
        and found["p"].isna().all()
        and found["p_holm"].isna().all()
    )
    assert set(found["word"].dropna()) == {"untested"}
    assert (found["low"] <= found["difference"]).all() and found["churn"].isna().any()
    name = "one seed" if len(seeds) == 1 else "two seeds"  # without a claim in it
    snapshots.check(f"probe/{name}", probe.console.replace(str(sweep_dir), "SWEEP_DIR") + "\n")


def test_one_language_has_no_pairs_and_no_shared_misses(
    make_sweep: Callable[..., Path], world: Any
) -> None:
    sweep_dir = make_sweep(world(languages=("en",)))
    probe = write_probe([sweep_dir], BARE)
    found = read(sweep_dir)
    assert set(found["part"]) == {"change"} and set(found["setting"]) == {
        "monolingual",
        "multilingual",
    }
    assert len((sweep_dir / "probe" / "shared.csv").read_text().splitlines()) == 1
    assert written(sweep_dir, "weak.jsonl") == [] and probe.exit_code == 0


def test_a_language_with_a_single_question_is_shown_and_not_tested(
    make_sweep: Callable[..., Path], world: Any
) -> None:
    sweep_dir = make_sweep(world(has={"fr": 0.01}))
    assert (
        len(tables(sweep_dir)[0.0, 0].query("query_lang == 'fr' and setting == 'monolingual'")) == 1
    )
    probe = write_probe([sweep_dir], BARE)
    found = (
        read(sweep_dir)
        .query("part == 'change' and ratio == 1 and setting == 'monolingual'")
        .set_index("scope")
    )
    assert (found["word"]["fr"], found["n_questions"]["fr"], found["interval"]["fr"]) == (
        "untested",
        1,
        "none",
    )
    assert found["p_holm"].drop(["fr", "macro"]).notna().all()
    pairs = read(sweep_dir).query(
        "part == 'languages' and ratio == 1 and setting == 'monolingual' and word != 'untested'"
    )
    # these are still compared
    assert pairs[["scope", "against"]].to_numpy().tolist() == [["de", "en"]]
    _, own, _, _, between, *_ = probe.console.split("\n\n")
    snapshots.check("probe/a language with a single question", f"{own}\n\n{between}\n")


def test_without_ratio_0_only_languages_are_compared(make_sweep: Callable[..., Path]) -> None:
    sweep_dir = make_sweep(ratios=(0.5, 1.0))
    probe = write_probe([sweep_dir], BARE)
    assert set(read(sweep_dir)["part"]) == {"languages"} and probe.exit_code == 0
    snapshots.check("probe/no ratio zero", probe.console.strip().split("\n\n")[0] + "\n")
    assert written(sweep_dir, "lost.jsonl") == [] and written(sweep_dir, "weak.jsonl")


def test_only_ratio_0_is_probed_for_its_languages(make_sweep: Callable[..., Path]) -> None:
    probe = write_probe([sweep_dir := make_sweep(ratios=(0.0,))], BARE)
    assert set(read(sweep_dir)["part"]) == {"languages"}
    snapshots.check("probe/ratio zero alone", probe.console.strip().split("\n\n")[0] + "\n")


def test_no_trained_point_is_one_clear_line(make_sweep: Callable[..., Path]) -> None:
    with refused("probe.no_trained_point"):
        write_probe([make_sweep(ratios=())], BARE)


def test_points_that_differ_in_more_than_the_ratio_are_refused(sweep_dir: Path) -> None:
    path = runs_of(sweep_dir) / "t100s1" / "config.yaml"
    path.write_text(path.read_text().replace("max_steps: 200", "max_steps: 300"))
    with refused("report.settings_mixed", "trainer.max_steps"):
        write_probe([sweep_dir], BARE)


def further(sweep_dir: Path, name: str) -> None:
    """Give every run a further collection: its own tables without French."""
    points = json.loads((sweep_dir / "points.json").read_text())
    for point in points["points"]:
        point["also"] = [name]
        run_dir = runs_of(sweep_dir) / point["run_id"]
        folder = run_dir / "evaluations" / name
        folder.mkdir(parents=True)
        frame = pd.read_parquet(run_dir / "per_query.parquet").query(
            "query_lang != 'fr' and passage_lang != 'fr'"
        )
        frame.to_parquet(folder / "per_query.parquet", index=False)
        passages = {"de": 7, "en": 9, "*": 16}
        known = {
            "run_id": point["run_id"],
            "collection": name,
            "languages": ["de", "en"],
            "passages": passages,
        }
        (folder / "metrics.json").write_text(json.dumps(known | {"fingerprint": "abc"}))
    (sweep_dir / "points.json").write_text(json.dumps(points))


def test_a_further_collection_is_probed_in_its_own_folder(sweep_dir: Path) -> None:
    further(sweep_dir, "other")
    with refused("option.on", "--on othre", ": other"):
        write_probe([sweep_dir], Asked(on="othre"))
    probe = write_probe([sweep_dir], Asked(on="other", texts=False))
    folder = sweep_dir / "on-other" / "probe"
    assert all(path.parent == folder for path in probe.paths) and not (sweep_dir / "probe").exists()
    found = pd.read_csv(folder / "probe.csv")
    assert set(found.query("part == 'change'")["scope"]) == {"macro", "de", "en", "de>en", "en>de"}
    pools = found.query("part == 'languages' and setting == 'monolingual'")[
        ["first_pool", "second_pool"]
    ]
    assert pools.drop_duplicates().to_numpy().tolist() == [[7, 9]]


def test_sweeps_are_probed_together(make_sweep: Callable[..., Path]) -> None:
    one, other = (
        make_sweep(ratios=(0.0, 0.5), name="one"),
        make_sweep(ratios=(1.0,), untrained=(), name="other"),
    )
    write_probe([one, other], BARE)
    assert sorted(read(one).query("part == 'change'")["ratio"].unique()) == [0.5, 1.0]
    assert not (other / "probe").exists()


def heavy() -> Iterator[str]:
    yield from (
        "torch",
        "lightning",
        "pytorch_lightning",
        "transformers",
        "hydra",
        "wandb",
        "matplotlib.pyplot",
    )


@pytest.mark.slow
def test_nothing_heavy_is_imported(sweep_dir: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from hybrid_sweep.report.probe.report import"
        f" write_probe\nwrite_probe([Path({str(sweep_dir)!r})])\nprint([name for name in"
        f" {list(heavy())!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_column_is_explained_in_the_page_and_in_the_documentation(sweep_dir: Path) -> None:
    write_probe([sweep_dir], BARE)
    page = (sweep_dir / "probe" / "probe.md").read_text()
    document = (Path(__file__).parents[3] / "docs" / "probe.md").read_text()
    for name in ("probe.csv", "shared.csv"):
        for column in pd.read_csv(sweep_dir / "probe" / name).columns:
            assert f"- `{column}`: " in page and f"`{column}`" in document, column
    for name in ("lost.jsonl", "gained.jsonl", "weak.jsonl"):
        for record in written(sweep_dir, name)[:1]:
            keys = {*record, *itertools.chain.from_iterable(record[name.split(".")[0]])}
            assert all(f"`{key}`" in document for key in keys), keys
