"""Run files are read as they stand, or refused by file and line; what is written is read back as
the same ranks.
"""

import gzip

import numpy as np
import pyarrow as pa
import pytest
import pytrec_eval

from hybrid_sweep.retrieval import per_query, run_files
from hybrid_sweep.retrieval.ranking import Dense
from hybrid_sweep.retrieval.run_files import read_run, write_runs, write_trec
from tests.refused import refused
from tests.retrieval.test_per_query import collection, texts


def lines(run):
    names = zip(
        run.query.tolist(), run.passage.tolist(), run.rank.tolist(), run.last.tolist(), strict=True
    )
    return [
        (run.queries[query], run.passages[passage], rank, last)
        for query, passage, rank, last in names
    ]


def test_scores_order_a_trec_run_and_ids_break_ties(tmp_path):
    path = tmp_path / "run"
    path.write_text(
        "q Q0 b 2 .5 t\nq Q0 c 1 5e-1 t\nr Q0 b 1 -3 t\nq Q0 a 3 0.5 t\nq Q0 z 0 9 t\nq Q0 y 9"
        " -1 t\n"
    )
    tied = [("q", "a", 2, 4), ("q", "b", 3, 4), ("q", "c", 4, 4)]
    assert lines(read_run(path)) == [("q", "z", 1, 1), *tied, ("q", "y", 5, 5), ("r", "b", 1, 1)]
    zeros = tmp_path / "zeros"
    zeros.write_text("q Q0 b 0 1 t\nq Q0 c 0 2 t\n")  # equal ranks say nothing
    assert lines(read_run(zeros)) == [("q", "c", 1, 1), ("q", "b", 2, 2)]


@pytest.mark.parametrize("width", [3, 6])
def test_each_line_may_have_tabs_or_spaces(tmp_path, width):
    words = ["q Q0 p{} {} {} t" if width == 6 else "q p{} {}"] * 3
    plain = [line.format(n, n, -n) for n, line in enumerate(words, 1)]
    mixed = [plain[0].replace(" ", "\t"), plain[1], plain[2].replace(" ", "  ", 1) + " "]
    split = [line.replace(" ", "\t", 2) for line in plain]
    runs = []
    for name, file in (("a", plain), ("b", mixed), ("c", mixed[::-1]), ("d", split)):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in file))
        run = read_run(tmp_path / name)
        runs.append([run.passages[at] for at in run.passage])
    assert runs == [["p1", "p2", "p3"]] * 4


def test_between_tabs_an_id_may_hold_spaces(tmp_path):
    (tmp_path / "x").write_text("a b\tc d\t1\na b\te f g h\t2\n")
    run = read_run(tmp_path / "x")
    assert run.queries == ["a b"] and run.passages == ["c d", "e f g h"]


def test_ranks_of_a_marco_run_count_as_they_stand(tmp_path):
    path = tmp_path / "run.gz"
    path.write_bytes(gzip.compress(b"7\t30\t4\n8\t30\t1\n7\t20\t2\n"))
    assert lines(read_run(path)) == [("7", "20", 2, 2), ("7", "30", 4, 4), ("8", "30", 1, 1)]


@pytest.mark.parametrize(
    ("text", "line", "key", "fact"),
    [
        ("", None, "data.file_empty", ""),
        ("q\tp\n", 1, "line.columns", "2 columns"),
        ("1\t2\t1\n1 3\n", 2, "line.columns", "2 columns, the first line 3"),
        ("q Q0 p 1 2 t\n \n", 2, "line.columns", "0 columns"),
        ("q Q0 p 1 2 t\nq Q0 p 2 1 t\n", 2, "line.repeated_in_list", "passage 'p'"),
        ("1\t2\t1\n1\t3\t1\n", 2, "line.repeated_in_list", "rank 1"),
        ("1\t2\t1\n2\t2\t1\n1\t2\t2\n", 3, "line.repeated_in_list", "passage '2'"),
        ("1\t2\t0\n", 1, "line.rank", "'0'"),
        ("1\t2\t-1\n", 1, "line.rank", "'-1'"),
        ("q Q0 p 1.5 2 t\n", 1, "line.rank", "'1.5'"),
        ("q Q0 p 1 nan t\n", 1, "line.score", "'nan'"),
        ("q Q0 p 1 1_0 t\n", 1, "line.score", "'1_0'"),
        ("q Q0 p 1 high t\n", 1, "line.score", "'high'"),
        ("q Q0 p 1 1 t\nr Q0 p 1 1 t\nq Q0 o 2 2 t\n", 3, "line.rank_contradicts_score", "rank 2"),
        ("q Q0 p 1 1 t\r\n", 1, "line.carriage_return", ""),
        ("q Q0 p 1 1 t\n\n", 2, "line.empty", "is empty"),
        ("1\t2\t1\n\n", 2, "line.empty", "is empty"),
    ],
)  # fmt: skip
def test_bad_lines_are_named(tmp_path, text, line, key, fact):
    path = tmp_path / "run"
    path.write_bytes(text.encode())
    with refused(key, path, fact) as refusal:
        read_run(path)
    assert line is None or f"line {line}:" in refusal.message


def test_written_runs_hold_our_order_and_scores_exactly(tmp_path):
    case = collection(3)
    ranker = Dense(case["query_vectors"], case["passage_vectors"])
    tables = (case["queries"], case["passages"], case["qrels"])
    write_runs(tmp_path / "runs", tables, ranker, 10**6, "tag")
    table, _ = per_query.evaluate(*tables, ranker)
    qrels: dict[str, dict[str, int]] = {}
    for line in (tmp_path / "runs" / "qrels.trec").read_text().splitlines():
        query, zero, passage, grade = line.split(" ")
        assert zero == "0"
        qrels.setdefault(query, {})[passage] = int(grade)
    assert 0 in {grade for found in qrels.values() for grade in found.values()}
    files = sorted(path.name for path in (tmp_path / "runs").iterdir())
    languages = ["B", "a", "mute", "é"]
    kind = {True: "monolingual", False: "cross-lingual"}
    expected = [
        f"{kind[one == other]}.{one}.{other}.trec" for one in languages for other in ("B", "a", "é")
    ]
    assert files == sorted(
        [*expected, *(f"multilingual.{one}.all.trec" for one in languages), "qrels.trec"]
    )
    for setting, query_lang, passage_lang in (
        table[["setting", "query_lang", "passage_lang"]].drop_duplicates().values
    ):
        name = f"{setting}.{query_lang}.{'all' if passage_lang == '*' else passage_lang}.trec"
        run = read_run(tmp_path / "runs" / name)
        # Our ranks are those of the file as it stands, of the file as read, and of trec_eval, fed
        # with the ranks.
        written = [line.split() for line in (tmp_path / "runs" / name).read_text().splitlines()]
        ids = list(dict.fromkeys(one[0] for one in written))
        assert ids == sorted(ids)
        assert [(one[0], one[2], int(one[3])) for one in written if one[0] == written[0][0]] == [
            line[:3] for line in lines(run) if line[0] == written[0][0]
        ]
        by_rank: dict[str, dict[str, float]] = {}
        for query, passage, rank, _ in lines(run):
            by_rank.setdefault(query, {})[passage] = -float(rank)
        found = pytrec_eval.RelevanceEvaluator(qrels, {"map"}).evaluate(by_rank)
        rows = table[(table["setting"] == setting) & (table["query_lang"] == query_lang)]
        rows = rows[rows["passage_lang"] == passage_lang]
        relevant = {"*": set(case["passages"]["id"].to_pylist())}
        for lang in ("B", "a", "é"):
            relevant[lang] = {
                row["id"] for row in case["passages"].to_pylist() if row["lang"] == lang
            }
        for query, value in rows[["query_id", "AP"]].values:
            # The file of judgements holds all languages; AP in one counts those of its own pool.
            number = sum(grade > 0 for name, grade in qrels[query].items())
            mine = sum(
                grade > 0 for name, grade in qrels[query].items() if name in relevant[passage_lang]
            )
            assert found[query]["map"] * number / mine == pytest.approx(value, abs=1e-9)
    assert all(
        line.split()[5] == "tag" for line in (tmp_path / "runs" / files[0]).read_text().splitlines()
    )


def test_scores_are_written_to_the_last_digit(tmp_path):
    rows, scores = np.array([[1, 0]]), np.array([[0.1 + 0.2, 1e-9]])
    write_trec(tmp_path / "run", ["q"], pa.chunked_array([["a", "b"]]), rows, scores, "t")
    assert (tmp_path / "run").read_text() == "q Q0 b 1 0.30000000000000004 t\nq Q0 a 2 1e-09 t\n"


def test_a_marco_run_ends_where_its_script_ends_and_needs_one_number_a_text(tmp_path, monkeypatch):
    monkeypatch.setattr(run_files, "MARCO_DEPTH", 2)
    queries = texts([("a", "7", "de"), ("b", "7", "en")])
    judged = pa.table({"query_group": ["7"], "passage_group": ["1"], "grade": [1]})
    ranker = Dense(np.eye(2, 3, dtype=np.float32), np.eye(4, 3, dtype=np.float32))
    for name, groups, files in (
        ("one", "1203", 4),
        ("twice", "1130", 0),
        ("word", ["1", "2", "x", "3"], 0),
    ):
        passages = texts(
            [
                (f"p{place}", group, "de" if place < 3 else "en")
                for place, group in enumerate(groups)
            ]
        )
        write_runs(tmp_path / name, (queries, passages, judged), ranker, 5, "t")
        assert len(list((tmp_path / name).glob("*.tsv"))) == files
    assert (tmp_path / "one" / "monolingual.de.de.tsv").read_text() == "7\t1\t1\n7\t2\t2\n"
    assert (tmp_path / "one" / "cross-lingual.en.de.tsv").read_text() == "7\t2\t1\n7\t1\t2\n"


def test_an_id_with_white_space_cannot_be_written(tmp_path):
    case = texts([("a b", "g", "de")])
    vectors = np.eye(1, dtype=np.float32)
    judged = pa.table({"query_group": ["g"], "passage_group": ["g"], "grade": [1]})
    with refused("run_file.white_space", "'a b'"):
        write_runs(tmp_path / "runs", (case, case, judged), Dense(vectors, vectors), 5, "t")
    assert not list(tmp_path.iterdir())
