"""The lists of one release of Debian's or Ubuntu's archive: which there should be; reading them
whole or not at all.
"""

import bz2
import gzip
import hashlib
import lzma
import platform
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from hybrid_sweep.data.datasets.debian.text_rules import LANGUAGES, fields, stanzas
from hybrid_sweep.utils.errors import UserError

# by origin: what each calls free and of its own
COMPONENTS = {"Debian": ("main",), "Ubuntu": ("main", "universe")}
OTHER_SOURCES = (
    "give data.mirror, the base address or folder of a Debian mirror, "
    "or take generated text: make reproduce DATA=synthetic"
)
CHUNK = 1 << 20  # bytes


@dataclass(frozen=True)
class Release:
    """A Release file: its fields, its hash, and (SHA256, bytes) of each file it vouches for, by
    name below it.
    """

    fields: Mapping[str, str]
    files: Mapping[str, tuple[str, int]]
    sha256: str

    def lists(self, name: str) -> bool:
        """Return whether the release has this file, packed or not, and not empty."""
        return any(
            self.files.get(name + suffix, ("", 0))[1] for suffix in ("", ".xz", ".gz", ".bz2")
        )


@dataclass(frozen=True)
class PackageLists:
    """The lists of one release.

    packages: one per component. translations: by our language code, one per component; a language
    that the release lacks is absent. sha256: of the unpacked content, of the files for which the
    release tells it. release: origin, suite, codename, version, date, components, architecture, and
    the hash of the Release file.
    """

    packages: tuple[Path, ...]
    translations: Mapping[str, tuple[Path, ...]]
    sha256: Mapping[Path, str]
    release: Mapping[str, str]


@dataclass(frozen=True)
class Binary:
    """A package file of a release: its place below the mirror's base address, and its hash."""

    name: str
    version: str
    place: str
    sha256: str


def parse_release(text: str) -> Release:
    """Return a Release file, or an InRelease file without its signature; a UserError for a size
    that is no number.
    """
    if text.startswith("-----BEGIN PGP SIGNED MESSAGE-----"):
        text = (
            text.partition("\n\n")[2]
            .split("\n-----BEGIN PGP SIGNATURE-----", 1)[0]
            .replace("\n- -", "\n-")
            + "\n"
        )
    values = fields(text)
    files = {}
    for line in values.pop("SHA256", "").split("\n"):
        if len(parts := line.split()) == 3:
            if not (parts[1].isascii() and parts[1].isdigit() and len(parts[1]) <= 18):
                raise UserError(
                    "Debian's archive (data.mirror): the Release file is damaged, its line"
                    f" {line.strip()[:120]!r} has no size",
                    key="debian.release_damaged",
                )
            files[parts[2]] = (parts[0], int(parts[1]))
    return Release(values, files, hashlib.sha256(text.encode()).hexdigest())


def assemble(
    release: Release, architecture: str, languages: Sequence[str], files: Mapping[str, Path]
) -> PackageLists:
    """Return the lists among `files` (by their unpacked name below the release).

    Raises UserError for a list that the release has and `files` lacks, and where the packages, or
    English among the languages asked for, are missing.
    """
    components = [
        name
        for name in COMPONENTS.get(release.fields.get("Origin", ""), ("main",))
        if f"{name}/binary-{architecture}/Packages" in files
    ]
    translations: dict[str, tuple[Path, ...]] = {}
    for language in languages:
        names = [f"{component}/i18n/Translation-{LANGUAGES[language]}" for component in components]
        for name in names:
            if name not in files and release.lists(name):
                raise UserError(
                    f"Debian's archive (data.mirror): the list {name} could not be fetched; try"
                    f" again, or {OTHER_SOURCES}",
                    key="debian.list_missing",
                )
        if paths := tuple(files[name] for name in names if name in files):
            translations[language] = paths
    codename = release.fields.get("Codename", "")
    if not components or (languages and "en" not in translations):
        raise UserError(
            f"Debian's archive (data.mirror): release {codename!r} lacks packages or English"
            f" descriptions; {OTHER_SOURCES}",
            key="debian.release_incomplete",
        )
    told = {
        name.lower(): release.fields.get(name, "")
        for name in ("Origin", "Suite", "Codename", "Version", "Date")
    }
    return PackageLists(
        tuple(files[f"{component}/binary-{architecture}/Packages"] for component in components),
        translations,
        {path: release.files[name][0] for name, path in files.items() if name in release.files},
        {
            **told,
            "components": " ".join(components),
            "architecture": architecture,
            "sha256": release.sha256,
        },
    )


def binaries(lists: PackageLists, names: Sequence[str]) -> dict[str, Binary]:
    """Return the packages of these names that the release has, by name; of two versions the one
    listed last.
    """
    wanted = frozenset(names)
    there: dict[str, Binary] = {}
    for path in lists.packages:
        for stanza in stanzas(read(path, lists.sha256.get(path))):
            if stanza.partition("\n")[0].removeprefix("Package: ") in wanted:
                entry = fields(stanza)
                there[entry["Package"]] = Binary(
                    entry["Package"],
                    entry.get("Version", ""),
                    entry.get("Filename", ""),
                    entry.get("SHA256", ""),
                )
    return there


def read(path: Path, sha256: str | None) -> Iterator[bytes]:
    """Yield the unpacked content of a list in chunks; a UserError where it is cut short, damaged or
    not of the hash given.
    """
    state = hashlib.sha256()
    try:
        with _open(path) as stream:
            while chunk := stream.read(CHUNK):
                state.update(chunk)
                yield chunk
    except (OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException) as error:
        raise UserError(
            f"{path} is damaged or incomplete ({error}); remove it and build again",
            key="debian.list_damaged",
        ) from error
    if sha256 and state.hexdigest() != sha256:
        raise UserError(
            f"{path} is not what its release lists (SHA256); remove it and build again",
            key="debian.list_altered",
        )


def _open(path: Path) -> Any:
    """Return a binary stream of the unpacked content; apt leaves lists in whatever form the
    machine's config prefers.
    """
    if path.suffix == ".xz":
        return lzma.open(path)
    if path.suffix == ".gz":
        return gzip.open(path)
    if path.suffix == ".bz2":
        return bz2.open(path)
    if path.suffix in (".lz4", ".zst"):
        return pa.input_stream(str(path), compression={".lz4": "lz4", ".zst": "zstd"}[path.suffix])
    return open(path, "rb")


def own_codename() -> str | None:
    """Return the code name of the release that this machine runs, or None where it runs neither
    Debian nor Ubuntu.
    """
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        return None
    if system.get("ID") in ("debian", "ubuntu"):
        return system.get("VERSION_CODENAME")
    return None
