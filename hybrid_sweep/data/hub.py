"""Which files each published collection consists of, at which revision, and where they are kept
once fetched.
"""

import dataclasses
import json
import os
import re
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from hybrid_sweep.config.schema import (
    MARCO_LANGUAGES,
    DataConfig,
    FileData,
    HfData,
    IrDatasetsData,
    LareqaData,
    MarcoData,
    MiraclData,
)
from hybrid_sweep.config.words import assignment
from hybrid_sweep.data.collection import check_known
from hybrid_sweep.data.datasets.miracl import LANGUAGES as OF_MIRACL
from hybrid_sweep.data.datasets.msmarco_judgements import TRACKS, TRIPLES, name_of
from hybrid_sweep.data.downloads import Remote, Say, fetch, forget, inside, missing, read
from hybrid_sweep.utils.digests import LENGTH
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import digest, exclusive, read_own_json, write_json

HUB = "https://huggingface.co"  # or HF_ENDPOINT
GITHUB = "https://raw.githubusercontent.com/google-research-datasets/lareqa"
MSMARCO = "https://msmarco.z22.web.core.windows.net/msmarcoranking"
TREC = "https://trec.nist.gov/data/deep"
MMARCO = "unicamp-dl/mmarco"
MIRACL = "miracl/miracl"
CORPUS = "miracl/miracl-corpus"

# What is fetched unless data.revision names another: of mMARCO and MS MARCO, of MIRACL's questions,
# of LAReQA's files.
PINNED = {
    "mmarco": "6d039c4638c0ba3e46a9cb7b498b145e7edc6230",
    "miracl": "5be20db9509754dadad47689368639fcec739c00",
    "xquad_r": "5405d2a77e83d5ccb47623a3f9e5604c3f103193",
    "mlqa_r": "354d67d1cd066854cdfbf5ad0e6105528976141d",
}
PINNED_CORPUS = "d921ec7e349ce0d28daf30b2da9da5ee698bef0d"
LAREQA: dict[str, dict[str, str | None]] = {
    "xquad_r": {
        "ar": "c52922d3b8ac1ae03ed5ac38647ad59870dca3dda2beefe18ecdc30729acb69d",
        "de": "16fb0f4bf4916154b585a20c24c66074591c9718a1affe764ff4697572328949",
        "el": "163fd43ee785a30eb534ae2061e9eaa766a7ee4e8ffce5e4b422480c150f64b6",
        "en": "7b0954f39297c27a31fef610f0883337dd2907fa8699151dc922afdd0fa12ffe",
        "es": "f8e836b2d91009c4363e04315f7ede363eedbbb49c67dda60de6c4aa782f58de",
        "hi": "ea45ba8ae4513d1533b222bebdc02a90bc319c055d3aeea68584a053d2e92872",
        "ru": "7f4dff853538b9a5fcc28c070b8bb983a5c5d190ac747b8e005a1ada9cab18f1",
        "th": "c3a041864c3a9fb0b4dd91cfdf99cf36b411b3e704c58a303c97bc6dc786cfe4",
        "tr": "f3e8c13002bbce154a4578f535f7533cb70f3da08840e6b62735935baec7bd94",
        "vi": "e35926bf5cc6fc6ecbdfca49467aabeb454f08d152d7818143a906bd31dde995",
        "zh": "80c2cde7b9c2fb134c303cbb52f2ba396ead9eb0014aec43993543d2ba9e93ed",
    },
    # the commit alone says what they are
    "mlqa_r": dict.fromkeys(("ar", "de", "en", "es", "hi", "vi", "zh")),
}
TRAIN_QRELS = "md5:733fb9fe12d93e497f7289409316eccf"
TRACK_QRELS = {
    "dl19": "md5:2f4be390198da108f6845c822e5ada14",
    "dl20": "md5:0355ccee7509ac0463e8278186cdd8d1",
}


def revision(data: DataConfig) -> str | None:
    """Return the revision of the files of a published collection; None for what is not fetched."""
    family = _family(data)
    if family and isinstance(data, FileData):
        return data.revision or PINNED[family]
    return None


def local(
    data: DataConfig, cache: Path, say: Say, *, download: bool, refresh: bool = False
) -> DataConfig:
    """Return `data` with the folder of its fetched files as data.path; as it is where it has a path
    or nothing is fetched.

    Files that are there and whole are used without asking anyone. download: whether missing ones
    may be fetched; refresh: whether what no checksum and no commit pins is then fetched, or asked
    for, again. Raises UserError with the command that fetches them.
    """
    name = revision(data)
    if isinstance(data, IrDatasetsData) and not data.path and not download:
        raise UserError(  # the package fetches what is missing as it is read
            f"data={data.name} is not here yet: fetch it with {command(data)}",
            key="data.not_fetched",
        )
    if isinstance(data, HfData) and is_on_hub(data):
        return dataclasses.replace(data, path=_snapshot(data, cache, download=download))
    if data.path or name is None:
        return data

    def wanted(lists: _Lists) -> Iterable[Remote]:
        return _remotes(data, name, lists)

    folder = _brought(data, name, wanted, cache, say if download else None, refresh=refresh)
    return dataclasses.replace(data, path=str(folder))


def is_on_hub(data: HfData) -> bool:
    """Return whether data.path is ORG/NAME of the hub: no such folder is here."""
    is_name = re.fullmatch(r"[\w.-]+/[\w.-]+", data.path or "") is not None
    return is_name and not Path(str(data.path)).exists()


def _snapshot(data: HfData, cache: Path, *, download: bool) -> str:
    """Return the folder of the files of a data set that a config names; see `local`."""
    from huggingface_hub import snapshot_download

    patterns = [*data.queries.values(), *data.passages.values(), *data.qrels.values()]
    try:
        return snapshot_download(
            str(data.path),
            repo_type="dataset",
            revision=data.revision,
            allow_patterns=patterns,
            cache_dir=cache / "downloads" / "hub",
            local_files_only=not download,
        )
    except (OSError, ValueError) as error:  # what the client raises is one of the two
        if not download:
            raise UserError(
                f"data.path={data.path}: no such folder, and that data set of the hub is not here"
                f" yet: fetch it with hybrid-sweep data prepare {data.name} and the same words",
                key="data.not_fetched",
            ) from error
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"data.path={data.path}: the hub does not give it: {reason}", key="hub.unreachable"
        ) from error


def triples(data: MarcoData, cache: Path, say: Say, *, download: bool) -> Path:
    """Return MS MARCO's own file of hard negatives: in data.path, beside the qrels, or as it was
    fetched.

    download: whether it may be fetched. Raises UserError where it is not there, with the command
    that fetches it.
    """
    if data.path:
        root = Path(data.path).expanduser()
        for path in (root / TRIPLES, root / "data" / TRIPLES):
            if path.is_file():
                return path
        raise UserError(
            f"data.negatives={TRIPLES}: no such file, neither here nor in data.path={data.path}",
            key="negatives.file_missing",
        )
    name = str(revision(data))
    file = f"data/{TRIPLES}"

    def wanted(lists: _Lists) -> Iterable[Remote]:
        return [lists.file(MMARCO, name, file)]

    return _brought(data, name, wanted, cache, say if download else None) / file


def _brought(
    data: DataConfig,
    name: str,
    wanted: Callable[["_Lists"], Iterable[Remote]],
    cache: Path,
    say: Say | None,
    *,
    refresh: bool = False,
) -> Path:
    """Return the folder of the fetched files of a collection at a revision, with the `wanted` ones
    in it; see `local`.

    say: None: nothing may be fetched.
    """
    folder = inside(cache / "downloads", f"{_family(data)}-{name.replace('/', '-')[:40]}")
    with exclusive(folder.parent / f"{folder.name}.lock"):
        # what a commit holds does not change
        asked_again = refresh and not re.fullmatch("[0-9a-f]{40}", name)
        lists = _Lists(folder / "lists.json", say, refresh=asked_again)
        try:
            remotes = list(wanted(lists))
            if refresh and say:
                forget([remote for remote in remotes if remote.checksum is None], folder)
            absent = missing(remotes, folder)
        except _NotListed:
            absent = None
        if say is None and absent != []:
            raise UserError(
                f"data={data.name} is not here yet: fetch it with {command(data)}, or give"
                " data.path=FOLDER",
                key="data.not_fetched",
            )
        if absent and say:
            if _offline():
                raise UserError(
                    f"{absent[0].name} is not here, and HF_HUB_OFFLINE forbids fetching it",
                    key="hub.offline",
                )
            fetch(remotes, folder, say)
    return folder / "files"


def command(data: DataConfig) -> str:
    """Return the command that fetches a collection."""
    words = ["hybrid-sweep data prepare", data.name]
    if not isinstance(data, LareqaData):  # of which all languages are one collection
        words.append(f"'data.languages=[{','.join(data.languages)}]'")
    fresh = type(data)()
    for item in ("qrels", "translation", "revision", "id"):
        value = getattr(data, item, None)
        if value != getattr(fresh, item, None):
            words.append(assignment(f"data.{item}", str(value)))
    if isinstance(data, MarcoData) and data.negatives == TRIPLES:
        words.append(f"data.negatives={TRIPLES}")
    return " ".join(words)


def _family(data: DataConfig) -> str | None:
    """Return the name under which files are kept: collections that are made from the same ones
    share them.
    """
    name = data.name.removesuffix("_context")
    if isinstance(data, MarcoData):
        return "mmarco"
    if isinstance(data, MiraclData) or (isinstance(data, LareqaData) and name in LAREQA):
        return name
    return None


class _NotListed(Exception):
    """Which files there are is not known, and may not be asked."""


class _Lists:
    """What the hub says is in a folder of a set, asked once: a revision does not change. say None:
    nothing is asked.
    """

    def __init__(self, path: Path, say: Say | None, *, refresh: bool) -> None:
        self.path, self.say = path, say
        self.known: dict[str, Any] = {} if refresh and say else _listed(path)

    def files(self, repository: str, revision: str, folder: str) -> list[Remote]:
        """Return the files in a folder, their names those in the set; raises _NotListed, and
        UserError as `downloads.read`.
        """
        key = f"{repository}@{revision}/{folder}"
        if key not in self.known:
            if self.say is None:
                raise _NotListed
            if _offline():
                raise UserError(
                    f"{repository}/{folder} is not here, and HF_HUB_OFFLINE forbids asking for it",
                    key="hub.offline",
                )
            self.say(f"asking the hub for {repository}/{folder}")
            files = list(_tree(repository, revision, folder))
            for name, _, _ in files:
                inside(self.path.parent / "files", name)
            self.known[key] = files
            write_json(self.path, {**self.known, "digest": digest(self.known, LENGTH)})
        base = (
            f"{_endpoint()}/datasets/{repository}/resolve/{urllib.parse.quote(revision, safe='')}"
        )
        secret = _secret()
        return [
            Remote(name, f"{base}/{urllib.parse.quote(name)}", checksum, size, secret)
            for name, checksum, size in self.known[key]
        ]

    def file(self, repository: str, revision: str, name: str) -> Remote:
        """Return one file; a UserError that names what else there is, where it is not in the
        set.
        """
        files = self.files(repository, revision, name.rpartition("/")[0])
        there = {file.name: file for file in files}
        if name not in there:
            others = ", ".join(sorted(other.rpartition("/")[2] for other in there)) or "nothing"
            raise UserError(
                f"{repository} has no {name} at revision {revision}; beside it there is: {others}",
                key="hub.file_missing",
            )
        return there[name]


def _listed(path: Path) -> dict[str, Any]:
    """Return the lists that were stored, by what was asked; {} where they are not what was written:
    they are asked again.

    An earlier version wrote no digest: of its lists the types alone are checked.
    """
    stored = read_own_json(path)
    if not isinstance(stored, dict):
        return {}
    lists = {name: value for name, value in stored.items() if name != "digest"}
    if not all(isinstance(value, list) for value in lists.values()):
        return {}
    if not all(_is_row(row) for value in lists.values() for row in value):
        return {}
    sealed = "digest" in stored
    if sealed and stored["digest"] != digest(lists, LENGTH):
        return {}
    return lists


def _is_row(row: object) -> bool:
    """Return whether a value is the name, checksum and size of a file."""
    if not isinstance(row, list) or len(row) != 3:
        return False
    name, checksum, size = row
    return isinstance(name, str) and isinstance(checksum, str) and isinstance(size, int)


def _tree(repository: str, revision: str, folder: str) -> Iterator[tuple[str, str, int]]:
    """Yield name, checksum and size of each file in a folder, page by page."""
    place = "/".join(urllib.parse.quote(part, safe="") for part in (revision, *folder.split("/")))
    url = f"{_endpoint()}/api/datasets/{repository}/tree/{place}"
    while url:
        content, headers = read(url, _secret())
        try:
            for item in json.loads(content):
                if item["type"] == "file":
                    large = item.get("lfs")
                    if large:
                        checksum = f"sha256:{large['oid']}"
                    else:
                        checksum = f"git:{item['oid']}"
                    yield str(item["path"]), checksum, int(item["size"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{url}: is not a list of files ({type(error).__name__}); check HF_ENDPOINT",
                key="hub.no_list",
            ) from error
        following = re.search(r'<([^>]+)>;\s*rel="next"', headers.get("Link") or "")
        if following:
            url = urllib.parse.urljoin(url, following[1])
        else:
            url = ""


def _offline() -> bool:
    """Return whether the hub's own client would ask nobody."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", HUB).rstrip("/")


def _secret() -> dict[str, str]:
    """Return the header that names the user to the hub, where he is logged in."""
    from huggingface_hub import get_token

    token = get_token()
    if token:
        return {"Authorization": f"Bearer {token}"}
    return {}


def _remotes(data: DataConfig, name: str, lists: _Lists) -> Iterator[Remote]:
    """Yield the files of a collection at a revision, in its languages."""
    if isinstance(data, MarcoData):
        yield from _marco(data, name, lists)
    elif isinstance(data, MiraclData):
        check_known("MIRACL", data.languages, OF_MIRACL)
        for language in sorted(data.languages):
            for kind in ("topics", "qrels"):
                folder = f"miracl-v1.0-{language}/{kind}"
                for remote in lists.files(MIRACL, name, folder):
                    # what else there is has no judgements
                    if re.search(r"-(train|dev)\.tsv$", remote.name):
                        yield dataclasses.replace(remote, name=f"miracl/{remote.name}")
            for remote in lists.files(CORPUS, PINNED_CORPUS, f"miracl-corpus-v1.0-{language}"):
                if remote.name.endswith(".jsonl.gz"):
                    yield dataclasses.replace(remote, name=f"miracl-corpus/{remote.name}")
    else:
        family = str(_family(data))
        for language, checksum in LAREQA[family].items():
            pinned = None
            if checksum and name == PINNED[family]:
                pinned = f"sha256:{checksum}"
            yield Remote(
                f"{language}.json",
                f"{GITHUB}/{name}/{family.replace('_', '-')}/{language}.json",
                pinned,
            )


def _marco(data: MarcoData, name: str, lists: _Lists) -> Iterator[Remote]:
    names = {code: word for word, code in MARCO_LANGUAGES.items()}
    for language in sorted(data.languages):
        if language not in names:
            raise UserError(
                f"data.languages: mMARCO has no {language}; it has {', '.join(sorted(names))}",
                key="data.language_missing",
            )
        base = f"data/{data.translation}"
        word = names[language]
        yield lists.file(MMARCO, name, f"{base}/collections/{word}_collection.tsv")
        yield lists.file(MMARCO, name, f"{base}/queries/train/{word}_queries.train.tsv")
        if data.qrels not in TRACKS:
            yield lists.file(MMARCO, name, f"{base}/queries/dev/{word}_queries.{data.qrels}.tsv")
    train = name_of("train")
    test = name_of(data.qrels)
    yield Remote(f"data/{train}", f"{MSMARCO}/{train}", TRAIN_QRELS)
    if data.qrels in TRACKS:
        yield Remote(f"data/{test}", f"{TREC}/{test}", TRACK_QRELS[data.qrels])
        questions = f"msmarco-test{TRACKS[data.qrels]}-queries.tsv.gz"
        yield Remote(f"data/{questions}", f"{MSMARCO}/{questions}")
    else:
        yield lists.file(MMARCO, name, f"data/{test}")
