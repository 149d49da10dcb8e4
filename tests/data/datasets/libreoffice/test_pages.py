"""Pages in the form of LibreOffice's help: what is text of a section, and packages that are whole
or refused.
"""

from pathlib import Path

import pytest

from hybrid_sweep.data.datasets.libreoffice.pages import SectionId, pages, sections
from tests.data.datasets.libreoffice import help_files as help
from tests.refused import refused


def read(tmp_path: Path, html: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    path = tmp_path / "help.deb"
    path.write_bytes(help.package("de", {"swriter/guide/page": html}))
    made = sections(path, "de")
    return {place.heading: (text.synopsis, text.paragraphs) for place, text in made.items()}


# what stands between two paragraphs of a section, and is no text of it
LEFT_OUT = {
    "table": "<table><tr><td><p class='tablecontent'>cell</p></td></tr></table>",
    "listing": '<pre><p>listing</p></pre><p class="code" dir="auto">=SUM()</p>',
    "menu path": '<div class="howtoget"><div><p class="howtogetheader"><a name="w"></a>How</p></div>'
    '<div class="howtogetbody"><div class="embedded"><p>Choose <img src="x">it<br></p></div></div></div>',
    "of another page": '<div class="embedded"><a name="y"></a><h2 id="z">Other</h2><p>text</p></div>',
    "of one system": '<p>a<span hidden="true" id="MACtext" class="MAC"><span>Mac</span></span></p>',
    "links": '<div class="relatedtopics"><p class="related">Related</p></div>',
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_is_no_running_text_is_left_out(tmp_path: Path, name: str) -> None:
    html = help.section("a", "Kopf", "eins", level=1) + LEFT_OUT[name] + "<p>zwei</p>"
    between = ("a",) if name == "of one system" else ()
    assert read(tmp_path, html) == {"a": ("Kopf", ("eins", *between, "zwei"))}


def test_texts_are_joined_and_cleaned(tmp_path: Path) -> None:
    html = (
        "<p>before any heading</p>"
        + help.section(
            "a", "<span>Zeilen &amp;</span>\n Spalten", "Sie\n  <em>f&uuml;gen</em> ein."
        )
        + '<ul><li><p class="listitem">erst&#160;dann<br>jetzt</p></li></ul><p> - </p>'
        + '<p><span hidden="true" id="CALCx">Calc</span><span hidden="true" id="defaultx">alle</span></p>'
        + help.section("b", "Leer", level=4)
        + help.section("a", "An id twice", "never read")
    )
    assert read(tmp_path, html) == {
        "a": ("Zeilen & Spalten", ("Sie fügen ein.", "erst dann jetzt", "alle")),
        "b": ("Leer", ()),
    }


@pytest.mark.parametrize("compression", ["xz", "gz", "bz2", "zst"])
def test_packages_in_every_compression(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "help.deb"
    made = {"b/page": help.section("x", "B", "b"), "a/page": help.section("x", "A", "a")}
    path.write_bytes(help.package("zh", made, compression))
    assert list(sections(path, "zh-cn")) == [SectionId("a/page", "x"), SectionId("b/page", "x")]
    assert list(pages(path, "zh")) == []  # of another language


@pytest.mark.parametrize("share", [0, 0.001, 0.05, 0.4, 0.999])
def test_a_package_cut_short_is_refused_in_one_line(tmp_path: Path, share: float) -> None:
    path = tmp_path / "help.deb"
    whole = help.package("de", help.good_pages("de", pages=2))
    path.write_bytes(whole[: int(share * len(whole))])
    with refused("libreoffice.package_damaged", path, "remove it"):
        list(pages(path, "de"))


def test_a_damaged_package_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "help.deb"
    whole = help.package("de", help.good_pages("de"))
    middle = len(whole) // 2
    damaged = {
        "bytes": whole[:middle] + bytes(64) + whole[middle + 64 :],
        "size": whole.replace(b"4         `\n", b"-4        `\n", 1),
        "no number": whole.replace(b"4         `\n", b"four      `\n", 1),
        "no content": help.ar([("debian-binary", b"2.0\n")]),
        "no tar": help.ar([("data.tar", b"odd")]),
        "no zstd": help.ar([("data.tar.zst", b"odd")]),
        "a page": b"<html></html>",
    }
    for name, content in damaged.items():
        path.write_bytes(content)
        with refused("libreoffice.package_damaged", path):
            print(name, list(pages(path, "de")))
