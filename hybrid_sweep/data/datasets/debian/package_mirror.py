"""Fetches the package lists from a Debian or Ubuntu mirror by address, or from a copy of one in a
folder.
"""

import hashlib
import platform
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from hybrid_sweep.data import downloads
from hybrid_sweep.data.datasets.debian.package_lists import (
    COMPONENTS,
    OTHER_SOURCES,
    Binary,
    PackageLists,
    Release,
    assemble,
    own_codename,
    parse_release,
)
from hybrid_sweep.data.datasets.debian.text_rules import LANGUAGES
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import atomic_write, file_digest

# Python's name to Debian's, where they differ
MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "ppc64le": "ppc64el"}


def fetch(
    languages: Sequence[str], mirror: str, work: Path, progress: Callable[[str], None]
) -> PackageLists:
    """Return the lists of `languages` of the machine's own release, else of "stable", kept under
    `work`.

    Every list is compared with the SHA256 in the Release file; the Release file itself is trusted
    as the mirror is. Raises UserError for a mirror that cannot be reached or lacks the release, and
    for a file other than it lists.
    """
    base = _base(mirror)
    text, place = _release(base, mirror)
    release = parse_release(text)
    architecture = _architecture(release)
    components = COMPONENTS.get(release.fields.get("Origin", ""), ("main",))
    wanted = [f"{component}/binary-{architecture}/Packages" for component in components]
    wanted += [
        f"{component}/i18n/Translation-{LANGUAGES[language]}"
        for component in components
        for language in languages
    ]
    wanted = [name for name in wanted if release.lists(name)]
    files: dict[str, Path] = {}
    for number, name in enumerate(wanted, 1):
        packed = next(
            name + suffix for suffix in (".xz", ".bz2", ".gz", "") if name + suffix in release.files
        )
        progress(f"fetching {packed} ({number} of {len(wanted)})")
        files[name] = work / "mirror" / packed
        _download(f"{place}/{packed}", files[name], release.files[packed][0])
    return assemble(release, architecture, languages, files)


def fetch_package(binary: Binary, mirror: str, folder: Path) -> Path:
    """Return the file of a package in `folder`, fetched unless it is there whole.

    Raises UserError where the mirror lacks it, or has another file in its place.
    """
    path = folder / f"{binary.name}.deb"
    _download(f"{_base(mirror)}/{urllib.parse.quote(binary.place)}", path, binary.sha256)
    return path


def _base(mirror: str) -> str:
    if mirror.startswith(("http://", "https://", "file://")):
        return mirror.rstrip("/")
    folder = Path(mirror).expanduser()
    if not folder.is_dir():
        raise UserError(
            f"data.mirror: {mirror!r} is neither an http(s) or file address nor a folder",
            key="mirror.no_folder",
        )
    return folder.resolve().as_uri()


def _release(base: str, mirror: str) -> tuple[str, str]:
    """Return the text of the Release file, and the address of its folder."""
    for name in dict.fromkeys((own_codename() or "stable", "stable")):
        place = f"{base}/dists/{urllib.parse.quote(name)}"
        if (content := _get(f"{place}/Release")) is not None:
            return content.decode("utf-8", "replace"), place
    raise UserError(
        f"data.mirror: {mirror!r} has no dists/stable/Release; give the base address of a Debian"
        " mirror",
        key="mirror.no_release",
    )


def _architecture(release: Release) -> str:
    if dpkg := shutil.which("dpkg"):
        own = subprocess.run(
            [dpkg, "--print-architecture"], check=True, capture_output=True, text=True
        ).stdout.strip()
    else:
        own = MACHINES.get(platform.machine(), platform.machine())
    if release.lists(f"main/binary-{own}/Packages"):
        return own
    return "amd64"


def _download(url: str, path: Path, sha256: str) -> None:
    """Bring the file of this hash to `path`, unless it is there; another one is never left."""
    if path.exists() and file_digest(path, 64) == sha256:
        return
    content = _get(url)
    if content is None:
        raise UserError(
            f"data.mirror: {url} is missing, though the release lists it; try again or elsewhere",
            key="mirror.file_missing",
        )
    if hashlib.sha256(content).hexdigest() != sha256:
        raise UserError(
            f"data.mirror: {url} is not what the release lists (SHA256): the mirror is damaged or"
            " just being renewed; try again, or another mirror",
            key="mirror.file_altered",
        )
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def _get(url: str) -> bytes | None:
    """Return the file at an address, all of it in memory (a list has some 10 MB); None where there
    is none.
    """
    try:
        if not url.startswith("file:"):
            return downloads.read(url, {})[0]
        path = Path(urllib.request.url2pathname(urllib.parse.urlsplit(url).path))
        if path.is_file():
            return path.read_bytes()
        return None
    except (UserError, OSError) as error:
        if isinstance(error, UserError) and error.key in ("fetch.not_found", "fetch.refused"):
            return None
        raise UserError(
            f"data.mirror: {url} cannot be fetched ({downloads.reason(error.__cause__ or error)});"
            f" check the network and the address, or {OTHER_SOURCES}",
            key="mirror.unreachable",
        ) from error
