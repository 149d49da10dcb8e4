"""The verb data: list the collections, prepare one, or export one."""

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hybrid_sweep.utils.arguments import Parser, say
from hybrid_sweep.utils.errors import UserError

if TYPE_CHECKING:
    from hybrid_sweep.config.schema import Config, DataConfig


def data(words: list[str]) -> int:
    """Do what the words after `data` ask for."""
    parser = Parser("data")
    parser.add_argument("action", choices=["list", "prepare", "export"])
    parser.add_argument("name", nargs="?")
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--refresh", action="store_true")
    parser.add_argument("--format", default="mmarco")
    parser.add_argument("--languages", default="", type=lambda word: word.split(","))
    args = parser.parse_intermixed_args(words)
    if args.action == "list":
        _list()
    elif args.action == "prepare":
        _prepare(args.name, args.words, args.refresh)
    else:
        _export(
            args.name,
            args.words,
            args.refresh,
            args.format,
            [word for word in args.languages if word],
        )
    return 0


def _config(name: str, words: Sequence[str] = ()) -> "Config":
    """Return the config of a collection.

    No run is meant, so that one of a single language is fine too.
    """
    from hybrid_sweep.config import compose

    [(_, config)] = compose.points(
        [f"data={name}", "batch.cross_lingual_ratio=0", *words], multirun=False
    )
    return config


def _names() -> str:
    from hybrid_sweep.config.schema import SCHEMAS

    return ", ".join(SCHEMAS["data"])


def _list() -> None:
    """Print a table of all collections: what is prepared, and how the others are."""
    from hybrid_sweep.config.schema import SCHEMAS, cache_dir
    from hybrid_sweep.inputs import prepare
    from hybrid_sweep.sweeps import plan_text

    head = ("name", "prepared", "languages", "queries", "passages", "splits", "fingerprint")
    rows: list[tuple[str, ...]] = [(*head, "folder")]
    listed = set()
    for name in SCHEMAS["data"]:
        config = _config(name)
        if prepare.is_prepared(config):
            folder = prepare.collection_folder(config)
            listed.add(folder)
            rows.append(_prepared_row(name, folder, cache_dir(config)))
        else:
            empty = ("", "", "", "")
            languages = " ".join(config.data.languages)
            rows.append((name, "no", languages, *empty, preparing(config.data)))
    cache = cache_dir(config)
    for info in sorted((cache / "collections").glob("*/info.json")):
        if info.parent not in listed:  # of the user's own files, or of other languages
            rows.append(_prepared_row("", info.parent, cache))
    say("\n".join(plan_text.table(rows)))


def _prepared_row(name: str, folder: Path, cache: Path) -> tuple[str, ...]:
    """Return the row of a prepared collection; its own name where none is given, the reason where
    it cannot be read.
    """
    from hybrid_sweep.data import collection, contents
    from hybrid_sweep.utils import digests

    try:
        built = collection.load(folder, digests.memory_of(cache, folder))
    except UserError as error:
        if name:
            raise
        return ("?", "damaged", "", "", "", "", "", str(error))
    sizes = str(built.queries.num_rows), str(built.passages.num_rows)
    return (
        *(name or built.name, "yes", " ".join(built.languages), *sizes),
        *(contents.in_short(built), built.fingerprint, str(folder)),
    )


def _prepare(name: str | None, words: list[str], refresh: bool) -> None:
    """Fetch and build a collection, and say what it holds."""
    from hybrid_sweep.data import contents
    from hybrid_sweep.inputs import prepare

    if name is None or "=" in name:
        raise UserError(
            f"data prepare needs a name; there are: {_names()}", key="command.words_missing"
        )
    config = _config(name, words)
    made = prepare.whole_collection(config, say, refresh=refresh, download=True)
    if negatives := prepare.negatives_file(config, say, download=True):
        say(f"hard negatives: {negatives}; batch.hard_negatives draws from them")
    try:
        chosen = prepare.collection_of(config)
    except UserError as error:
        say(f"a run with these words would be refused: {error}")
        chosen = made
    if chosen.languages != made.languages:
        say(f"of the languages that data.languages names, {' '.join(chosen.languages)}:")
    plain = dataclasses.replace(config.batch, hard_negatives=0)
    pairs = prepare.training_pairs(dataclasses.replace(config, batch=plain), chosen, say)
    say("\n".join(contents.lines(chosen, pairs)))
    say(
        f"{made.name}: {' '.join(made.languages)}; {made.queries.num_rows} queries,"
        f" {made.passages.num_rows} passages, fingerprint {made.fingerprint}, in"
        f" {prepare.collection_folder(config)}"
    )


def _export(
    name: str | None, words: list[str], refresh: bool, form: str, chosen: list[str]
) -> None:
    """Write a collection, or its texts in the chosen languages, as files of a format, and say how
    to read them.
    """
    from hybrid_sweep.config.words import assignment, is_override
    from hybrid_sweep.data.export import FORMATS, export
    from hybrid_sweep.inputs import prepare

    folders = [word for word in words if not is_override(word)]
    if name is None or len(folders) != 1 or "=" in name:
        raise UserError(
            f"data export needs a name and a folder; the names are: {_names()}",
            key="command.words_missing",
        )
    if form not in FORMATS:
        raise UserError(
            f"--format {form}: must be one of {', '.join(FORMATS)}", key="option.format"
        )
    folder = folders[0]
    overrides = list(filter(is_override, words))
    whole = prepare.whole_collection(_config(name, overrides), say, refresh=refresh)
    made, cut = export(whole, Path(folder), form, chosen)
    say(
        f"{whole.name}: {made.queries.num_rows} queries and {made.passages.num_rows} passages in"
        f" {folder}" + (f"; in {cut} texts, tabs and line breaks became spaces" if cut else "")
    )
    if form == "mmarco":
        reader = ["mmarco"]
    else:
        reader = ["files", f"data.format={form}"]
    # Of a value, unlike of a word, a tilde at the beginning means a home folder.
    place = folder
    if folder.startswith("~"):
        place = str(Path(folder).absolute())
    reader.append(assignment("data.path", place))
    reader.append(f"'data.languages=[{','.join(made.languages)}]'")
    say(" ".join(["next: hybrid-sweep data prepare", *reader]))


def preparing(data: "DataConfig") -> str:
    """Return the command that prepares this collection."""
    from hybrid_sweep.config.schema import (
        DebianData,
        FilesData,
        IrDatasetsData,
        LibreofficeData,
        MarcoData,
        MiraclData,
        SyntheticData,
    )
    from hybrid_sweep.config.words import assignment
    from hybrid_sweep.data import hub

    if not data.path and (hub.revision(data) or isinstance(data, IrDatasetsData)):
        return hub.command(data)
    words = ["hybrid-sweep data prepare", data.name]
    if data.path:
        words.append(assignment("data.path", data.path))
        if isinstance(data, MarcoData | MiraclData | FilesData):  # these count for what is read
            words.append(shlex.quote(f"data.languages=[{','.join(data.languages)}]"))
        fresh = type(data)()
        for item in ("format", "translation", "qrels", "dev_share", "dev_seed", "on_error"):
            if (value := getattr(data, item, None)) != getattr(fresh, item, None):
                words.append(assignment(f"data.{item}", str(value)))
    elif isinstance(data, LibreofficeData):
        words.append(shlex.quote(f"data.languages=[{','.join(data.languages)}]"))
    elif not isinstance(data, DebianData | SyntheticData):
        words.append("data.path=DIR")
    return " ".join(words)
