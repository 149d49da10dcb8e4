"""Mined triples are those of a brute force over the vectors, without any relevant group, and
training reads them.
"""

import gzip
import io
import shlex

import numpy as np
import pytest

from hybrid_sweep.commands import mine
from hybrid_sweep.commands.mine import Wanted, mine_words, of_vectors, write_triples
from hybrid_sweep.config.compose import points
from hybrid_sweep.inputs import splits
from hybrid_sweep.inputs.prepare import prepare
from hybrid_sweep.inputs.splits import Split
from tests.refused import refused
from tests.retrieval.test_per_query import collection


def quiet(_: str) -> None:
    pass


def brute_force(case, first, last, margin, languages=()):
    """Triples of a case by sorting scores: per query, its language's passages, or those of the
    languages, without all relevant groups.
    """
    queries, passages = case["queries"].to_pylist(), case["passages"].to_pylist()
    judged = {
        (row["query_group"], row["passage_group"])
        for row in case["qrels"].to_pylist()
        if row["grade"] > 0
    }
    score = np.round(
        case["query_vectors"].astype(float) @ case["passage_vectors"].astype(float).T, 9
    )
    found = set()
    for at, query in enumerate(queries):
        among = languages or [query["lang"]]
        pool = [row for row, passage in enumerate(passages) if passage["lang"] in among]
        pool.sort(key=lambda row: (-score[at, row], passages[row]["id"]))
        relevant = [row for row in pool if (query["group"], passages[row]["group"]) in judged]
        for row in pool[first - 1 : last]:
            if (
                relevant
                and row not in relevant
                and (margin is None or score[at, row] <= score[at, relevant[0]] - margin)
            ):
                found.add((query["id"], passages[relevant[0]]["id"], passages[row]["id"]))
    return found


@pytest.mark.parametrize(
    ("first", "last", "margin"), [(1, 5, None), (2, 4, None), (1, 9, 0.2), (1, 9, -0.3)]
)
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("pool", ["", "all", "a,é", "B"])
def test_triples_are_those_of_a_brute_force(seed, first, last, margin, pool):
    case, file = collection(seed), io.StringIO()
    split = Split(case["queries"], case["passages"], np.arange(0), np.arange(0))
    ask = of_vectors(case["query_vectors"], case["passage_vectors"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mine, "QUERIES", 3)
        wanted = Wanted(first, last, margin, tuple(pool.split(",")) if pool else ())
        counts = write_triples(file, split, case["qrels"], ask, wanted, quiet)
    lines = [tuple(line.split("\t")) for line in file.getvalue().splitlines()]
    languages = ["a", "B", "é"] if pool == "all" else [*filter(None, pool.split(","))]
    assert (
        set(lines) == brute_force(case, first, last, margin, languages)
        and len(set(lines)) == len(lines) == counts["triples"]
    )
    assert counts["questions"] == len({line[0] for line in lines})
    assert (counts["within_the_margin"] > 0) == (margin is not None)


@pytest.mark.parametrize("words", [["trainer.max_steps=0"], ["model=bm25"]])
def test_training_reads_what_was_mined(config, planned, tmp_path, words):
    target = tmp_path / "negatives.tsv.gz"
    if "model=bm25" in words:
        source = ["model=bm25", "data=synthetic", "data.groups=300"]
    else:
        source = [str(planned(*words, "batch.cross_lingual_ratio=0"))]
    said = mine_words(source, target, Wanted(2, 6), quiet)
    with gzip.open(target, "rt") as file:
        lines = [line.rstrip("\n").split("\t") for line in file]
    assert f"{len(lines):,} triples" in said
    _, _, following = said.partition("next: hybrid-sweep run ")
    [(_, made)] = points([*shlex.split(following), "model.vocabulary=600"], multirun=False)
    assert made.data.negatives == str(target) and prepare(made).pairs.negatives is not None
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    prepared = prepare(config(f"data.negatives={target}", "batch.hard_negatives=2"))
    texts = splits.split_of(prepared, "train")
    group = {
        row["id"]: (row["group"], row["lang"])
        for table in (texts.queries, texts.passages)
        for row in table.to_pylist()
    }
    judged = {
        (row["query_group"], row["passage_group"])
        for row in prepared.collection.qrels.to_pylist()
        if row["grade"]
    }
    assert all(
        group[query][1] == group[positive][1] == group[negative][1]
        for query, positive, negative in lines
    )
    assert all((group[query][0], group[positive][0]) in judged for query, positive, _ in lines)
    pairs = {(group[query][0], group[negative][0]) for query, _, negative in lines}
    assert not pairs & judged
    negatives = prepared.pairs.negatives
    assert negatives is not None and len(negatives.member) == len(pairs)


def test_a_stopped_mining_of_another_model_is_not_gone_on_with(planned, tmp_path, monkeypatch):
    """Their texts and tokens are the same: only the weights, here by the seed, are others."""
    one, other = (
        str(planned("trainer.max_steps=0", "batch.cross_lingual_ratio=0", f"seed={n}"))
        for n in (1, 2)
    )
    ask = {"wanted": Wanted(1, 3), "say": quiet}
    mine_words([other], tmp_path / "fresh.tsv", **ask)
    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        stopped.setattr(mine, "write_triples", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        mine_words([one], tmp_path / "x.tsv", **ask)
    assert (tmp_path / ".x.tsv.encoding").is_dir() and not (tmp_path / "x.tsv").exists()
    mine_words([other], tmp_path / "x.tsv", **ask)
    assert (tmp_path / "x.tsv").read_bytes() == (tmp_path / "fresh.tsv").read_bytes()


def test_what_cannot_be_mined_leaves_no_file(config, planned, tmp_path):
    folder, target = (
        planned("trainer.max_steps=0", "batch.cross_lingual_ratio=0"),
        tmp_path / "new" / "negatives.tsv",
    )
    with refused("option.ranks", "--from 0 --to 5"):
        mine_words([str(folder)], target, Wanted(0, 5))
    with refused("option.margin", "--margin"):
        mine_words(["model=bm25", "data=synthetic"], target, Wanted(1, 5, 0.1))
    with refused("option.pool", "--pool xa,zz", "zz", "xa, xb, xc, xd"):
        mine_words([str(folder)], target, Wanted(1, 5, pool=("xa", "zz")), quiet)
    with refused("mine.no_passage", "100000 to 100001"):
        mine_words([str(folder)], target, Wanted(100_000, 100_001), quiet)
    assert not target.exists()
