"""Write any collection in a format that other tools read, and that data=files or data=mmarco reads
back.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pyarrow.compute as pc

from hybrid_sweep.data import export_mmarco, export_texts
from hybrid_sweep.data.collection import Collection, select
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import atomic_dir, write_json

FORMATS = ("mmarco", "beir", "jsonl", "trec", "tsv")


def export(
    collection: Collection, folder: Path, form: str = "mmarco", languages: Sequence[str] = ()
) -> tuple[Collection, int]:
    """Write a collection (only its texts in `languages`, where given) and source.json, its origin,
    into a new folder.

    Read back, it has the same content, and so the same fingerprint, but for texts with tabs or line
    breaks in files of columns (mmarco, tsv, the queries of trec): there they become one space.
    Returned: what was written, and how many such texts there are. Raises UserError for a folder
    that is not empty, for a language that the collection lacks, and for what the files cannot hold;
    nothing is written then.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(
            f"{folder}: is there and not empty; export into a new folder", key="export.not_empty"
        )
    if languages:
        collection = _within(collection, languages)
    with atomic_dir(folder) as temporary:
        if form == "mmarco":
            cut = export_mmarco.write(collection, temporary)
        else:
            cut = export_texts.write(collection, temporary, form)
        write_json(temporary / "source.json", {"name": collection.name, **collection.info})
    return collection, cut


def _within(collection: Collection, languages: Sequence[str]) -> Collection:
    """Return the part in some languages, with the judgements between texts that are in it."""
    part = select(collection, languages)
    qrels = part.qrels
    for column, table in (("query_group", part.queries), ("passage_group", part.passages)):
        qrels = qrels.filter(pc.is_in(qrels[column], value_set=pc.unique(table["group"])))
    return dataclasses.replace(part, qrels=qrels)
