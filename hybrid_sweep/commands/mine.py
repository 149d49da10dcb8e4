"""The verb `mine`: hard negatives of the training questions by a trained model or BM25, as triples
that training reads.

Each question, in each of its languages, is asked of the training passages in that language, or of
those of a pool of languages.
"""

import gzip
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa

from hybrid_sweep.commands.evaluate import config_of
from hybrid_sweep.config.schema import Bm25Model, Config, run_id
from hybrid_sweep.config.words import assignment, of_data
from hybrid_sweep.inputs.prepare import Prepared, fingerprints_of, prepare
from hybrid_sweep.inputs.splits import Split, split_of
from hybrid_sweep.models import encoding
from hybrid_sweep.models.encoder import in_precision
from hybrid_sweep.models.loading import build_encoder
from hybrid_sweep.models.tokens import pad_id
from hybrid_sweep.retrieval import bm25
from hybrid_sweep.retrieval.evaluated_texts import TextCodes, judged_pairs, texts_of
from hybrid_sweep.retrieval.exact_scores import Vectors, scores
from hybrid_sweep.retrieval.measures import Floats, Ints
from hybrid_sweep.retrieval.ranking import Dense
from hybrid_sweep.runs.vectors import jobs_of
from hybrid_sweep.utils import names
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import atomic_write

Say = Callable[[str], None]
QUERIES = 65_536  # whose lists are in memory at a time
SPLIT = "train"


@dataclass(frozen=True)
class Wanted:
    """Which candidates are written: those of the ranks from `first` to `last`, counted from 1, and
    with a `margin` only those whose score is at least so much below that of the best positive.

    pool: the languages of the passages that are searched, ("all",) = all of the collection; empty =
    the language of the question.
    """

    first: int
    last: int
    margin: float | None = None
    pool: tuple[str, ...] = ()


def mine_words(words: Sequence[str], target: Path, wanted: Wanted, say: Say = print) -> str:
    """Write the triples of the model and collection that the words name, and return what was found
    in one line, and in another the command that trains on it.

    words: as for `evaluate`: a run folder, or overrides with a model. Raises UserError for what is
    not there, and where no passage qualifies.
    """
    if not 1 <= wanted.first <= wanted.last:
        raise UserError(
            f"--from {wanted.first} --to {wanted.last}: ranks count from 1, and the last is not"
            " before the first",
            key="option.ranks",
        )
    config = config_of(list(words))
    if wanted.margin is not None and isinstance(config.model, Bm25Model):
        raise UserError(
            "--margin compares the scores of an encoder; BM25 has none of that kind: leave it out",
            key="option.margin",
        )
    prepared = prepare(config, say)
    _check_pool(wanted.pool, prepared.collection.languages)
    split = split_of(prepared, SPLIT)
    # what is encoded stays until the triples are there
    work = target.parent / f".{target.name}.encoding"
    if isinstance(config.model, Bm25Model):
        ask = _bm25(config.model, prepared, split, say)
    else:
        ask = _dense(config, prepared, split, work, say)
    with atomic_write(target) as temporary, _opened(temporary, target) as file:
        counts = write_triples(file, split, prepared.collection.qrels, ask, wanted, say)
        if not counts["triples"]:
            raise UserError(
                f"no passage of the ranks {wanted.first} to {wanted.last} qualifies ({counts});"
                " nothing was written",
                key="mine.no_passage",
            )
    shutil.rmtree(work, ignore_errors=True)
    told = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in counts.items())
    return f"{target}: {told}\n{_next(config, target)}"


def _check_pool(pool: Sequence[str], languages: Sequence[str]) -> None:
    """Refuse a pool of languages that the collection does not have."""
    for language in pool:
        if language not in languages and list(pool) != ["all"]:
            raise UserError(
                f"--pool {','.join(pool)}: {names.shown(language)} is no language of the"
                f" collection; there are: {', '.join(languages)}, or all",
                key="option.pool",
            )


def _next(config: Config, target: Path) -> str:
    """Return the command that trains on what was mined."""
    words = ["next: hybrid-sweep run", *of_data(config.data)]
    words += [assignment("data.negatives", str(target)), "data.negatives_format=triples"]
    if len(config.data.languages) == 1:
        words.append("batch.cross_lingual_ratio=0")
    return " ".join([*words, "batch.hard_negatives=1"])


# A function from query rows and a pool of passage rows to the first k of the pool, and its scores;
# and of pairs the scores.
Ask = Callable[[Ints, Ints, int, TextCodes], tuple[Ints, Floats]]
Score = Callable[[Ints, Ints], Floats]


def write_triples(
    file: IO[str],
    split: Split,
    qrels: pa.Table,
    ask: tuple[Ask, Score | None],
    wanted: Wanted,
    say: Say,
) -> dict[str, int]:
    """Write a line `query TAB positive TAB negative` of text ids for each negative; counts of what
    became of all.

    The positive is the best relevant passage in the query's language, or in the pool; a query
    without one has no line. Passages of all relevant groups are left out, whatever their language
    and their grade above 0.
    """
    texts = texts_of(split.queries, split.passages)
    query, passage, _ = judged_pairs(split.queries, split.passages, qrels)
    relevant = np.sort(query * len(split.passages) + passage)
    searched = _searched(texts.languages, wanted.pool)
    here = searched[texts.query_lang[query], texts.passage_lang[passage]]
    query, passage = query[here], passage[here]
    top, score = ask
    if score:
        value = score(query, passage)
    else:
        value = np.zeros(len(query))
    order = np.lexsort((texts.tie_order[passage], -value, query))
    asked, at = np.unique(query[order], return_index=True)
    positive = np.full(len(split.queries), -1)
    best = np.zeros(len(split.queries))
    positive[asked], best[asked] = passage[order][at], value[order][at]
    counts = {"triples": 0, "questions": 0, "relevant_left_out": 0, "within_the_margin": 0}
    for code, language in enumerate(texts.languages):
        pool = np.flatnonzero(searched[code, texts.passage_lang])
        mine = asked[texts.query_lang[asked] == code]
        for start in range(0, len(mine), QUERIES):
            rows = mine[start : start + QUERIES]
            say(f"{language}: {start:,} of {len(mine):,} questions")
            ranked, scored = top(rows, pool, wanted.last, texts)
            ranked, scored = ranked[:, wanted.first - 1 :], scored[:, wanted.first - 1 :]
            hit = np.isin(rows[:, None] * len(split.passages) + ranked, relevant)
            near = np.zeros_like(hit)
            if wanted.margin is not None:
                near = ~hit & (scored > best[rows, None] - wanted.margin)
            line, column = np.nonzero(~hit & ~near)
            columns = (
                split.queries["id"].take(pa.array(rows[line])),
                split.passages["id"].take(pa.array(positive[rows[line]])),
                split.passages["id"].take(pa.array(ranked[line, column])),
            )
            for ids in zip(*(column_.to_pylist() for column_ in columns), strict=True):
                file.write("\t".join(ids) + "\n")
            counts["triples"] += len(line)
            counts["questions"] += len(np.unique(line))
            counts["relevant_left_out"] += int(hit.sum())
            counts["within_the_margin"] += int(near.sum())
    return counts


def _searched(languages: Sequence[str], pool: Sequence[str]) -> np.ndarray:
    """Return (L, L) bool: a question in the first language is asked of passages in the second."""
    if not pool:
        return np.eye(len(languages), dtype=bool)
    inside = np.isin(languages, pool) | (list(pool) == ["all"])
    return np.repeat(inside[None, :], len(languages), axis=0)


def _dense(
    config: Config, prepared: Prepared, split: Split, work: Path, say: Say
) -> tuple[Ask, Score | None]:
    """Return lists by the vectors of an encoder, which are encoded into `work`, shard by shard: a
    stopped mining goes on.
    """
    device = None
    if config.trainer.accelerator == "gpu":
        device = "cuda"
    # All that makes the vectors: a stopped mining of another model, seed or pooling is not gone on
    # with.
    content = [
        run_id(config, fingerprints_of(config, prepared)),
        prepared.collection.languages,
        SPLIT,
    ]
    jobs = jobs_of(config, prepared, split, work, content)
    encoder = build_encoder(config.model, prepared.model, config.seed).to(device or "cpu")
    if config.eval.precision != "trained":
        encoder = in_precision(encoder, config.eval.precision)
    encoding.encode_jobs(
        jobs,
        encoder,
        pad_id(prepared.model),
        _now_and_then(say, sum(len(job.rows) for job in jobs)),
    )
    queries, passages = (encoding.opened(job) for job in jobs)
    return of_vectors(queries, passages, device)


def of_vectors(queries: Vectors, passages: Vectors, device: str | None = None) -> tuple[Ask, Score]:
    """Return lists and scores of vectors."""

    def ask(rows: Ints, pool: Ints, k: int, texts: TextCodes) -> tuple[Ints, Floats]:
        return Dense(np.asarray(queries[rows]), passages, device).top(k, texts.tie_order, pool)

    return ask, lambda query, passage: scores(queries, passages, query, passage)


def _bm25(model: Bm25Model, prepared: Prepared, split: Split, say: Say) -> tuple[Ask, Score | None]:
    """Return lists by words: an index of the pool."""
    collection = prepared.collection

    def ask(rows: Ints, pool: Ints, k: int, texts: TextCodes) -> tuple[Ints, Floats]:
        tables = (
            table.select(["lang", "text"]).take(pa.array(numbers))
            for table, numbers in (
                (collection.queries, split.query_rows[rows]),
                (collection.passages, split.passage_rows[pool]),
            )
        )
        queries, passages = tables
        ranked, score = bm25.build(queries, passages, model, say).top(k, texts.tie_order[pool])
        return pool[ranked], score

    return ask, None


def _opened(temporary: Path, target: Path) -> IO[str]:
    """Return a text file, packed where the target's name asks for it."""
    if target.suffix == ".gz":
        return gzip.open(temporary, "wt", encoding="utf-8")
    return open(temporary, "w", encoding="utf-8")


def _now_and_then(say: Say, total: int) -> Callable[[int], None]:
    """Say about every ten seconds how many texts are encoded."""
    told = [time.monotonic()]

    def tell(done: int) -> None:
        if time.monotonic() - told[0] > 10:
            told[0] = time.monotonic()
            say(f"encoded {done:,} of {total:,} texts")

    return tell
