"""MIRACL: questions about Wikipedia in 18 languages, each judged against passages of its own
language only.

The construction of Zhang et al. (2023, TACL 11) from its two sets of files: topics and judgements,
and the corpus. Split train is its train, test is its dev, which papers report (its tests have no
public judgements).
"""

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from hybrid_sweep.config.schema import MiraclData
from hybrid_sweep.data.assemble import Folder, assemble
from hybrid_sweep.data.collection import Collection, check_known
from hybrid_sweep.data.text_records import (
    TextLine,
    column_judgements,
    column_texts,
    file_of,
    json_texts,
)
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.text_lines import SKIP, Problems

LANGUAGES = (
    "ar",
    "bn",
    "de",
    "en",
    "es",
    "fa",
    "fi",
    "fr",
    "hi",
    "id",
    "ja",
    "ko",
    "ru",
    "sw",
    "te",
    "th",
    "yo",
    "zh",
)
PARTS = {"train": "train", "dev": "test"}
ORIGIN = "https://github.com/project-miracl/miracl"


def build(data: MiraclData, work: Path, say: Callable[[str], None]) -> Collection:
    """Return the collection of the files in data.path, in data.languages: no other language's files
    are opened.

    data.path holds the folders miracl-v1.0-LANG and miracl-corpus-v1.0-LANG, or miracl/ and
    miracl-corpus/ that hold them. Id and group of a question or passage are "id@lang": nothing is
    parallel. A passage is its title, a space, its text; it is in the pool of every split.
    Judgements of grade 0 are kept. Raises UserError for a language that MIRACL lacks, for a missing
    file, or for a bad line, as data.on_error says.
    """
    if not data.path:
        raise UserError(
            f"data={data.name} is read from files: run hybrid-sweep data prepare {data.name}, or"
            " give data.path=FOLDER",
            key="data.path_unset",
        )
    root = Path(data.path).expanduser()
    problems = Problems(data.on_error, say, hint=SKIP)
    check_known("MIRACL", data.languages, LANGUAGES)
    sources = []
    for lang in sorted(data.languages):
        asked = _folder(root, "miracl", f"miracl-v1.0-{lang}")
        corpus = _folder(root, "miracl-corpus", f"miracl-corpus-v1.0-{lang}")
        shards = sorted(corpus.glob("docs-*.jsonl*"), key=lambda path: (len(path.name), path.name))
        if not shards:
            raise UserError(f"{corpus}: there is no docs-0.jsonl.gz", key="data.files_missing")
        sources.append(_source(asked, shards, lang, problems, say))
    info = {"source": ORIGIN, "licence": "Apache-2.0", "languages": sorted(data.languages)}
    return assemble(data.name, sources, problems, work, info)


def _folder(root: Path, repository: str, name: str) -> Path:
    places = [root / repository / name, root / name]
    folders = [path for path in places if path.is_dir()]
    if not folders:
        raise UserError(f"{places[0]}: no such folder (nor {places[1]})", key="data.folder_missing")
    return folders[0]


def _source(
    asked: Path, shards: list[Path], lang: str, problems: Problems, say: Callable[[str], None]
) -> Folder:
    queries, judgements = [], []
    for part, split in PARTS.items():
        name = f"miracl-v1.0-{lang}-{part}.tsv"
        paths = [file_of(asked / kind, f"{kind}.{name}") for kind in ("topics", "qrels")]
        if part == "train" and not any(path.is_file() for path in paths):
            say(f"{paths[0]} is not there: the split train has nothing in {lang}")
            continue
        queries.append(column_texts(paths[0], problems, split, most=2))
        judgements.append(column_judgements(paths[1], problems, split, tabs=False))

    def texts(path: Path) -> Iterator[TextLine]:
        say(f"reading {path}")
        return json_texts(path, problems)

    passages = chain.from_iterable(map(texts, shards))
    return Folder(
        lang, True, passages, chain.from_iterable(queries), chain.from_iterable(judgements)
    )
