"""The help of LibreOffice in each language, as packages of Debian's or Ubuntu's archive."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hybrid_sweep.config.schema import LIBREOFFICE_LANGUAGES
from hybrid_sweep.data.datasets.debian import apt, package_mirror
from hybrid_sweep.data.datasets.debian.package_lists import OTHER_SOURCES, binaries
from hybrid_sweep.utils.errors import UserError


@dataclass(frozen=True)
class HelpPackages:
    """The package files of one release, by our language code.

    release: of the archive, and the version of the packages.
    """

    files: Mapping[str, Path]
    release: Mapping[str, str]


def fetch(
    languages: Sequence[str], mirror: str | None, work: Path, progress: Callable[[str], None]
) -> HelpPackages:
    """Return the help in `languages`, kept under `work`; what is there whole is not fetched again.

    Args:
        languages: our codes.
        mirror: base address or folder of a mirror; None = the machine's own apt sources.
        work: folder for what is fetched.
        progress: where to say what is done.

    Raises:
        UserError: where no archive is reached, or it lacks a package.
    """
    if mirror:
        lists = package_mirror.fetch((), mirror, work, progress)
    else:
        lists = apt.fetch((), work, progress)
    names = {code: f"libreoffice-help-{LIBREOFFICE_LANGUAGES[code]}" for code in languages}
    there = binaries(lists, list(names.values()))
    if missing := sorted(set(names.values()) - set(there)):
        raise UserError(
            f"data=libreoffice: release {lists.release['codename']!r} has no package"
            f" {', '.join(missing)}; leave the language out of data.languages, or {OTHER_SOURCES}",
            key="libreoffice.package_missing",
        )
    wanted = list(there.values())
    if mirror:
        paths = {}
        for number, package in enumerate(wanted, 1):
            progress(f"fetching {package.name} ({number} of {len(wanted)})")
            paths[package.name] = package_mirror.fetch_package(package, mirror, work / "packages")
    else:
        paths = apt.download(wanted, work, "the help of LibreOffice", progress)
    versions = sorted({package.version for package in wanted})
    release = {**lists.release, "packages": " ".join(versions)}
    return HelpPackages({code: paths[name] for code, name in names.items()}, release)
