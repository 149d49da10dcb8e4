"""Fetches the package lists through apt-get, without root and from the machine's own sources."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from hybrid_sweep.data.datasets.debian.package_lists import (
    COMPONENTS,
    OTHER_SOURCES,
    Binary,
    PackageLists,
    assemble,
    own_codename,
    parse_release,
)
from hybrid_sweep.data.datasets.debian.text_rules import LANGUAGES
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import atomic_write, file_digest

TIMEOUT = 30  # seconds without a byte

# Read after the machine's own config, which may ask for no languages, run hooks as root, or name
# folders of root.
_CONFIG = """\
#clear Acquire::Languages;
#clear APT::Architectures;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Acquire::Languages {{ {languages} }};
Acquire::PDiffs "false";
Acquire::Retries "1";
Acquire::http::Timeout "{timeout}";
Acquire::https::Timeout "{timeout}";
APT::Sandbox::User "root";
Dir::State::Lists "{work}/lists/";
Dir::Cache "{work}/cache/";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
"""
_OTHER_TARGET = re.compile(
    r"^(Acquire::IndexTargets::(?!deb::(?:Packages|Translations)::)\S+?::\S+?)::MetaKey ", re.M
)
_FIELDS = (
    "CREATED_BY",
    "SITE",
    "ORIGIN",
    "SUITE",
    "CODENAME",
    "RELEASE",
    "COMPONENT",
    "ARCHITECTURE",
    "METAKEY",
    "FILENAME",
)
# suites with a few packages anew
_ADDITION = re.compile(r"-(updates|security|backports|proposed|lts|debug)", re.I)


def fetch(languages: Sequence[str], work: Path, progress: Callable[[str], None]) -> PackageLists:
    """Return the lists of `languages` (none: of packages alone) from the first Debian or Ubuntu
    archive in the machine's sources, kept under `work`.

    Other sources neither enter the lists nor, where they fail, stop the work. Raises UserError
    where there is no apt-get, where no such archive is reached, and where a list of it is missing.
    """
    apt = shutil.which("apt-get")
    if apt is None:
        raise UserError(
            f"there is no apt-get to fetch Debian's package lists with; {OTHER_SOURCES}",
            key="debian.no_apt",
        )
    work = work.resolve()
    for folder in ("lists/partial", "cache/archives/partial"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    config = work / "apt.conf"
    _write_config(config, apt, languages)
    what = "Debian's package lists"
    complaint = _watched([apt, "-c", str(config), "update"], work, what, progress)
    targets = _targets(apt, config)
    packages = [target for target in targets if target["CREATED_BY"] == "Packages"]
    if not packages:
        raise UserError(
            "apt-get reached no Debian archive"
            f" ({complaint or 'none in its sources'}); {OTHER_SOURCES}",
            key="debian.no_archive",
        )
    if complaint:
        progress(f"apt-get update: {complaint} (going on without)")
    # Of several releases the machine's own goes first, else the first of its sources.
    chosen = next(
        (target for target in packages if target["CODENAME"] == own_codename()), packages[0]
    )
    files = {
        target["METAKEY"]: Path(target["FILENAME"])
        for target in targets
        if (target["SITE"], target["RELEASE"]) == (chosen["SITE"], chosen["RELEASE"])
    }
    prefix = chosen["FILENAME"].partition("_" + chosen["METAKEY"].replace("/", "_"))[0]
    signed = Path(prefix + "_InRelease")
    plain = Path(prefix + "_Release")
    release = parse_release((signed if signed.exists() else plain).read_text(encoding="utf-8"))
    return assemble(release, chosen["ARCHITECTURE"], languages, files)


def download(
    packages: Sequence[Binary], work: Path, what: str, progress: Callable[[str], None]
) -> dict[str, Path]:
    """Return the files of packages by name, of the archive that `fetch` left its lists of in
    `work`; those that are there whole are not fetched again.

    what: the packages, for messages. Raises UserError where one could not be fetched.
    """
    apt = shutil.which("apt-get")
    assert apt is not None, "the lists were fetched with it"
    folder = work.resolve() / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [package for package in packages if _whole(package, folder) is None]
    complaint = None
    if missing:
        names = [f"{package.name}={package.version}" for package in missing]
        command = [apt, "-c", str(work.resolve() / "apt.conf"), "download", *names]
        complaint = _watched(command, folder, what, progress)
    paths = {}
    for package in packages:
        path = _whole(package, folder)
        if path is None:
            raise UserError(
                f"Debian's archive: the package {package.name} {package.version} could not be"
                f" fetched ({complaint or 'it has another SHA256 than the release lists'}); try"
                " again: what is here whole is kept",
                key="debian.package_missing",
            )
        paths[package.name] = path
    return paths


def _whole(package: Binary, folder: Path) -> Path | None:
    """Return the file of a package, whatever apt-get calls it, where it is there whole."""
    for path in sorted(folder.glob(f"{package.name}_*.deb")):
        if file_digest(path, 64) == package.sha256:
            return path
    return None


def _write_config(config: Path, apt: str, languages: Sequence[str]) -> None:
    """Write the config of an apt-get that fetches the lists of `languages` and nothing else.

    Icons, file lists and sources, which the machine's config may add, are switched off one by one.
    """
    others = _OTHER_TARGET.findall(_output([apt.removesuffix("-get") + "-config", "dump"]))
    names = [LANGUAGES[language] for language in languages] or ["none"]
    wanted = " ".join(f'"{name}";' for name in names)
    text = _CONFIG.format(timeout=TIMEOUT, work=config.parent, languages=wanted)
    text += "".join(f'{name}::DefaultEnabled "false";\n' for name in others)
    with atomic_write(config) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _targets(apt: str, config: Path) -> list[dict[str, str]]:
    """Return what apt-get has fetched, the lists of releases of Debian and Ubuntu alone."""
    asked = "\t".join(f"$({name})" for name in _FIELDS)
    listed = _output([apt, "-c", str(config), "indextargets", "--format", asked])
    targets = []
    for line in listed.splitlines():
        target = dict(zip(_FIELDS, line.split("\t"), strict=True))
        official = target["COMPONENT"] in COMPONENTS.get(target["ORIGIN"], ())
        names = (target["SUITE"], target["CODENAME"], target["RELEASE"])
        if official and not any(_ADDITION.search(name) for name in names):
            targets.append(target)
    return targets


def _output(command: list[str]) -> str:
    return subprocess.run(
        command, check=True, capture_output=True, encoding="utf-8", env=_environment()
    ).stdout


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C"}  # the messages are read below


def _watched(
    command: list[str], folder: Path, what: str, progress: Callable[[str], None]
) -> str | None:
    """Run apt-get in a folder with a progress line every two seconds; its first error or warning,
    or None.
    """
    complaint = None
    files = 0
    spoken = time.monotonic()
    progress(f"fetching {what} with apt-get")
    with subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env=_environment(),
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            files += line.startswith(("Get:", "Hit:"))
            if complaint is None and line.startswith(("E: ", "W: ", "Err:")):
                complaint = line.strip()
            if time.monotonic() - spoken > 2:
                spoken = time.monotonic()
                progress(f"fetching {what}: {files} files")
    if complaint is None and process.returncode:
        complaint = f"exit code {process.returncode}"
    return complaint
