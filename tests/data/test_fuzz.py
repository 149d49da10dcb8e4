"""Damaged files of every kind at every reader: a result or a UserError of one line, and never half
a cache entry.
"""

import gzip
import json
import lzma
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from hybrid_sweep.config.schema import (
    Config,
    DataConfig,
    DebianData,
    FilesData,
    LareqaData,
    MarcoData,
    MiraclData,
    PathsConfig,
)
from hybrid_sweep.data import collection as collections
from hybrid_sweep.data import downloads
from hybrid_sweep.data.collection import make
from hybrid_sweep.data.datasets import synthetic
from hybrid_sweep.data.datasets.debian import package_mirror
from hybrid_sweep.data.datasets.debian.collection import from_lists
from hybrid_sweep.data.datasets.debian.package_lists import PackageLists
from hybrid_sweep.data.export import export
from hybrid_sweep.data.negative_lines import form_of
from hybrid_sweep.data.negatives import HardNegatives
from hybrid_sweep.data.pairs import pair_store
from hybrid_sweep.inputs import prepare
from hybrid_sweep.retrieval.run_files import read_run
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import read_json, write_json
from tests.data import conftest as archive
from tests.data.datasets import test_lareqa, test_miracl, test_msmarco
from tests.refused import refused

CLEAN = synthetic.build(groups=8, concepts=60, shared=0.2, noise=0.2, seed=0)
NUMBERED = make(
    "numbers",
    *(
        table.set_column(
            1,
            "group",
            pa.array([group[1:].lstrip("0") or "0" for group in table["group"].to_pylist()]),
        )
        for table in (CLEAN.queries, CLEAN.passages)
    ),
    pa.table(
        {
            "query_group": [str(n) for n in range(8)],
            "passage_group": [str(n) for n in range(8)],
            "grade": [1] * 8,
        }
    ),
    {},
)


@dataclass(frozen=True)
class Reader:
    """A reader and the files that it reads, whole at first, in `folder`."""

    folder: Path
    read: Callable[[str], None]  # under a policy, strict or skip


def through_the_cache(folder: Path, cache: Path, data: DataConfig) -> Reader:
    """Read as the program does: built into the cache, and opened from there."""

    def read(policy: str) -> None:
        if hasattr(data, "on_error"):
            data.on_error = policy
        shutil.rmtree(cache, ignore_errors=True)
        config = Config(data=data, paths=PathsConfig(cache=str(cache)))
        try:
            found = prepare.whole_collection(config)
        except UserError:
            built = [path for path in cache.glob("collections/*") if path.is_dir()]
            assert all(path.suffix == ".work" for path in built)  # there lies what was fetched
            raise
        assert (
            len(found.languages) >= 0
            and found.fingerprint == collections.load(folder_of(config)).fingerprint
        )
        assert pc.min(pc.utf8_length(found.passages["text"])).as_py() > 0

    return Reader(folder, read)


def folder_of(config: Config) -> Path:
    return prepare.collection_folder(config)


def runs(folder: Path) -> Reader:
    """A TREC run and an MS MARCO run."""
    folder.mkdir()
    ids = CLEAN.passages["id"].to_pylist()[:12]
    queries = CLEAN.queries["id"].to_pylist()[:3]
    trec = [
        f"{q} Q0 {p} {rank} {9.5 - rank / 7} tag\n"
        for q in queries
        for rank, p in enumerate(ids, 1)
    ]
    (folder / "a.trec").write_text("".join(trec))
    (folder / "b.tsv").write_text(
        "".join(f"{q}\t{p}\t{rank}\n" for q in (3, 10) for rank, p in enumerate((7, 1, 0), 1))
    )

    def read(policy: str) -> None:
        for path in sorted(folder.iterdir()):
            assert len(read_run(path).line)

    return Reader(folder, read)


def negatives(folder: Path, cache: Path) -> Reader:
    """Packed triples, and a run, as the hard negatives of numbered groups."""
    folder.mkdir()
    triples = "".join(f"{q}\t{q}\t{(q + k) % 8}\n" for q in range(8) for k in (2, 3, 4))
    (folder / "triples.tsv.gz").write_bytes(gzip.compress(triples.encode()))
    (folder / "run.trec").write_text(
        "".join(f"{q} Q0 {(q + k) % 8} {k} {1 / k} x\n" for q in range(8) for k in (1, 2, 3))
    )

    def read(policy: str) -> None:
        for path in sorted(folder.iterdir()):
            shutil.rmtree(cache, ignore_errors=True)
            try:
                form = form_of(path, None)
                hard = HardNegatives(path, form, path.name, NUMBERED)
                pair_store(cache, NUMBERED, "train", hard)
            except UserError:
                assert not [path for path in cache.glob("pairs/*") if path.is_dir()]
                raise

    return Reader(folder, read)


def prepared(folder: Path, cache: Path) -> Reader:
    """A collection as the cache keeps it, given as data.path."""
    collections.save(CLEAN, folder)
    config = Config(
        data=FilesData(name="files", path=str(folder)), paths=PathsConfig(cache=str(cache))
    )

    def read(policy: str) -> None:
        shutil.rmtree(cache, ignore_errors=True)
        found = prepare.whole_collection(config)
        for table in (found.queries, found.passages, found.qrels):
            table.validate(full=True)
        assert found.languages and found.fingerprint

    return Reader(folder, read)


def files_of(form: str, folder: Path, cache: Path, *languages: str) -> Reader:
    """A user's files as the export writes them; with languages, a folder for each, its corpus
    packed.
    """
    if not languages:
        export(CLEAN, folder, form)
    for language in languages:
        export(CLEAN, folder / language, form, [language])
        for path in (folder / language).glob("c*"):
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    return through_the_cache(
        folder, cache, FilesData(name="files", languages=["xa", "xb"], path=str(folder))
    )


def mmarco(folder: Path, cache: Path, made: Callable[[Path], object], **fields: object) -> Reader:
    made(folder)
    return through_the_cache(folder, cache, MarcoData(name="mmarco", path=str(folder), **fields))


def lareqa(folder: Path, cache: Path) -> Reader:
    test_lareqa.write(folder, en=test_lareqa.EN, de=test_lareqa.DE)
    return through_the_cache(
        folder, cache, LareqaData(name="xquad_r", languages=["en"], path=str(folder))
    )


def mirror(folder: Path, cache: Path) -> Reader:
    """A mirror of which the lists are fetched, and compared with their Release."""
    archive.write_archive(folder, [archive.entry(f"good{number}") for number in range(4)])
    return through_the_cache(
        folder, cache, DebianData(name="debian", languages=["en", "de"], mirror=str(folder))
    )


def debian_lists(folder: Path, cache: Path) -> Reader:
    """Lists in several forms, as apt leaves them, without a hash to compare them with."""
    archive.write_archive(
        folder / "mirror", [archive.entry(f"good{number}") for number in range(4)]
    )
    paths = {}
    for name, suffix in (("Packages", ".gz"), ("en", ""), ("de", ".gz"), ("it", ".xz")):
        stem = name if name == "Packages" else f"Translation-{name}"
        (content,) = {
            lzma.decompress(path.read_bytes()) for path in (folder / "mirror").rglob(f"{stem}.xz")
        }
        paths[name] = folder / f"{stem}{suffix}"
        paths[name].write_bytes(archive.PACK[suffix](content))
    shutil.rmtree(folder / "mirror")
    languages = {name: (path,) for name, path in paths.items() if name != "Packages"}

    def read(policy: str) -> None:
        assert len(
            from_lists(
                PackageLists((paths["Packages"],), languages, {}, {}), archive.quiet
            ).passages
        )

    return Reader(folder, read)


def miracl(folder: Path, cache: Path) -> Reader:
    test_miracl.write(folder, "sw", "te")
    return through_the_cache(
        folder, cache, MiraclData(name="miracl", languages=["sw", "te"], path=str(folder))
    )


READERS: dict[str, Callable[[Path, Path], Reader]] = {
    "msmarco": lambda folder, cache: mmarco(folder, cache, test_msmarco.official, languages=["en"]),
    "mmarco": lambda folder, cache: mmarco(folder, cache, test_msmarco.hub, languages=["en", "nl"]),
    "mmarco with groups": lambda folder, cache: mmarco(
        folder,
        cache,
        lambda path: export(CLEAN, path, languages=["xa", "xb"]),
        languages=["xa", "xb"],
    ),
    "lareqa": lareqa,
    "miracl": miracl,
    "beir": lambda folder, cache: files_of("beir", folder, cache),
    "beir, packed, by language": lambda folder, cache: files_of("beir", folder, cache, "xa", "xb"),
    "jsonl": lambda folder, cache: files_of("jsonl", folder, cache),
    "trec": lambda folder, cache: files_of("trec", folder, cache),
    "tsv": lambda folder, cache: files_of("tsv", folder, cache),
    "debian mirror": mirror,
    "debian lists": debian_lists,
    "runs": lambda folder, cache: runs(folder),
    "negatives": negatives,
    "prepared": prepared,
}

WORDS = [
    b'"',
    b"\t",
    b" ",
    b"\n",
    b"\r",
    b"\r\n",
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xa8",
]
WORDS += [
    b"9" * 30,
    b"9" * 5000,
    b"-1",
    b"0",
    b"1e999",
    b"NaN",
    b"null",
    b"[]",
    b"{}",
    b"\\ud800",
    b"../../x",
    b"[" * 5000,
]
JSON = [None, True, -1, 10**30, 0.5, "", " ", "\ud800", [], {}, [[]], "x" * 5000]


def damage(raw: bytes, draw: random.Random) -> bytes:
    """One to three small damages of different kinds."""
    for _ in range(draw.choice((1, 1, 2, 3))):
        at = draw.randrange(len(raw) + 1)
        lines = raw.split(b"\n")
        one, other = (draw.randrange(len(lines)) for _ in range(2))
        kind = draw.randrange(12)
        if kind == 0 and raw:
            at = draw.randrange(len(raw))
            raw = raw[:at] + bytes([raw[at] ^ 1 << draw.randrange(8)]) + raw[at + 1 :]
        elif kind == 1:
            raw = raw[:at]
        elif kind == 2:
            raw = b"\n".join(lines[:one] + lines[one + 1 :])
        elif kind == 3:
            raw = b"\n".join([*lines[:one], lines[other], *lines[one:]])
        elif kind == 4:
            lines[one], lines[other] = lines[other], lines[one]
            raw = b"\n".join(lines)
        elif kind == 5:
            lines[one] = b"\t".join(
                draw.sample(fields := lines[one].split(b"\t"), draw.randrange(len(fields) + 1))
            )
            raw = b"\n".join(lines)
        elif kind == 6:
            raw = draw.choice(
                (
                    b"\xef\xbb\xbf" + raw,
                    raw.replace(b"\n", b"\r\n"),
                    raw.decode("latin-1").encode("utf-16"),
                )
            )
        elif kind == 7:
            raw = in_json(lines, one, draw)
        else:
            raw = raw[:at] + draw.choice(WORDS) + raw[at + draw.choice((0, 0, 1, 5)) :]
    return raw


def in_json(lines: list[bytes], place: int, draw: random.Random) -> bytes:
    """Another value in one place of a JSON line, which stays JSON."""
    try:
        node = json.loads(lines[place])
    except ValueError:
        return b"\n".join(lines)
    inside = node
    while isinstance(inside, dict | list) and inside:
        key = draw.choice(list(inside) if isinstance(inside, dict) else range(len(inside)))
        if not isinstance(inside[key], dict | list) or draw.random() < 0.2:
            inside[key] = draw.choice(JSON)
            break
        inside = inside[key]
    lines[place] = json.dumps(node).encode()
    return b"\n".join(lines)


def fuzz(name: str, count: int, seed: int, tmp_path: Path) -> tuple[int, int]:
    """`count` damaged files at one reader: how many were refused, and how many were not."""
    draw = random.Random(f"{name} {seed}")
    reader = READERS[name](tmp_path / "x", tmp_path / "cache")
    reader.read("strict")
    files = sorted(path for path in reader.folder.rglob("*") if path.is_file())
    refused = 0
    for number in range(count):
        path = draw.choice(files)
        whole = path.read_bytes()
        if whole[:2] == b"\x1f\x8b" and draw.random() < 0.5:
            path.write_bytes(gzip.compress(damage(gzip.decompress(whole), draw), 1))
        elif draw.random() < 0.02:
            path.unlink()
        else:
            path.write_bytes(damage(whole, draw))
        policy = draw.choice(("strict", "skip"))
        try:
            reader.read(policy)
        except UserError as error:
            refused += 1
            said = str(error)
            assert "\n" not in said and len(said) < 2000, (name, number, said)
            assert str(tmp_path) in said or "data" in said or "collection" in said, (
                name,
                number,
                said,
            )
        except Exception as error:
            content = path.read_bytes()[:300] if path.exists() else "removed"
            raise AssertionError(f"{name}, damage {number} of {path.name}: {content!r}") from error
        path.write_bytes(whole)
        assert not list(tmp_path.rglob(".tmp-*")), (name, number)
    return refused, count - refused


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No reader waits to try again, or asks which release the machine runs."""
    monkeypatch.setattr(downloads.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(package_mirror, "own_codename", lambda: None)


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path, name):
    refused, used = fuzz(name, 40, 0, tmp_path)
    assert refused >= 5 and (used or name == "prepared")


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_ten_thousand_damaged_files(tmp_path, name):
    fuzz(name, -(-10_000 // len(READERS)), 1, tmp_path)


def test_a_missing_value_does_not_pass_for_an_empty_one(tmp_path):
    """Their hashes are equal: only that a value is missing tells the two files apart."""
    passages = CLEAN.passages.set_column(1, "group", pa.array([""] * len(CLEAN.passages)))
    folder = tmp_path / "x"
    collections.save(make("x", CLEAN.queries, passages, CLEAN.qrels.slice(0, 0), {}), folder)
    holes = passages.set_column(
        1, "group", pa.array([None, *[""] * (len(passages) - 1)], pa.string())
    )
    with pa.ipc.new_file(str(folder / "passages.arrow"), passages.schema) as sink:
        sink.write_table(holes.select(passages.column_names))
    info = read_json(folder / "info.json")
    # As an earlier version wrote it: its digests of the files would tell.
    stored = {name: info["stored"][name] for name in ("fingerprint", "content")}
    write_json(folder / "info.json", info | {"stored": stored | {"files": {}}})
    with refused("collection.unreadable", "passages.arrow"):
        collections.load(folder)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": "\\ud800"}', "9" * 5000, "{", "\xff"])
def test_json_that_cannot_be_is_no_json(tmp_path, text):
    (tmp_path / "x.json").write_bytes(text.encode("latin-1"))
    assert read_json(tmp_path / "x.json") is None
