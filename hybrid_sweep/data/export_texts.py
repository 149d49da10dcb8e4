"""Write any collection as BEIR, JSONL, TREC or TSV: one folder with the texts of all languages, and
every judged pair.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from hybrid_sweep.data.collection import ALONE, SPLITS, TEXTS, Collection
from hybrid_sweep.data.datasets.sources import clusters_of
from hybrid_sweep.data.text_records import BEIR_HEADER
from hybrid_sweep.utils.errors import UserError

# (name of a file, the fields of a line; none: the file is there, and empty at first)
Put = Callable[..., None]


def rows(table: pa.Table) -> Iterator[tuple[str, ...]]:
    """Yield the id, group, language, split and text of each text."""
    for batch in table.select(TEXTS.names).to_batches(max_chunksize=8192):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


@contextmanager
def lines_into(folder: Path) -> Iterator[Put]:
    """Yield a function that adds lines, their fields separated by tabs, to files below a folder."""
    with ExitStack() as stack:
        files: dict[str, IO[str]] = {}

        def put(name: str, *fields: object) -> None:
            if name not in files:
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                files[name] = stack.enter_context(open(path, "w", encoding="utf-8", newline="\n"))
            if fields:
                files[name].write("\t".join(map(str, fields)) + "\n")

        yield put


def one_line(text: str) -> str:
    """Return the text with each run of tabs and line breaks, which files of columns cannot hold, as
    a space.
    """
    return re.sub(r"[\t\n\r]+", " ", text)


def write(collection: Collection, folder: Path, form: str) -> int:
    """Write the texts with their language, group and split, and the judgements between texts, into
    a folder.

    form: beir | jsonl | trec | tsv. A judgement of two groups is one line for each of the query's
    versions and each of the passage's, so that the files are a multilingual collection for any
    other tool too. The count of texts whose tabs and line breaks became spaces is returned; beir
    and jsonl hold them as they are. Raises UserError for names that cannot stand in the files, and
    for a query whose versions are in two splits.
    """
    clusters = clusters_of(collection, collection.name) or {}
    writer = _Writer(form, collection.name, clusters)
    with lines_into(folder) as put:
        for kind, table in (("passage", collection.passages), ("query", collection.queries)):
            for row in rows(table):
                writer.text(put, kind, row)
        _judgements(collection, writer, put)
    return writer.cut


def _json(node: dict[str, Any]) -> str:
    """Return a line of JSON in which no reader finds another line's end, whatever it takes
    for one.
    """
    line = json.dumps(node, ensure_ascii=False)
    return re.sub("[\x85\u2028\u2029]", lambda end: f"\\u{ord(end[0]):04x}", line)


class _Writer:
    """The lines of one format; `cut` counts the texts whose breaks became spaces, `clusters` are
    those of the query groups, where they are known.
    """

    def __init__(self, form: str, name: str, clusters: Mapping[str, str]) -> None:
        self.form, self.name, self.cut = form, name, 0
        self.clusters = clusters
        self.splits: dict[str, str] = {}

    def text(self, put: Put, kind: str, row: tuple[str, ...]) -> None:
        """Write a text; row: its id, group, language, split and text."""
        text_id, group, lang, split, text = row
        if kind == "query" and self.splits.setdefault(group, split) != split:
            raise UserError(
                f"collection {self.name}: the query {group!r} is in two splits",
                key="export.two_splits",
            )
        columns = self.form == "tsv" or (self.form == "trec" and kind == "query")
        for value in (text_id, group):
            spaces = self.form == "trec" and value == text_id  # its columns end at any white space
            if re.search(r"\s" if spaces else r"[\t\n\r]", value):
                hint = ""
                if self.form == "trec":
                    hint = "; take --format jsonl"
                raise UserError(
                    f"collection {self.name}: the name {value!r} cannot stand in files of"
                    f" {self.form}{hint}",
                    key="export.name",
                )
        if columns:
            line = one_line(text)
            self.cut += line != text
            if kind == "passage":
                put("collection.tsv", text_id, line, lang, group, split)
            else:
                stem = "topics"
                if self.form == "tsv":
                    stem = "queries"
                put(f"{stem}.{split}.tsv", text_id, line, lang, group, *self._cluster(group))
            return
        node: dict[str, Any] = {"_id" if self.form == "beir" else "id": text_id}
        if self.form == "beir" and kind == "passage":
            node["title"] = ""  # readers of BEIR ask for it
        node |= {"text": text, "lang": lang, "group": group, "split": split}
        if kind == "query" and self.clusters:
            [node["cluster"]] = self._cluster(group)
        name = "corpus"
        if self.form == "jsonl":
            name = "passages"
        put(f"{'queries' if kind == 'query' else name}.jsonl", _json(node))

    def _cluster(self, group: str) -> list[str]:
        """Return the cluster of a query group; [] where none are known."""
        if not self.clusters:
            return []
        return [self.clusters.get(group, f"{ALONE}{group}")]

    def judgement(self, put: Put, split: str, query: str, passage: str, grade: int) -> None:
        if self.form == "jsonl":
            node = {"query": query, "passage": passage, "grade": grade}
            put("qrels.jsonl", _json(node))
        elif self.form == "beir":
            put(f"qrels/{split}.tsv", query, passage, grade)
        elif self.form == "trec":
            put(f"qrels.{split}.txt", f"{query} 0 {passage} {grade}")
        else:
            put(f"qrels.{split}.tsv", query, 0, passage, grade)


def _judgements(collection: Collection, writer: _Writer, put: Put) -> None:
    """Write every judged pair of texts; a split with queries has a file even where none is
    judged.
    """
    judged = collection.qrels.to_pylist()
    versions: dict[str, dict[str, list[str]]] = {}
    for kind, table in (("query", collection.queries), ("passage", collection.passages)):
        wanted = {row[f"{kind}_group"] for row in judged}
        versions[kind] = {}
        for text_id, group, *_ in rows(table):
            if group in wanted:
                versions[kind].setdefault(group, []).append(text_id)
    if writer.form == "beir":
        for split in SPLITS:
            if split in writer.splits.values():
                put(f"qrels/{split}.tsv", *BEIR_HEADER)
    for row in judged:
        split = writer.splits[row["query_group"]]
        for query in versions["query"][row["query_group"]]:
            for passage in versions["passage"][row["passage_group"]]:
                writer.judgement(put, split, query, passage, row["grade"])
