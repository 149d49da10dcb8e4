"""The training pairs of a collection as plain arrays: made once by vector operations, then mapped
from the cache.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hybrid_sweep.batching.streams import shared_groups
from hybrid_sweep.data.collection import Collection
from hybrid_sweep.data.lookup import index_in, sorted_unique, text_rows
from hybrid_sweep.data.negatives import FILES, HardNegatives, Negatives, build_negatives
from hybrid_sweep.data.sorting import mapped
from hybrid_sweep.utils import digests, safe_paths
from hybrid_sweep.utils.build_once import build_once
from hybrid_sweep.utils.files import atomic_dir, digest

VERSION = 1  # of the arrays in the cache; raised when their meaning changes
ARRAYS = ("query", "passage", "question", "answer", "judged")


@dataclass(frozen=True)
class Pairs:
    """The training pairs of one split, a column per group that exists somewhere in full.

    languages: sorted codes. ids: (G,) names of the groups, sorted. query, passage: (L, G) int32 row
    numbers in the tables of the collection, -1 where the group has no such text. A group counts as
    present in a language when it has both. question, answer: (G,) int64, number of the group's
    question and of its passage, in any language. judged: sorted int64 keys question * width +
    answer of all relevant judgements among them; width: above every number of a passage, those of
    hard negatives included. one_sided: the languages in which the collection has only queries, or
    only passages. The arrays may be read-only maps of files.
    """

    languages: list[str]
    ids: pa.ChunkedArray
    query: np.ndarray
    passage: np.ndarray
    question: np.ndarray
    answer: np.ndarray
    judged: np.ndarray
    width: int
    negatives: Negatives | None = None
    one_sided: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.question)

    @property
    def groups(self) -> np.ndarray:
        """Return (G,) the names of the groups as Python strings: for messages and tests, much
        memory for large collections.
        """
        return np.array(self.ids.to_pylist(), dtype=object)

    @property
    def present(self) -> np.ndarray:
        """Return (L, G) bool: the group has a query and a passage in the language."""
        return (self.query >= 0) & (self.passage >= 0)

    @functools.cached_property
    def is_ordered(self) -> bool:
        """Return whether pairs of languages are drawn in one order (`batching.one_sided`): where a
        language is one-sided, or no two languages have a query and a passage of one group each.
        """
        if len(self.languages) < 2:
            return False
        shared = shared_groups(self.present)
        return bool(self.one_sided) or not (shared - np.diag(np.diag(shared))).any()

    def negatives_in(
        self, groups: np.ndarray, asked: np.ndarray, partner: np.ndarray, read: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (B,) twice the languages in which a negative of each example must exist.

        Those of the drawn pair, so that no ratio draws others; of ordered pairs only the one that
        is read, where the group has no passage in one of the two.

        Args:
            groups: (B,) indices of the groups.
            asked: (B,) language of each query.
            partner: (B,) the other language of the drawn pair.
            read: (B,) language of each passage.
        """
        if not self.is_ordered:
            return asked, partner
        both = (self.passage[asked, groups] >= 0) & (self.passage[partner, groups] >= 0)
        return np.where(both, asked, read), np.where(both, partner, read)


def ordered_pairs(pairs: Pairs) -> NDArray[np.int64]:
    """Return (L, L): in how many groups language a has the query and language b the passage.

    Every training pair is one of these: on the diagonal the monolingual ones, elsewhere the
    cross-lingual ones.
    """
    return shared_groups(pairs.query >= 0, pairs.passage >= 0)


def pairs(collection: Collection, split: str) -> Pairs:
    """Return the question-passage pairs of a split: a group for each relevant judgement, named by
    its question.

    A question with several relevant passages gives one group for each, "question|passage".
    """
    return _pairs(collection, split)[0]


def _pairs(collection: Collection, split: str) -> tuple[Pairs, pa.Array, pa.Array]:
    """Return the pairs, and the groups of texts that the numbers of questions and answers stand
    for.
    """
    languages = collection.languages
    relevant = collection.qrels.filter(pc.greater(collection.qrels["grade"], 0))
    query_groups = sorted_unique(relevant["query_group"])
    passage_groups = sorted_unique(relevant["passage_group"])
    query = text_rows(collection.queries, query_groups, languages, split)
    passage = text_rows(collection.passages, passage_groups, languages, split)
    question = index_in(relevant["query_group"], query_groups)
    answer = index_in(relevant["passage_group"], passage_groups)
    here = np.any(query >= 0, axis=0)[question] & np.any(passage >= 0, axis=0)[answer]
    question, answer = question[here], answer[here]
    names = _names(relevant.filter(pa.array(here)))
    order = pc.sort_indices(
        pa.table({"name": names, "question": question, "answer": answer}),
        [("name", "ascending"), ("question", "ascending"), ("answer", "ascending")],
    ).to_numpy()
    question, answer, ids = question[order], answer[order], names.take(pa.array(order))
    questions, first = np.unique(question, return_inverse=True)
    answers, second = np.unique(answer, return_inverse=True)
    # The keys below fit int64: lookup.ROWS bounds the questions, and twice ROWS the width (answers
    # and negatives).
    width = max(1, len(answers))
    made = Pairs(
        languages,
        ids,
        query.take(question, axis=1),
        passage.take(answer, axis=1),
        first,
        second,
        np.sort(first * width + second),
        width,
        one_sided=tuple(collection.one_sided),
    )
    questions, answers = pa.array(questions), pa.array(answers)
    return made, query_groups.take(questions), passage_groups.take(answers)


def _names(relevant: pa.Table) -> pa.ChunkedArray:
    question = relevant["query_group"]
    answer = relevant["passage_group"]
    joined = pc.binary_join_element_wise(question, answer, "|")
    names = pc.if_else(pc.equal(question, answer), question, joined)
    if isinstance(names, pa.ChunkedArray):
        return names
    return pa.chunked_array([names])


def pair_store(
    cache: Path,
    collection: Collection,
    split: str,
    negatives: HardNegatives | None = None,
    say: Callable[[str], None] = print,
) -> Pairs:
    """Return the pairs of a split, mapped read-only from the cache, or built into it once (other
    processes wait).

    What is not whole, by the digests of its files, is built again, and `say` told so; so is what an
    earlier version stored without digests. Raises UserError for a file of negatives that cannot be
    used, with its line.
    """
    mark = None
    if negatives:
        mark = negatives.digest
    languages = collection.languages
    key = digest([collection.fingerprint, languages, split, mark, VERSION], 16)
    folder = safe_paths.inside(cache, "pairs", key)

    def read() -> Pairs | None:
        stored = _stored(cache, folder, collection, negatives is not None)
        if stored is None and folder.exists():
            fault = digests.fault(folder)
            say(f"the training pairs in {folder} are {fault}: they are made again now")
        return stored

    lock = cache / "pairs" / f"{key}.lock"
    pairs = build_once(lock, read, lambda: _build(folder, collection, split, negatives))
    assert pairs is not None
    return pairs


def _stored(cache: Path, folder: Path, collection: Collection, hard: bool) -> Pairs | None:
    """Return the pairs in a folder, or None where a file is not what was written or not as long as
    the others say.
    """
    try:
        info = digests.read_info(folder, digests.memory_of(cache, folder))
        if set(info["files"]) != set(_files(hard)):
            return None
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS}
        ids = mapped(folder / "ids.arrow")["id"]
        negatives = None
        if hard:
            negatives = Negatives.load(folder, arrays["question"])
    except (digests.Damaged, OSError, ValueError, LookupError, EOFError):
        return None
    sizes = {len(ids), *(array.shape[-1] for name, array in arrays.items() if name != "judged")}
    if sizes != {info["pairs"]}:
        return None
    one_sided = tuple(collection.one_sided)
    width = info["width"]
    return Pairs(
        collection.languages, ids, **arrays, width=width, negatives=negatives, one_sided=one_sided
    )


def _files(hard: bool) -> list[str]:
    """Return the names of all files of a store; hard: with hard negatives."""
    return [*(f"{name}.npy" for name in ARRAYS), "ids.arrow", *(FILES if hard else [])]


def _build(
    folder: Path, collection: Collection, split: str, negatives: HardNegatives | None
) -> None:
    made, questions, answers = _pairs(collection, split)
    width = made.width
    judged = made.judged
    counts = None
    with atomic_dir(folder) as temporary:
        if negatives:
            width, counts = build_negatives(
                negatives, collection, split, questions, answers, temporary
            )
            facts = [f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items()]
            negatives.say(f"{negatives.path}: {', '.join(facts)}")
            judged = judged // made.width * width + judged % made.width  # in the same order
        for name in ARRAYS:
            np.save(temporary / f"{name}.npy", judged if name == "judged" else getattr(made, name))
        table = pa.table({"id": made.ids})
        with pa.ipc.new_file(str(temporary / "ids.arrow"), table.schema) as writer:
            writer.write_table(table)
        info = {"pairs": len(made), "width": width, "negatives": counts}
        digests.write_info(temporary, info, _files(negatives is not None))
