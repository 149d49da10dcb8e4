"""The per-query table of one-sided collections against a brute force of its own: float64, plain
loops, every measure by its definition.

Questions in English and Swahili; passages in English, Persian and Chinese, of which some have
versions in several languages and some stand alone; grades 0 to 3; questions without a relevant
passage in some language, or in any.
"""

import math

import numpy as np
import pyarrow as pa
import pytest

from hybrid_sweep.retrieval import per_query
from hybrid_sweep.retrieval.ranking import Dense

MEASURES = ("RR", "AP@5", "nDCG@3", "R@2", "P@4", "Rprec", "Success@2", "Judged@4", "P(rel=2)@3")
ASKS, ANSWERS = ("en", "sw"), ("en", "fa", "zh")


def collection(seed):
    """Rows of (id, group, lang), of judgements, and vectors in one of few directions, for ties."""
    draw = np.random.default_rng(seed)
    queries, passages, judged = [], [], []
    for number in range(7):
        languages = ASKS if number < 4 else ("en",)
        queries += [(f"q{number}-{lang}", f"q{number}", lang) for lang in languages]
    for number in range(12):
        own = ANSWERS if number < 4 else (ANSWERS[number % 3],)
        passages += [(f"p{number}-{lang}", f"p{number}", lang) for lang in own]
    for number in range(6):  # the last question has no judgement
        for passage in draw.choice(12, 5, replace=False).tolist():
            grade = 0 if number == 5 else int(draw.integers(0, 4))  # nor the one before a relevant
            judged.append((f"q{number}", f"p{passage}", grade))
    directions = draw.standard_normal((6, 5))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    vectors = directions[draw.integers(0, 6, len(queries) + len(passages))].astype(np.float32)
    return queries, passages, judged, vectors[: len(queries)], vectors[len(queries) :]


def measured(name, grades, depth):
    """A measure of a list of grades, None for what is not judged; depth: relevant in the pool."""
    relevant = [0 if grade is None else grade for grade in grades]
    least = 2 if "rel=2" in name else 1
    cut = int(name.rpartition("@")[2]) if "@" in name else len(grades)
    hits = [rank for rank, grade in enumerate(relevant, 1) if grade >= least]
    kind = name.split("@")[0].split("(")[0]
    if kind == "RR":
        return 1 / hits[0] if hits and hits[0] <= cut else 0.0
    if kind == "P":
        return sum(rank <= cut for rank in hits) / cut
    if kind == "R":
        return sum(rank <= cut for rank in hits) / depth
    if kind == "Rprec":
        return sum(rank <= depth for rank in hits) / depth
    if kind == "Success":
        return float(any(rank <= cut for rank in hits))
    if kind == "Judged":
        return sum(grade is not None for grade in grades[:cut]) / cut
    if kind == "AP":
        total = 0.0
        for place, rank in enumerate(hits, 1):
            if rank <= cut:
                total += place / rank
        return total / depth
    assert kind == "nDCG"
    best = sorted(relevant, reverse=True)
    gained, ideal = 0.0, 0.0
    for rank in range(1, min(cut, len(relevant)) + 1):
        gained += relevant[rank - 1] / math.log2(rank + 1)
        ideal += best[rank - 1] / math.log2(rank + 1)
    return gained / ideal


def brute_force(queries, passages, judged, query_vectors, passage_vectors):
    """Return the values of each (setting, query language, pool, query id) that has a row, and how
    many queries each pair that exists leaves out.
    """
    grades = {(query, passage): grade for query, passage, grade in judged}
    expected, left_out = {}, {}
    for at, (query, group, lang) in enumerate(queries):
        for target in (*ANSWERS, "*"):
            pool = []
            for row, (passage, own, spoken) in enumerate(passages):
                if target in ("*", spoken):
                    pairs = zip(query_vectors[at], passage_vectors[row], strict=True)
                    score = round(sum(float(one) * float(other) for one, other in pairs), 9)
                    pool.append((-score, passage, own, spoken))
            pool.sort()
            ranked = [grades.get((group, own)) for _, _, own, _ in pool]
            depth = sum(1 for grade in ranked if grade)
            place = (lang, target)
            left_out[place] = left_out.get(place, 0) + (depth == 0)
            if not depth:
                continue
            setting = "monolingual" if lang == target else "cross-lingual"
            setting = "multilingual" if target == "*" else setting
            values = {name: measured(name, ranked, depth) for name in MEASURES}
            for name in ("RR@10", "AP", "nDCG@10", "R@100"):
                values[name] = measured(name, ranked, depth)
            values["n_relevant"] = depth
            values["same@10"] = math.nan
            if target == "*" and lang in ANSWERS:
                first = pool[:10]
                values["same@10"] = sum(spoken == lang for *_, spoken in first) / len(first)
            expected[setting, lang, target, query] = values
    return expected, left_out


def table_of(rows):
    columns = zip(("id", "group", "lang"), zip(*rows, strict=True), strict=True)
    return pa.table({name: pa.array(column, pa.string()) for name, column in columns})


@pytest.mark.parametrize("seed", range(8))
def test_the_table_is_that_of_a_brute_force_in_every_setting_and_measure(seed):
    queries, passages, judged, query_vectors, passage_vectors = collection(seed)
    names = ("query_group", "passage_group", "grade")
    qrels = pa.table(dict(zip(names, map(list, zip(*judged, strict=True)), strict=True)))
    ranker = Dense(query_vectors, passage_vectors)
    texts = (table_of(queries), table_of(passages), qrels)
    table, report = per_query.evaluate(*texts, ranker, measures=MEASURES)
    expected, left_out = brute_force(queries, passages, judged, query_vectors, passage_vectors)
    keys = ["setting", "query_lang", "passage_lang", "query_id"]
    assert [tuple(row) for row in table[keys].to_numpy()] == sorted(expected)
    assert {"monolingual", "cross-lingual", "multilingual"} == set(table["setting"])
    for row in table.to_dict("records"):
        for name, value in expected[tuple(row[key] for key in keys)].items():
            assert row[name] == pytest.approx(value, abs=1e-9, nan_ok=True), (row, name)
    cells = {}
    for cell in report["cells"]:
        cells[cell["query_lang"], cell["passage_lang"]] = cell["without_relevant"]
    assert cells == left_out
    assert report["without_relevant"] == 2
