"""The collection of LibreOffice's help from small packages in a mirror, and through apt-get where
it is here.
"""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hybrid_sweep.data.collection import Collection
from hybrid_sweep.data.datasets.debian.near_copies import PER_SOURCE
from hybrid_sweep.data.datasets.libreoffice.collection import build, split_of
from hybrid_sweep.data.datasets.libreoffice.section_rules import GENERIC
from tests.data.datasets.libreoffice import help_files as help
from tests.refused import refused

Pages = dict[str, dict[str, str]]
MANY = PER_SOURCE + 2  # sections of a page: all are kept


def good() -> Pages:
    return {code: help.good_pages(code) for code in help.CODES}


@pytest.fixture
def made(archive: SimpleNamespace, tmp_path: Path) -> Callable[..., Collection]:
    """Write a mirror of these pages and build from it; `languages` are asked for."""

    def build_from(pages: Pages, languages: str = "en de zh", **how: Any) -> Collection:
        entries = [
            archive.entry(
                f"libreoffice-help-{help.PACKAGES[code]}",
                languages="en",
                deb=help.package(code, own),
            )
            for code, own in pages.items()
        ]
        archive.write(tmp_path / "mirror", entries)
        how = {"mirror": str(tmp_path / "mirror"), "work": tmp_path / "work"} | how
        return build(languages.split(), progress=archive.quiet, **how)

    return build_from


def test_every_language_has_the_same_groups(made: Callable[..., Collection]) -> None:
    pages = good()
    name = next(iter(pages["en"]))
    for code in help.CODES:
        pages[code][name] = "".join(help.good_section(name, number, code) for number in range(MANY))
    collection = made(pages)
    groups: dict[str, set[str]] = {}
    for row in collection.passages.to_pylist():
        groups.setdefault(row["lang"], set()).add(row["group"])
        assert row["split"] == split_of(row["group"].partition("#")[0])
    assert set(groups) == {"de", "en", "zh"} and groups["de"] == groups["en"] == groups["zh"]
    assert len(groups["en"]) == 2 * (len(pages["en"]) - 1) + MANY
    assert collection.queries["group"] == collection.passages["group"]
    assert collection.clusters is not None
    columns = [column.to_pylist() for column in collection.clusters.columns]
    for group, cluster in zip(*columns, strict=True):
        assert group.startswith(f"{cluster}#") and cluster in pages["en"]
    assert "MPL-2.0" in collection.info["licence"] and not collection.info["dropped"]
    assert collection.info["release"]["packages"] == "1"


def test_what_is_unfit_in_one_language_leaves_all(made: Callable[..., Collection]) -> None:
    pages = good()
    names = list(pages["en"])
    english = help.good_section(names[0], 0, "en")
    # untranslated in German; missing in Chinese; one German heading twice; one English section twice
    pages["de"][names[0]] = english + help.good_section(names[0], 1, "de")
    pages["zh"][names[1]] = help.good_section(names[1], 1, "zh")
    heading = help.good_section(names[2], 0, "de").partition("</h2>")[0]
    later = help.good_section(names[3], 0, "de").partition("</h2>")[2]
    pages["de"][names[3]] = heading + "</h2>" + later + help.good_section(names[3], 1, "de")
    body = help.good_section(names[4], 0, "en").partition("</h2>")[2]
    first = help.good_section(names[5], 0, "en").partition("</h2>")[0]
    pages["en"][names[5]] = first + "</h2>" + body + help.good_section(names[5], 1, "en")
    collection = made(pages)
    assert collection.info["dropped"] == {
        "heading is English": {"de": 1},
        "near-copy": {"*": 1},
        "no section": {"zh": 1},
        "not in all languages": {"*": 2},
        "repeated heading": {"de": 1},
    }
    left = set(collection.queries["group"].to_pylist())
    gone = {f"{names[place]}#hd_id0" for place in (0, 1, 3, 5)}
    assert not gone & left and len(left) == 2 * len(names) - len(gone)
    # without German, its two faults drop nothing
    fewer = made(pages, "en zh")
    assert set(fewer.queries["group"].to_pylist()) == left | {
        f"{names[place]}#hd_id0" for place in (0, 3)
    }


def test_generic_headings_are_counted_over_all_pages(made: Callable[..., Collection]) -> None:
    pages = good()
    for name in list(pages["en"])[: GENERIC + 1]:
        html = help.good_section(name, 0, "en").replace("hd_id0", "hd_id9")
        before, heading, after = html.partition('<a name="x"></a>')
        pages["en"][name] += before + heading + "Syntax:" + after[after.index("</h2>") :]
    assert made(pages).info["dropped"] == {"generic heading": {"*": GENERIC + 1}}


def test_the_result_depends_on_content_and_languages_alone(
    made: Callable[..., Collection], tmp_path: Path
) -> None:
    first = made(good())
    backwards = {code: dict(reversed(pages.items())) for code, pages in good().items()}
    again = made(backwards, "zh de", work=tmp_path / "other")
    assert first.fingerprint == again.fingerprint
    assert first.clusters == again.clusters


def test_pages_of_one_chapter_are_in_one_split() -> None:
    of_chapter = {split_of(f"scalc/01/0406{number:04d}") for number in range(40)}
    assert len(of_chapter) == 1
    splits = [split_of(f"scalc/01/{number:04d}0000") for number in range(2000)]
    assert 0.17 < splits.count("test") / 2000 < 0.23
    assert 0.08 < splits.count("dev") / 2000 < 0.12


# ---------------------------------------------------------------- what is refused


def test_languages_that_are_not_there(made: Callable[..., Collection]) -> None:
    pages = good()
    with refused("data.language_missing", "sk", "xx"):
        made(pages, "en xx sk")
    with refused("data.one_language", "English"):
        made(pages, "en")
    with refused("libreoffice.package_missing", "libreoffice-help-fr", "data.mirror"):
        made(pages, "en fr de")
    with refused("libreoffice.nothing_left", "en, de", "fewer languages"):
        made({code: help.good_pages(code, pages=1) for code in help.CODES}, "de")


def test_a_stopped_download_goes_on_and_damage_is_never_kept(
    made: Callable[..., Collection], tmp_path: Path
) -> None:
    expected = made(good())
    mirror = tmp_path / "mirror/pool/libreoffice-help-zh-cn_1_all.deb"
    whole = mirror.read_bytes()
    packages = tmp_path / "work/packages"
    (packages / "libreoffice-help-de.deb").write_bytes(
        whole[:100]
    )  # a half one of an older version
    assert made(good()).fingerprint == expected.fingerprint

    def again() -> Collection:
        return build(
            ["de", "zh"], mirror=str(tmp_path / "mirror"), work=tmp_path / "work", progress=print
        )

    (packages / "libreoffice-help-zh-cn.deb").unlink()
    mirror.write_bytes(whole[:-1])
    with refused("mirror.file_altered", "SHA256"):
        again()
    mirror.unlink()
    with refused("mirror.file_missing", "libreoffice-help-zh-cn"):
        again()
    assert not (packages / "libreoffice-help-zh-cn.deb").exists()
    mirror.write_bytes(whole)
    (tmp_path / "mirror/pool/libreoffice-help-de_1_all.deb").unlink()  # whole here: not asked for
    assert again().fingerprint == expected.fingerprint


def test_apt_fetches_what_is_missing_and_nothing_else(
    made: Callable[..., Collection], tmp_path: Path, sources: Path
) -> None:
    expected = made(good())
    sources.write_text(f"deb [trusted=yes] file:{tmp_path}/mirror stable main\n")
    work = tmp_path / "apt work"

    def through_apt() -> Collection:
        return build(["de", "zh"], mirror=None, work=work, progress=print)

    assert through_apt().fingerprint == expected.fingerprint
    assert not list((work / "lists").glob("*Translation*"))
    here = sorted(path.name for path in (work / "packages").iterdir())
    assert here == [f"libreoffice-help-{name}_1_all.deb" for name in ("de", "en-us", "zh-cn")]
    german = work / "packages/libreoffice-help-de_1_all.deb"
    german.write_bytes(german.read_bytes()[:100])
    (tmp_path / "mirror/pool/libreoffice-help-zh-cn_1_all.deb").unlink()
    assert through_apt().fingerprint == expected.fingerprint
    german.unlink()
    (tmp_path / "mirror/pool/libreoffice-help-de_1_all.deb").unlink()
    with refused("debian.package_missing", "libreoffice-help-de 1", "kept"):
        through_apt()
