"""Collections of the catalogue ir_datasets (MacAvaney et al., 2021, SIGIR): NeuCLIR, HC4, others.

Read through the package's public interface alone: `load(id)`, `queries_iter`, `docs_iter` and
`qrels_iter`, whose records are named tuples, and `docs_lang`. An id stands for the passages of one
language, with questions and judgements about them.
"""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid_sweep.config.schema import IrDatasetsData
from hybrid_sweep.data.assemble import Folder, assemble, point_out_shared_ids
from hybrid_sweep.data.collection import Collection
from hybrid_sweep.data.text_records import JudgementLine, TextLine
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.text_lines import SKIP, Problems

Say = Callable[[str], None]


@dataclass(frozen=True)
class CatalogueId:
    """An id of the catalogue, opened: the language of its passages, and the split of its
    questions.
    """

    id: str
    lang: str
    split: str
    dataset: Any

    def records(self, kind: str) -> Iterator[tuple[int, Any]]:
        """Yield the number, from 1, and the record of each query, doc or judgement.

        Raises:
            UserError: where the id has none, or they cannot be fetched.
        """
        try:
            yield from enumerate(getattr(self.dataset, f"{kind}_iter")(), 1)
        except AttributeError as error:
            raise UserError(
                f"ir_datasets: {self.id} has no {kind}; take an id that has", key="ir_datasets.part"
            ) from error
        except OSError as error:
            raise UserError(
                f"ir_datasets: the {kind} of {self.id} cannot be fetched: {error}",
                key="ir_datasets.fetch",
            ) from error


def build(data: IrDatasetsData, work: Path, say: Say) -> Collection:
    """Return the collection of the ids that a config names, under their own ids.

    The passages of a language are read once, from its first id; a query that several ids have, with
    the same text, is one query. Where the passages are parallel (data.parallel), those of one id
    are a group, each under ID@LANG, and a judgement of one holds for all.

    Raises:
        UserError: without the package, for an id or a field that is not there, or a bad record, as
            data.on_error says.
    """
    parts = _parts(data)
    problems = Problems(data.on_error, say, hint=SKIP)
    corpora: dict[str, CatalogueId] = {}
    for part in parts:
        corpora.setdefault(part.lang, part)
        say(f"reading {part.id} of ir_datasets ({part.lang})")
    whole = Folder(
        None,
        False,
        _passages(list(corpora.values()), data),
        _queries(parts, data),
        _judgements(parts, data),
    )
    named = {split: dict(ids) for split, ids in _wanted(data).items() if ids}
    info = {"source": "ir_datasets", "licence": "that of the collection", "ids": named}
    built = assemble(data.name, [whole], problems, work, info)
    point_out_shared_ids(built, say)
    return built


def _wanted(data: IrDatasetsData) -> dict[str, dict[str, str]]:
    """Return the ids by split, and by the language of their passages; of data.id, it is ""."""
    test = dict(data.ids)
    if data.id is not None:
        test[""] = data.id
    return {"test": test, "dev": data.dev_ids, "train": data.train_ids}


def _parts(data: IrDatasetsData) -> list[CatalogueId]:
    wanted = _wanted(data)
    if not any(wanted.values()):
        raise UserError(
            f"data={data.name} needs an id of ir_datasets: data.id=neuclir/1/zh/trec-2022, or"
            " '+data.ids={zh: ID, fa: ID}'",
            key="ir_datasets.id_missing",
        )
    package = _package()
    parts = []
    for split, ids in wanted.items():
        for lang, name in ids.items():
            dataset = _opened(package, name)
            parts.append(CatalogueId(name, _language(dataset, name, lang), split, dataset))
    return parts


def _package() -> Any:
    try:
        return importlib.import_module("ir_datasets")
    except ImportError as error:
        raise UserError(
            "data=ir_datasets needs the package ir_datasets: pip install 'hybrid-sweep[ir]'",
            key="ir_datasets.not_installed",
        ) from error


def _opened(package: Any, name: str) -> Any:
    try:
        return package.load(name)
    except KeyError as error:
        raise UserError(
            f"ir_datasets has no {name!r}: its catalogue is at https://ir-datasets.com",
            key="ir_datasets.id_unknown",
        ) from error


def _language(dataset: Any, name: str, lang: str) -> str:
    """Return the language of the passages of an id; lang: as the config says it, or ""."""
    own = getattr(dataset, "docs_lang", lambda: None)()
    if own is None and not lang:
        raise UserError(
            f"ir_datasets does not say the language of {name}: give '+data.ids={{CODE: {name}}}'",
            key="ir_datasets.language_missing",
        )
    if own is not None and lang and own != lang:
        raise UserError(
            f"data.ids: {name} is given as {lang}, and ir_datasets says {own}; give its own code",
            key="ir_datasets.language_other",
        )
    return str(lang or own)


def _text(record: Any, fields: list[str], where: str) -> str:
    """Return the fields of a record that are not empty, with a space between them."""
    values = []
    for name in fields:
        if not hasattr(record, name):
            there = ", ".join(getattr(record, "_fields", ()))
            raise UserError(
                f"{where}: no field {name!r}; there are {there}", key="ir_datasets.field_unknown"
            )
        values.append(str(getattr(record, name) or "").strip())
    return " ".join(value for value in values if value)


def _passages(parts: list[CatalogueId], data: IrDatasetsData) -> Iterator[TextLine]:
    for part in parts:
        where = Path(part.id) / "docs"
        for number, record in part.records("docs"):
            text = _text(record, data.passage_fields, f"data.passage_fields: {part.id}")
            name = str(record.doc_id)
            group = None
            if data.parallel:
                group = name
            yield TextLine(where, number, _passage_id(name, part, data), text, part.lang, group)


def _passage_id(name: str, part: CatalogueId, data: IrDatasetsData) -> str:
    """Return the id of a passage here: of parallel ones the catalogue has one for all languages."""
    if data.parallel:
        return f"{name}@{part.lang}"
    return name


def _queries(parts: list[CatalogueId], data: IrDatasetsData) -> Iterator[TextLine]:
    before: dict[str, tuple[str, str]] = {}
    for part in parts:
        where = Path(part.id) / "queries"
        for number, record in part.records("queries"):
            name = str(record.query_id)
            text = _text(record, data.query_fields, f"data.query_fields: {part.id}")
            if before.get(name) == (text, part.split):
                continue  # of another id, over passages in another language
            before[name] = text, part.split
            yield TextLine(where, number, name, text, data.query_language, split=part.split)


def _judgements(parts: list[CatalogueId], data: IrDatasetsData) -> Iterator[JudgementLine]:
    seen: set[tuple[str, str, str, int]] = set()
    for part in parts:
        where = Path(part.id) / "qrels"
        for number, record in part.records("qrels"):
            # Grades below 0 mark spam in some tracks: judged, and not relevant.
            grade = max(0, int(record.relevance))
            query, passage = str(record.query_id), str(record.doc_id)
            if data.parallel:
                judged = (part.split, query, passage, grade)
                if judged in seen:
                    continue  # it holds in all languages
                seen.add(judged)
            passage = _passage_id(passage, part, data)
            yield JudgementLine(where, number, query, passage, grade, part.split)
