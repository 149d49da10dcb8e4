"""The texts of an evaluation by language, its judged pairs, and its settings."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hybrid_sweep.retrieval.measures import Ints
from hybrid_sweep.utils.errors import UserError

CROSS_LINGUAL, MONOLINGUAL, MULTILINGUAL = range(3)
# sorted, so that codes sort as their names do
SETTINGS = ("cross-lingual", "monolingual", "multilingual")
POOL = "*"  # the passage language of the multilingual setting


@dataclass(frozen=True)
class TextCodes:
    """What ranking knows of Q queries and P passages: language codes, (Q,) and (P,), and the places
    of the ids.

    languages: sorted, L of them. query_order, tie_order: (Q,), (P,) the place of each id among all,
    in byte order.
    """

    languages: list[str]
    query_lang: Ints
    passage_lang: Ints
    query_order: Ints
    tie_order: Ints


def texts_of(queries: pa.Table, passages: pa.Table) -> TextCodes:
    """Return the codes of tables with id and lang; raises UserError for an empty side."""
    for table, kind in ((queries, "query"), (passages, "passage")):
        if not len(table):
            raise UserError(
                f"nothing to evaluate: no {kind} in this split and these languages; choose others",
                key="evaluation.no_texts",
            )
    languages = sorted(
        {*pc.unique(queries["lang"]).to_pylist(), *pc.unique(passages["lang"]).to_pylist()}
    )
    query_lang, passage_lang = (_codes(table["lang"], languages) for table in (queries, passages))
    return TextCodes(
        languages, query_lang, passage_lang, places(queries["id"]), places(passages["id"])
    )


def setting_of(query_lang: str, passage_lang: str) -> str:
    """Return the setting of the pool of a passage language, or of POOL."""
    if passage_lang == POOL:
        return SETTINGS[MULTILINGUAL]
    return SETTINGS[MONOLINGUAL if passage_lang == query_lang else CROSS_LINGUAL]


def judged_pairs(
    queries: pa.Table, passages: pa.Table, qrels: pa.Table, least: int = 1
) -> tuple[Ints, Ints, Ints]:
    """Return the row numbers of the query and of the passage, and the grade, of every relevant
    pair, (R,) each.

    A judgement of groups holds for all their language versions; grades below `least` and absent
    groups are left out. Memory: the judgements of these queries, and the texts that they name.
    """
    mine = qrels.filter(pc.is_in(qrels["query_group"], value_set=pc.unique(queries["group"])))
    pairs = mine.select(["query_group", "passage_group", "grade"]).to_pandas()
    twice = pairs.duplicated(["query_group", "passage_group"])
    if twice.any():
        first = pairs[twice].iloc[0]
        raise UserError(
            f"qrels: passage group {first.passage_group!r} is judged twice for query group "
            f"{first.query_group!r}; keep one of the judgements",
            key="data.judged_twice",
        )
    pairs = pairs[pairs["grade"] >= least]
    for kind, table in (("query", queries), ("passage", passages)):
        groups = pa.array(pairs[f"{kind}_group"].unique(), pa.string())
        named = pc.is_in(table["group"], value_set=groups)
        rows = np.flatnonzero(named.to_numpy(zero_copy_only=False))
        names = strings(table["group"].take(pa.array(rows)))
        side = pd.DataFrame({f"{kind}_group": names, kind: rows})
        pairs = pairs.merge(side, on=f"{kind}_group")
    columns = [pairs[name].to_numpy(dtype=np.int64) for name in ("query", "passage", "grade")]
    return columns[0], columns[1], columns[2]


def places(ids: pa.ChunkedArray | pa.Array) -> Ints:
    """Return (N,) the place of each id in byte order, which is that of Python strings too."""
    places = np.empty(len(ids), dtype=np.int64)
    places[pc.sort_indices(ids).to_numpy()] = np.arange(len(ids))
    return places


def _codes(names: pa.ChunkedArray, languages: list[str]) -> Ints:
    codes: Ints = pc.index_in(names, value_set=pa.array(languages)).to_numpy().astype(np.int64)
    return codes


def strings(column: pa.ChunkedArray) -> NDArray[np.object_]:
    """Return a column as Python strings."""
    strings: NDArray[np.object_] = column.to_numpy(zero_copy_only=False)
    return strings
