"""Write any collection in the layout of mMARCO, for the tools that read MS MARCO's files, and for
msmarco.py.
"""

import re
from functools import cache
from pathlib import Path

from hybrid_sweep.config.schema import MARCO_LANGUAGES
from hybrid_sweep.data.collection import Collection
from hybrid_sweep.data.export_texts import lines_into, one_line, rows
from hybrid_sweep.utils.errors import UserError

FOLDER = "google"  # the layout's name for the folder of texts; readers of the layout look for it
PARTS = {"train": "train", "dev": "dev", "test": "dev.small"}


def write(collection: Collection, folder: Path) -> int:
    """Write qrels.*.tsv, collections and queries of each language, and groups.tsv into a folder.

    A number of the files is the place of the group among all groups in bytewise order, the same for
    a question and a passage of one group; groups.tsv says which id, group and split each text had.
    Questions of the split test are those of dev.small, of dev those of dev. Tabs and line breaks in
    a text, which the files cannot hold, become one space: the count of such texts is returned.
    Raises UserError for two texts of one group and language, for a question in two splits, and for
    names that cannot stand in the files.
    """
    tables = {"query": collection.queries, "passage": collection.passages}
    groups = sorted({group for table in tables.values() for group in table["group"].to_pylist()})
    number = {group: place for place, group in enumerate(groups)}
    split: dict[str, str] = {}
    written: set[tuple[str, str, str]] = set()
    cut = 0
    with lines_into(folder) as put:
        for part in PARTS.values():  # what has no texts is an empty file, not a missing one
            put(f"qrels.{part}.tsv")
            for language in sorted(
                {language for table in tables.values() for language in table["lang"].to_pylist()}
            ):
                put(_place("query", language, part))
                put(_place("passage", language, part))
        for kind, table in tables.items():
            for text_id, group, language, where, text in rows(table):
                key = (kind, group, language)
                if key in written:
                    raise UserError(
                        f"collection {collection.name}: two texts are the {kind} {group!r} in"
                        f" {language}",
                        key="export.text_repeated",
                    )
                written.add(key)
                if kind == "query" and split.setdefault(group, where) != where:
                    raise UserError(
                        f"collection {collection.name}: the query {group!r} is in two splits",
                        key="export.two_splits",
                    )
                for name in (text_id, group):
                    if re.search(r"[\t\n\r]", name):
                        raise UserError(
                            f"collection {collection.name}: the name {name!r} has a tab or a line"
                            " break",
                            key="export.name",
                        )
                line = one_line(text)
                cut += line != text
                put("groups.tsv", number[group], kind, language, where, text_id, group)
                put(_place(kind, language, PARTS.get(where, "")), number[group], line)
        for judged in collection.qrels.to_pylist():
            query, passage = judged["query_group"], judged["passage_group"]
            put(
                f"qrels.{PARTS[split[query]]}.tsv",
                number[query],
                0,
                number[passage],
                judged["grade"],
            )
    return cut


@cache  # asked for with every text
def _place(kind: str, language: str, part: str) -> str:
    """Return where the texts of a language stand; the layout writes its own languages out, all
    others by code.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", language):
        raise UserError(
            f"the language {language!r} cannot stand in the name of a file", key="export.language"
        )
    name = {code: name for name, code in MARCO_LANGUAGES.items()}.get(language, language)
    if kind == "passage":
        return f"{FOLDER}/collections/{name}_collection.tsv"
    return f"{FOLDER}/queries/{part.partition('.')[0]}/{name}_queries.{part}.tsv"
