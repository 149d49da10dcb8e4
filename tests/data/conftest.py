"""Small package archives for the tests of the collections that come from Debian's."""

import bz2
import gzip
import hashlib
import lzma
import random
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hybrid_sweep.data import downloads
from hybrid_sweep.data.collection import Collection
from hybrid_sweep.data.datasets.debian import apt, package_mirror
from hybrid_sweep.data.datasets.debian.collection import build

SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
PACK = {"": bytes, ".xz": lzma.compress, ".gz": gzip.compress, ".bz2": bz2.compress}
Entry = dict[str, Any]


def words(key: str, count: int) -> list[str]:
    draw = random.Random(key)
    return ["".join(draw.choices(SYLLABLES, k=3)) for _ in range(count)]


def entry(name: str, source: str = "", languages: str = "en de it", **changes: Any) -> Entry:
    """A package with good descriptions; `texts` in the changes replaces the (synopsis, lines) of
    single languages.
    """
    glue = {
        "en": "the {} of {} is",
        "de": "der {} von {} ist",
        "it": "il {} di {} era",
        "da": "den {} af {} er",
    }
    made: Entry = {"name": name, "source": source or name, "section": "misc", "texts": {}}
    for language in languages.split():
        parts = words(f"{name} {language}", 26)
        lines = [
            glue[language].format(*parts[start : start + 2])
            + " "
            + " ".join(parts[start + 2 : start + 5])
            for start in range(4, 24, 5)
        ]
        made["texts"][language] = (
            f"{parts[0]} {parts[1]} {parts[2]}",
            [f" {line}" for line in lines],
        )
    made["texts"] |= changes.pop("texts", {})
    return made | changes


def write_archive(
    folder: Path,
    entries: list[Entry],
    *,
    name: str = "stable",
    origin: str = "Debian",
    pack: str = ".xz",
    shuffle: int | None = None,
    suite: str | None = None,
) -> None:
    """A mirror in a folder, with one release for amd64 and for the machine's own architecture.

    An entry with `deb` has that package file in the mirror.
    """
    lists: dict[str, list[str]] = {}
    for item in entries:
        package: bytes = item.get("deb", b"")
        (folder / "pool").mkdir(parents=True, exist_ok=True)
        (folder / f"pool/{item['name']}_1_all.deb").write_bytes(package)
        english = item["texts"]["en"]
        md5 = hashlib.md5("\n".join([english[0], *english[1]]).encode()).hexdigest()
        if not item.get("unlisted"):
            source = f"Source: {item['source']} (1.0)\n" if item["source"] != item["name"] else ""
            lists.setdefault("Packages", []).append(
                f"Package: {item['name']}\n{source}Version: 1\nArchitecture: all\nDescription:"
                f" {english[0]}\nDescription-md5: {md5}\nTag: x,\n y\nSection:"
                f" {item['section']}\nFilename: pool/{item['name']}_1_all.deb\nSize:"
                f" {len(package)}\nSHA256: {hashlib.sha256(package).hexdigest()}"
            )
        for language, (synopsis, lines) in item["texts"].items():
            head = (
                f"Package: {item['name']}\nDescription-md5: {md5}\nDescription-{language}:"
                f" {synopsis}"
            )
            lists.setdefault(f"Translation-{language}", []).append("\n".join([head, *lines]))
    release = folder / "dists" / name
    sums = []
    for list_name, stanzas in lists.items():
        if shuffle is not None:
            random.Random(shuffle).shuffle(stanzas)
        content = ("\n\n".join(stanzas) + "\n\n").encode()
        places = (
            [f"main/binary-{machine}/Packages" for machine in {"amd64", own_architecture()}]
            if list_name == "Packages"
            else [f"main/i18n/{list_name}"]
        )
        for place in places:
            for suffix in {"", pack}:
                data = PACK[suffix](content)
                sums.append(f" {hashlib.sha256(data).hexdigest()} {len(data)} {place}{suffix}")
                (release / place).parent.mkdir(parents=True, exist_ok=True)
                if suffix == pack:
                    (release / (place + suffix)).write_bytes(data)
    (release / "Release").write_text(
        f"Origin: {origin}\nLabel: {origin}\nSuite: {suite or name}\nCodename:"
        f" {suite or name}\nVersion: 99\nDate: Sat, 11 Jul 2026 10:16:37 UTC\nArchitectures: amd64"
        f" {own_architecture()}\nComponents: main\nSHA256:\n" + "\n".join(sorted(sums)) + "\n"
    )


def own_architecture() -> str:
    if not shutil.which("dpkg"):
        return "amd64"
    return subprocess.run(
        ["dpkg", "--print-architecture"], stdout=-1, text=True, check=True
    ).stdout.strip()


def quiet(line: str) -> None:
    """Progress that nobody reads."""


def make(
    tmp_path: Path, entries: list[Entry], languages: str = "de it da", **how: Any
) -> Collection:
    write_archive(tmp_path / "mirror", entries, **how)
    return build(
        languages.split(), mirror=str(tmp_path / "mirror"), work=tmp_path / "work", progress=quiet
    )


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The functions above.

    The archives' release is called stable, whatever the machine runs; no test waits to retry.
    """
    monkeypatch.setattr(package_mirror, "own_codename", lambda: None)
    monkeypatch.setattr(apt, "own_codename", lambda: None)
    monkeypatch.setattr(downloads.time, "sleep", lambda seconds: None)
    return SimpleNamespace(
        architecture=own_architecture,
        entry=entry,
        good=[entry(f"good{number}") for number in range(6)],
        make=make,
        pack=PACK,
        quiet=quiet,
        words=words,
        write=write_archive,
    )


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The machine's own sources are the file returned, and nothing else; hooks of the machine's
    config would fail.
    """
    if not shutil.which("apt-get"):
        pytest.skip("no apt-get here")
    folder = tmp_path / "etc"
    (folder / "parts").mkdir(parents=True)
    config = tmp_path / "etc/apt.conf"
    config.write_text(
        f'Dir::Etc::SourceList "{folder}/sources.list";\nDir::Etc::SourceParts "{folder}/parts";\n'
        'Acquire::Languages { "none"; };\nAPT::Update::Post-Invoke { "exit 1"; };\n'
        f'APT::Update::Post-Invoke-Success {{ "touch {folder}/hook"; }};\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(config))
    return folder / "sources.list"
