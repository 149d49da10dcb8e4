"""Score an existing run file, of any system, on a collection: `hybrid-sweep evaluate run=FILE
data=NAME`.

One file may hold lists of several languages' queries. Which pool the lists of a query language are
about is read off them: where all their passages are in one language, that language's; else the
mixed one. So no list is scored against a pool that its system did not search.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hybrid_sweep.config.compose import points
from hybrid_sweep.config.schema import Config, FileData
from hybrid_sweep.config.words import keys
from hybrid_sweep.data.lookup import index_in
from hybrid_sweep.inputs.prepare import collection_of
from hybrid_sweep.retrieval import ranked_lists
from hybrid_sweep.retrieval.evaluated_texts import POOL, TextCodes, texts_of
from hybrid_sweep.retrieval.means import summary
from hybrid_sweep.retrieval.measures import ALWAYS, Ints
from hybrid_sweep.retrieval.run_files import RunFile, read_run
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import atomic_dir, digest, file_digest, write_json
from hybrid_sweep.utils.text_lines import SKIP, refuse


def score_words(words: Sequence[str], say: Callable[[str], None]) -> str:
    """Score the file of the word run=FILE, under the overrides that the other words are; returns
    the table to print.

    per_query.parquet and metrics.json are written to outputs/scored/ID, where ID names the content
    of the run and of the collection and the measures. Raises UserError for what is not there, a bad
    line and an unknown id.
    """
    files = [word.partition("=")[2] for word in words if word.startswith("run=")]
    if len(files) != 1 or not files[0]:
        raise UserError(
            "evaluate run=FILE scores one run file; give the word once", key="run_file.words"
        )
    path = Path(files[0]).expanduser()
    scorer = Scorer([word for word in words if not word.startswith("run=")], say)
    config = scorer.config
    collection = scorer.collection
    table, notes, report = scorer.scored(path)
    asked_of = [config.eval.split, collection.languages, sorted(config.eval.measures), scorer.skip]
    name = digest([file_digest(path), collection.fingerprint, asked_of])
    table.insert(0, "run_id", name)
    table.insert(1, "collection", collection.name)
    metrics = {
        "run_id": name,
        "run_file": str(path.absolute()),
        "collection": collection.name,
        "fingerprint": collection.fingerprint,
        **summary(table, collection.languages),
        **notes,
        **report,
    }
    folder = Path(config.paths.outputs) / "scored" / name
    with atomic_dir(folder) as temporary:
        table.to_parquet(temporary / "per_query.parquet", index=False)
        write_json(temporary / "metrics.json", metrics)
    return shown(metrics, folder, config)


class Scorer:
    """Scores run files on one collection, which is read once.

    Args:
        words: overrides, of which data=NAME names the collection.
        say: prints a line.
    """

    def __init__(self, words: Sequence[str], say: Callable[[str], None]) -> None:
        self.config, self.say = _config_of(words), say
        self.collection = collection_of(self.config, say)
        data = self.config.data
        split = self.config.eval.split
        self.queries, self.passages = (
            table.filter(pc.is_in(table["split"], value_set=pa.array(splits)))
            for table, splits in (
                (self.collection.queries, [split]),
                (self.collection.passages, [split, "*"]),
            )
        )
        self.skip = isinstance(data, FileData) and data.on_error == "skip"
        self.hint = SKIP if isinstance(data, FileData) else ""  # others have no such key

    def scored(self, path: Path) -> tuple[pd.DataFrame, dict[str, Any], dict[str, Any]]:
        """Return the per-query table of a run file, what was noted of its lines, and the report."""
        self.say(f"reading {path}")
        run = read_run(path)
        tables = (self.queries, self.passages)
        lists, asked, notes = placed(run, *tables, skip=self.skip, hint=self.hint)
        qrels = self.collection.qrels
        names = self.config.eval.measures
        table, report = ranked_lists.evaluate(*tables, qrels, lists, asked, measures=names)
        return table, notes, report


def _config_of(words: Sequence[str]) -> Config:
    """Return the config of the words beside run=FILE."""
    # Nothing is trained, so a single language is no contradiction to a share of cross-lingual
    # steps.
    if "data" not in keys(words):
        raise UserError(
            "evaluate run=FILE needs the collection that the run is about: data=NAME",
            key="run_file.no_collection",
        )
    ((_, config),) = points([*words, "batch.cross_lingual_ratio=0"], multirun=False)
    if config.eval.own_document != "keep":
        raise UserError(
            "evaluate run=FILE scores the lists as they stand: leave out eval.own_document, and the"
            " lines of own documents",
            key="run_file.own_document",
        )
    return config


def _refuse_line(run: RunFile, at: int, what: str, hint: str) -> None:
    """Raise UserError for a line that names a text which is not evaluated."""
    refuse(
        run.path,
        int(run.line[at]),
        f"the {what} is not in the collection, in its split and languages evaluated"
        + (f"; {hint}" if hint else ""),
        key="line.not_in_collection",
    )


def placed(
    run: RunFile, queries: pa.Table, passages: pa.Table, *, skip: bool = False, hint: str = ""
) -> tuple[ranked_lists.RankedLists, NDArray[np.bool_], dict[str, Any]]:
    """Return the lists of a run in row numbers, (Q, L + 1) which pools its queries were asked of,
    and what was noted.

    Ids are those of the texts, or their groups where only one text of the group is there. An
    unknown id raises UserError with file and line, and the hint how to leave such lines out; skip:
    its lines are left out and counted, and the ranks of the others stay.
    """
    texts = texts_of(queries, passages)
    count = len(texts.languages)
    notes = dict[str, Any]()
    keep = np.ones(len(run.line), dtype=bool)
    numbers = []
    for kind, table, names, codes in (
        ("query", queries, run.queries, run.query),
        ("passage", passages, run.passages, run.passage),
    ):
        row = _rows(run, kind, table, names, codes)
        lost = row[codes] == -1
        if lost.any() and not skip:
            at = int(np.flatnonzero(lost)[np.argmin(run.line[lost])])
            _refuse_line(run, at, f"{kind} {names[codes[at]]!r}", hint)
        if lost.any():
            notes[f"unknown_{kind}_lines"] = int(lost.sum())
        keep &= ~lost
        numbers.append(row)
    query = numbers[0][run.query[keep]]
    passage = numbers[1][run.passage[keep]]
    if not len(query):
        raise UserError(
            f"{run.path}: no line names a query and a passage of the collection",
            key="run_file.no_line",
        )
    _once(run, keep, query, passage)
    pools = _pools(texts, query, passage)
    asked = np.zeros((len(texts.query_lang), count + 1), dtype=bool)
    with_lists = pools[texts.query_lang] >= 0
    asked[with_lists, pools[texts.query_lang][with_lists]] = True
    named = [*texts.languages, POOL]
    notes |= {
        "pools": {
            texts.languages[code]: named[pool]
            for code, pool in enumerate(pools.tolist())
            if pool >= 0
        },
        "queries_without_list": int(with_lists.sum()) - len(np.unique(query)),
        "queries_of_languages_without_lists": int((~with_lists).sum()),
    }
    lists = ranked_lists.RankedLists(
        query, passage, pools[texts.query_lang[query]], run.rank[keep], run.last[keep]
    )
    return lists, asked, notes


def _rows(run: RunFile, kind: str, table: pa.Table, names: list[str], codes: Ints) -> Ints:
    """Return (N,) row of the text of each name, by its id or else as the only text of its group; -1
    where there is none.
    """
    wanted = pa.array(names, pa.string())
    by_id, by_group = np.full((2, len(names)), -1, dtype=np.int64)
    for row, column in ((by_id, "id"), (by_group, "group")):
        place = index_in(table[column], wanted)
        rows = np.flatnonzero(place >= 0)
        row[place[rows]] = rows
    versions = np.bincount(place[rows], minlength=len(names))  # of each group
    lines = np.flatnonzero((versions[codes] > 1) & (by_id[codes] < 0))
    if len(lines):
        at = int(lines[np.argmin(run.line[lines])])
        name = names[codes[at]]
        reason = (
            f"the {kind} {name!r} stands for {versions[codes[at]]} texts, as in several languages"
        )
        refuse(
            run.path,
            int(run.line[at]),
            f"{reason}; take the ids of single texts, or data.languages=[ONE]",
            key="line.several_texts",
        )
    return np.where(by_id >= 0, by_id, by_group)


def _once(run: RunFile, keep: NDArray[np.bool_], query: Ints, passage: Ints) -> None:
    """Refuse a passage that two ids of a query's list name: its text's id and its group."""
    order = np.lexsort((passage, query))
    again = (np.diff(query[order]) == 0) & (np.diff(passage[order]) == 0)
    if again.any():
        line = int(run.line[keep][order[1:][again]].min())
        refuse(
            run.path,
            line,
            "names a passage that another line of the query names by another id",
            key="line.passage_repeated",
        )


def _pools(texts: TextCodes, query: Ints, passage: Ints) -> Ints:
    """Return (L,) the pool that the lists of each query language are about: a language, L for all,
    -1 without lists.
    """
    count = len(texts.languages)
    seen = np.zeros((count, count), dtype=bool)
    seen[texts.query_lang[query], texts.passage_lang[passage]] = True
    number = seen.sum(axis=1)
    return np.where(number == 0, -1, np.where(number == 1, seen.argmax(axis=1), count))


def shown(metrics: dict[str, Any], folder: Path, config: Config) -> str:
    """Return the means by setting, macro over languages or pairs, to four decimals, and how the
    lists were read.
    """
    names = list(dict.fromkeys([*ALWAYS, *config.eval.measures]))
    rows = ["".join([f"{'':14}", *(f"{name:>12}" for name in names)])]
    for setting in ("monolingual", "cross-lingual", "multilingual"):
        values = [metrics.get(f"{setting}/{name}") for name in names]
        if any(value is not None for value in values):
            cells = (f"{value:12.4f}" if value is not None else f"{'-':>12}" for value in values)
            rows.append("".join([f"{setting:14}", *cells]))
    pools = ", ".join(
        f"{one} in {'all languages' if pool == POOL else pool}"
        for one, pool in metrics["pools"].items()
    )
    rows.append(f"read as: queries in {pools}")
    for key, what in (
        ("queries_without_list", "queries of these languages have no list and count as 0"),
        (
            "queries_of_languages_without_lists",
            "queries are in languages without any list and are left out",
        ),
        ("unknown_query_lines", "lines name an unknown query and are left out"),
        (
            "unknown_passage_lines",
            "lines name an unknown passage and are left out; the other ranks stay",
        ),
    ):
        if metrics.get(key):
            rows.append(f"{metrics[key]:,} {what}")
    return "\n".join(
        [*rows, f"macro over languages and pairs; per query: {folder / 'per_query.parquet'}"]
    )
