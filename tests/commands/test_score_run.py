"""A run file scored on a collection: equal to MS MARCO's official script, to trec_eval and to the
ranker that wrote it.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hybrid_sweep.commands.score_run import placed, score_words
from hybrid_sweep.config.compose import points
from hybrid_sweep.inputs.prepare import collection_of
from hybrid_sweep.retrieval import per_query, ranked_lists, run_files
from hybrid_sweep.retrieval.evaluated_texts import texts_of
from hybrid_sweep.retrieval.ranking import Dense
from hybrid_sweep.utils.files import read_json
from tests.refused import refused
from tests.retrieval.test_per_query import collection, qrels, texts


def official(reference: Path, candidate: Path) -> float:
    """MRR@10 as ms_marco_eval.py makes it, from its description: by position, over all queries of
    the reference.
    """
    relevant: dict[int, set[int]] = {}
    for line in reference.read_text().splitlines():
        # the grade is ignored: a line of grade 0 counts as relevant
        query, _, passage, _ = line.split("\t")
        relevant.setdefault(int(query), set()).add(int(passage))
    slots: dict[int, list[int]] = {}
    for line in candidate.read_text().splitlines():
        query, passage, rank = map(int, line.split("\t"))
        slots.setdefault(query, [0] * 1000)[rank - 1] = passage
    total = 0.0
    for query, passages in slots.items():
        found = [
            place
            for place, passage in enumerate(passages[:10], 1)
            if passage in relevant.get(query, set())
        ]
        total += 1 / found[0] if found else 0.0
    return total / len(relevant)


def marco(folder: Path, seed: int) -> None:
    """MS MARCO's files: 60 passages, 30 questions with one to three relevant ones; numbers start at
    1.
    """
    draw = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "collection.tsv").write_text(
        "".join(f"{number}\tpassage {number}\n" for number in range(1, 61))
    )
    (folder / "queries.dev.small.tsv").write_text(
        "".join(f"{number}\tquery {number}\n" for number in range(1, 31))
    )
    judged = [
        (query, passage)
        for query in range(1, 31)
        for passage in draw.choice(60, draw.integers(1, 4), replace=False) + 1
    ]
    (folder / "qrels.dev.small.tsv").write_text(
        "".join(f"{query}\t0\t{passage}\t1\n" for query, passage in judged)
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_marco_run_scores_as_the_official_script(cache, tmp_path, seed):
    marco(tmp_path / "marco", seed)
    draw, run = np.random.default_rng(seed), tmp_path / "run.tsv"
    with open(run, "w") as file:
        for query in draw.permutation(np.arange(1, 31))[: 30 - 5 * seed]:  # the others are missing
            ranks = np.sort(draw.choice(40, draw.integers(1, 30), replace=False)) + 1  # with gaps
            passages = draw.choice(60, len(ranks), replace=False) + 1
            order = draw.permutation(len(ranks))
            file.writelines(f"{query}\t{passages[at]}\t{ranks[at]}\n" for at in order)
    said = []
    words = [
        f"run={run}",
        "data=msmarco",
        f"data.path={tmp_path / 'marco'}",
        f"paths.outputs={tmp_path / 'out'}",
    ]
    shown = score_words([*words, "eval.measures=[success@5,AP-lareqa]"], said.append)
    expected = official(tmp_path / "marco" / "qrels.dev.small.tsv", run)
    (folder,) = (tmp_path / "out" / "scored").iterdir()
    metrics, table = (
        read_json(folder / "metrics.json"),
        pd.read_parquet(folder / "per_query.parquet"),
    )
    assert metrics["monolingual/RR@10"] == pytest.approx(expected, abs=1e-12)
    assert (
        f"{expected:.4f}" in shown
        and "success@5" in shown
        and "read as: queries in en in en" in shown
    )
    assert len(table) == 30 and table["setting"].unique().tolist() == ["monolingual"]
    assert metrics["queries_without_list"] == 5 * seed
    assert (f"{5 * seed} queries of these languages have no list and count as 0" in shown) == (
        seed > 0
    )
    assert metrics["run_id"] == folder.name == table["run_id"].unique().item()


def test_our_run_of_ms_marcos_numbers_scores_by_its_script_as_in_our_table(cache, tmp_path):
    marco(tmp_path / "marco", 1)
    words = ["data=msmarco", f"data.path={tmp_path / 'marco'}"]
    ((_, made),) = points([*words, "batch.cross_lingual_ratio=0"], multirun=False)
    case = collection_of(made)
    draw = np.random.default_rng(0)
    vectors = [
        draw.standard_normal((len(each), 6)).astype(np.float32)
        for each in (case.queries, case.passages)
    ]
    tables, ranker = (case.queries, case.passages, case.qrels), Dense(*vectors)
    table, _ = per_query.evaluate(*tables, ranker)
    run_files.write_runs(tmp_path / "runs", tables, ranker, 20, "t")
    written = tmp_path / "runs" / "monolingual.en.en.tsv"
    assert written.read_text().count("\n") == 30 * 20 and not list(
        (tmp_path / "runs").glob("multi*.tsv")
    )
    expected = table[table["setting"] == "monolingual"]["RR@10"].mean()
    assert (
        0
        < expected
        == pytest.approx(official(tmp_path / "marco" / "qrels.dev.small.tsv", written), abs=1e-12)
    )
    shown = score_words([f"run={written}", *words, f"paths.outputs={tmp_path / 'out'}"], print)
    assert f"{expected:.4f}" in shown


def test_scoring_a_file_needs_no_torch(cache, tmp_path):
    """Importing it would take longer than all the rest."""
    marco(tmp_path / "marco", 0)
    (tmp_path / "run.tsv").write_text("1\t3\t1\n")
    code = (
        "import sys; from hybrid_sweep.commands.score_run import score_words as score; score(sys.argv[1:],"
        " print); "
    )
    words = [f"run={tmp_path / 'run.tsv'}", "data=msmarco", f"data.path={tmp_path / 'marco'}"]
    command = [sys.executable, "-c", code + "assert 'torch' not in sys.modules", *words]
    subprocess.run([*command, f"paths.outputs={tmp_path / 'out'}"], check=True)


def test_a_grade_of_zero_is_not_relevant_here_though_it_is_to_the_official_script(cache, tmp_path):
    """Our one difference: what the judgements call irrelevant is."""
    marco(tmp_path / "marco", 0)
    qrels = tmp_path / "marco" / "qrels.dev.small.tsv"
    qrels.write_text("1\t0\t5\t0\n1\t0\t6\t1\n")
    (tmp_path / "run.tsv").write_text("1\t5\t1\n1\t6\t2\n")
    words = [f"run={tmp_path / 'run.tsv'}", "data=msmarco", f"data.path={tmp_path / 'marco'}"]
    score_words([*words, f"paths.outputs={tmp_path / 'out'}"], print)
    (folder,) = (tmp_path / "out" / "scored").iterdir()
    assert official(qrels, tmp_path / "run.tsv") == 1
    assert read_json(folder / "metrics.json")["monolingual/RR@10"] == 0.5


@pytest.mark.parametrize(
    ("lines", "key", "unknown"),
    [
        ("1\t5\t1\n99\t6\t1\n", "line.not_in_collection", "query '99'"),
        ("1\t5\t1\n1\t666\t2\n", "line.not_in_collection", "passage '666'"),
        ("1\t5\t1\n1\t5@en\t2\n", "line.passage_repeated", ""),
    ],
)
def test_unknown_ids_are_named_or_counted(cache, tmp_path, lines, key, unknown):
    marco(tmp_path / "marco", 0)
    (tmp_path / "run.tsv").write_text(lines)
    words = [f"run={tmp_path / 'run.tsv'}", "data=msmarco", f"data.path={tmp_path / 'marco'}"]
    words.append(f"paths.outputs={tmp_path / 'out'}")
    with refused(key, "line 2: ", unknown):
        score_words(words, print)
    assert not (tmp_path / "out" / "scored").exists()
    if unknown:
        shown = score_words([*words, "data.on_error=skip"], print)
        assert f"1 lines name an unknown {unknown.split()[0]}" in shown


def test_lists_are_scored_as_they_stand(tmp_path):
    with refused("run_file.own_document", "eval.own_document"):
        score_words([f"run={tmp_path}", "data=synthetic", "eval.own_document=leave_out"], print)


def test_no_key_is_named_that_the_collection_does_not_have(tmp_path, cache):
    (tmp_path / "run").write_text("a\tb\t1\n")
    with refused("line.not_in_collection", "'a'") as refusal:
        score_words([f"run={tmp_path / 'run'}", "data=synthetic", "data.groups=60"], print)
    assert "on_error" not in refusal.message


def test_words_that_name_no_run_or_no_collection():
    with refused("run_file.words", "run=FILE"):
        score_words(["run=a", "run=b", "data=msmarco"], print)
    with refused("run_file.no_collection", "data=NAME"):
        score_words(["run=a"], print)


def split(case):
    return case["queries"], case["passages"], case["qrels"]


@pytest.mark.parametrize(
    "setting", ["monolingual.a.a", "cross-lingual.é.B", "multilingual.mute.all"]
)
def test_whole_runs_of_our_own_have_the_ranks_of_their_ranker(tmp_path, setting):
    case = collection(11)
    ranker = Dense(case["query_vectors"], case["passage_vectors"])
    table, _ = per_query.evaluate(*split(case), ranker, measures=["AP-lareqa"])
    run_files.write_runs(tmp_path / "runs", split(case), ranker, 10**6, "t")
    found, asked, notes = placed(
        run_files.read_run(tmp_path / "runs" / f"{setting}.trec"), *split(case)[:2]
    )
    again, _ = ranked_lists.evaluate(*split(case), found, asked, measures=["AP-lareqa"])
    kind, query_lang, passage_lang = setting.split(".")
    passage_lang = passage_lang.replace("all", "*")
    assert notes["pools"] == {query_lang: passage_lang}
    mine = table[(table["query_lang"] == query_lang) & (table["passage_lang"] == passage_lang)]
    pd.testing.assert_frame_equal(again, mine.reset_index(drop=True), check_exact=True)
    assert again["setting"].unique().tolist() == [kind]


def test_a_language_with_lists_of_several_languages_is_read_as_multilingual(tmp_path):
    """Though single lists of it, of a biased encoder say, hold one language alone."""
    case = collection(5)
    known = texts_of(case["queries"], case["passages"])
    queries = np.flatnonzero(known.query_lang == known.languages.index("a"))[:2].tolist()
    ids, names = case["queries"]["id"].to_pylist(), case["passages"]["id"].to_pylist()
    own, other = (
        np.flatnonzero(known.passage_lang == known.languages.index(lang))[0] for lang in ("a", "B")
    )
    run = tmp_path / "run"
    run.write_text(
        f"{ids[queries[0]]} Q0 {names[own]} 1 2 t\n{ids[queries[1]]} Q0 {names[other]} 1 2 t\n"
    )
    found, asked, notes = placed(run_files.read_run(run), case["queries"], case["passages"])
    assert notes["pools"] == {"a": "*"} and set(found.pool.tolist()) == {len(known.languages)}
    assert (
        asked[known.query_lang == known.languages.index("a"), -1].all()
        and asked.sum() == asked[:, -1].sum()
    )
    assert notes["queries_of_languages_without_lists"] == int((~asked[:, -1]).sum()) > 0


def test_a_group_stands_for_its_text_only_where_it_has_one(tmp_path):
    case = collection(5)
    queries = case["queries"].to_pylist()
    count = pd.Series([row["group"] for row in queries]).value_counts()
    name = case["passages"]["id"][0].as_py()
    one, several = count[count == 1].index, count[count > 1].index
    (tmp_path / "run").write_text(f"{several[0]} Q0 {name} 1 2 t\n")
    with refused("line.several_texts", "line 1: ", f"query '{several[0]}'", count[several[0]]):
        placed(run_files.read_run(tmp_path / "run"), case["queries"], case["passages"])
    if len(one):
        (tmp_path / "run").write_text(f"{one[0]} Q0 {name} 1 2 t\n")
        found = placed(run_files.read_run(tmp_path / "run"), case["queries"], case["passages"])[0]
        assert queries[found.query[0]]["group"] == one[0]


def test_same_scores_in_a_run_are_one_block_of_lareqas_precision(tmp_path):
    """Two of four tied: the block's end is rank 4, whatever the ids are; sklearn's value on the
    same scores.
    """
    from sklearn.metrics import average_precision_score

    passages = texts([(name, f"g{name}", "de") for name in "abcd"])
    queries, judged = texts([("q", "g", "de")]), qrels([("g", "gb", 1), ("g", "gc", 1)])
    (tmp_path / "run").write_text(
        "".join(f"q Q0 {name} 1 1 t\n" for name in "abc") + "q Q0 d 0 7 t\n"
    )
    found, asked, _ = placed(run_files.read_run(tmp_path / "run"), queries, passages)
    table, _ = ranked_lists.evaluate(
        queries, passages, judged, found, asked, measures=["AP-lareqa"]
    )
    assert (
        table["AP-lareqa"].tolist()
        == [average_precision_score([0, 1, 1, 0], [1, 1, 1, 7])]
        == [0.5]
    )
    assert table["AP"].tolist() == [pytest.approx((1 / 3 + 2 / 4) / 2)]
