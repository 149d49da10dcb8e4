"""Debian's text rules: parsing, unwrapping, and each cleaning rule on a text that only it
refuses.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_sweep.data.datasets.debian.text_rules import (
    Description,
    english_defect,
    fields,
    parse,
    plain,
    stanzas,
    translation_defect,
)

ENGLISH = Description(
    "viewer for old maps",
    (
        (
            "This program is a viewer for the maps of the last century and for the notes that go"
            " with them."
        ),
        "It reads the common formats:",
        "raster",
        "vector",
        "plain text with coordinates in the first two columns",
    ),
)
BODIES = {
    "de": (
        (
            "Dieses Programm zeigt Landkarten des letzten Jahrhunderts und die Notizen, die"
            " dazugehören."
        ),
        "Es liest die gängigen Formate:",
        "Raster",
        "Vektor",
        "Text mit Koordinaten in den ersten zwei Spalten",
    ),
    "da": (
        (
            "Dette program er en fremviser for kort fra det sidste århundrede og for noterne, som"
            " hører til dem."
        ),
        "Det læser de gængse formater:",
        "raster",
        "vektor",
        "ren tekst med koordinater i de første to kolonner",
    ),
    "ru": (
        (
            "Эта программа показывает карты прошлого века и заметки, которые к ним относятся, были"
            " и есть."
        ),
        "Она читает обычные форматы:",
        "растр",
        "вектор",
        "простой текст с координатами в первых двух столбцах",
    ),
    "uk": (
        (
            "Ця програма показує мапи минулого століття і нотатки, які до них належать, її легко"
            " вивчити."
        ),
        "Вона читає звичайні формати:",
        "растр",
        "вектор",
        "простий текст із координатами в перших двох стовпцях",
    ),
    "ja": (
        "このプログラムは前世紀の地図とそれに付属するメモを表示するビューアです。",
        "一般的な形式を読み込みます:",
        "ラスタ",
        "ベクタ",
        "最初の二列に座標があるテキスト",
    ),
    "ko": (
        "이 프로그램은 지난 세기의 지도와 그에 딸린 메모를 보여 주는 뷰어입니다.",
        "일반적인 형식을 읽습니다:",
        "래스터",
        "벡터",
        "처음 두 열에 좌표가 있는 텍스트",
    ),
    "zh": (
        "这个程序用来查看上个世纪的地图以及与之相关的笔记，并且可以打印它们。",
        "它支持常见格式：",
        "栅格",
        "矢量",
        "前两列为坐标的纯文本",
    ),
}
SYNOPSES = {
    "de": "Betrachter für alte Karten",
    "da": "fremviser for gamle kort",
    "ru": "просмотр старых карт",
    "uk": "перегляд старих мап",
    "ja": "古い地図のビューア",
    "ko": "옛 지도 뷰어",
    "zh": "旧地图查看器",
}


def defect(
    language: str,
    synopsis: str | None = None,
    body: tuple[str, ...] | None = None,
    raw: str = "",
    english: Description = ENGLISH,
) -> str | None:
    text = Description(synopsis or SYNOPSES[language], BODIES[language] if body is None else body)
    return translation_defect(
        raw or "\n".join((text.synopsis, *text.paragraphs)), text, english, language
    )


@given(
    st.lists(st.text(alphabet="ab: \né글", min_size=1).filter(str.strip), max_size=6),
    st.integers(1, 7),
)
def test_stanzas_do_not_depend_on_where_chunks_are_cut(parts: list[str], size: int) -> None:
    content = "\n\n".join(parts).encode()
    whole = list(stanzas([content]))
    assert (
        list(stanzas(content[start : start + size] for start in range(0, len(content), size)))
        == whole
    )
    assert all("\n\n" not in stanza and stanza.strip() for stanza in whole)


def test_stanzas_with_windows_line_ends_and_blank_runs() -> None:
    assert list(stanzas([b"A: 1\r\n\r", b"\n\n\nB: 2\r\n c\n"])) == ["A: 1", "B: 2\n c"]


def test_fields_keep_the_lines_of_a_continued_value() -> None:
    assert fields(
        "Package: a\nTag: x,\n y: z\nDescription-de: kurz\n  * eins\n .\n zwei: drei"
    ) == {
        "Package": "a",
        "Tag": "x,\n y: z",
        "Description-de": "kurz\n  * eins\n .\n zwei: drei",
    }


@pytest.mark.parametrize(
    ("value", "language", "paragraphs"),
    [
        ("s\n one\n two\n .\n three", "en", ("one two", "three")),
        (
            "s\n list:\n  * one\n    more\n  * two\n - three",
            "en",
            ("list:", "one more", "two", "three"),
        ),
        ("s\n list:\n  o one\n  2. two\n  3) three", "en", ("list:", "one", "two", "three")),
        ("s\n questo\n o quello, versione\n 2. Fine", "it", ("questo o quello, versione 2. Fine",)),
        (
            "s\n Schema\n – une mise\n en œuvre:\n – un\n – deux",
            "fr",
            ("Schema – une mise en œuvre:", "un", "deux"),
        ),
        ("s\n a command-\n line tool", "en", ("a command-line tool",)),
        (
            "s\n GTK+-\n Programme, Text-\n und Bildverarbeitung",
            "de",
            ("GTK+-Programme, Text- und Bildverarbeitung",),
        ),
        ("s\n日本\n 語です。\n ab\n の", "ja", ("日本語です。 ab の",)),
        ("s\n 这是\n 中文 ab\n cd", "zh", ("这是中文 ab cd",)),
        ("s\n 한국어\n 문장", "ko", ("한국어 문장",)),
        (
            "s\n " + "가" * 37 + "\n 나 다",
            "ko",
            ("가" * 37 + "나 다",),
        ),  # 75 columns: a word cut in two
        ("s\n " + "가" * 36 + "\n 나 다", "ko", ("가" * 36 + " 나 다",)),
        ("s\n e\u0301te\u0301\n wa\u0308h\u00adrend \u200b\u200bx", "fr", ("été während x",)),
        ("s\n «\u22c5mot\u22c5»", "fr", ("« mot »",)),
        ("s\n formats:\n -------\n one", "en", ("formats: ------- one",)),
        ("s\n one\n .\n ------\n .\n two", "en", ("one", "two")),
    ],
)
def test_parse(value: str, language: str, paragraphs: tuple[str, ...]) -> None:
    text = parse(value, language)
    assert text.paragraphs == paragraphs
    assert text.synopsis == "s" and text.body == " ".join(paragraphs)


def test_plain_forgets_case_punctuation_and_versions() -> None:
    assert (
        plain("GCC-12.2, the C/C++ compiler!")
        == plain("gcc 9 10 the c c compiler")
        == "gcc 0 0 the c c compiler"
    )


def test_english_rules_each_alone() -> None:
    def verdict(
        synopsis: str = ENGLISH.synopsis, body: str = ENGLISH.body, section: str = "science"
    ) -> str | None:
        return english_defect(Description(synopsis, (body,)), section)

    assert verdict() is None
    for section in ("oldlibs", "debug", "metapackages"):
        assert verdict(section=section) == "section"
    for words in (
        "transitional package",
        "a Dummy package",
        "meta-package",
        "metapackages",
        "debugging symbols",
    ):
        assert (
            verdict(synopsis=f"viewer, {words}")
            == verdict(body=f"{ENGLISH.body} {words}")
            == "transitional"
        )
    assert verdict(body=("the " * 20)[:79]) == verdict(body="the " * 626) == "english length"
    assert verdict(synopsis="maps, 7") == verdict(synopsis="map " * 26) == "english length"
    assert (
        verdict(
            body=(
                "LinuxCNC es un controlador que proporciona control de movimiento para máquinas "
                "herramientas y aplicaciones de robótica"
            )
        )
        == "no prose"
    )


@pytest.mark.parametrize("language", BODIES)
def test_a_good_translation_breaks_no_rule(language: str) -> None:
    assert defect(language) is None


def test_translation_rules_each_alone() -> None:
    de = BODIES["de"]
    assert defect("de", raw="kurz\n <trans>") == defect("de", raw="kurz\n FIXME") == "marked"
    assert (
        defect("de", raw="kurz\n f\u00c3\u00bcr") == defect("de", raw="kurz\n \ufffd") == "damaged"
    )
    assert defect("de", body=()) == "no body"
    assert defect("de", synopsis="Karte") == defect("de", synopsis="K" * 161) == "synopsis length"
    assert (
        defect("zh", synopsis="图") == "synopsis length" and defect("zh", synopsis="地图器") is None
    )
    assert (
        defect("de", synopsis="Viewer for old maps")
        == defect("de", synopsis="old maps")
        == "synopsis is English"
    )
    assert defect("de", body=(*de[:-1], ENGLISH.paragraphs[-1])) == "untranslated paragraph"
    # a short one may be alike by right
    assert defect("de", body=(*de[:-1], ENGLISH.paragraphs[2])) is None
    assert (
        defect("de", body=(de[0], *"abcd"))
        == defect("de", body=(de[0] * 5, *de[1:]))
        == "length ratio"
    )
    assert defect("ja", body=(BODIES["ja"][0] * 6, *BODIES["ja"][1:])) == "length ratio"
    assert defect("de", body=de[:3]) == defect("de", body=(*de, "x", "y")) == "paragraph count"


def test_script_rule() -> None:
    for language in ("ru", "uk", "ja", "ko", "zh"):
        assert (
            defect(language, body=("Diese Wörter sind aus einer anderen Schrift. " * 3, *"abcd"))
            == "script"
        )
        assert defect(language, synopsis="Betrachter alter Karten") == "script"
    assert defect("de", body=BODIES["ru"]) == "script"
    assert defect("ru", body=BODIES["uk"]) == defect("uk", body=BODIES["ru"]) == "script"
    assert defect("zh", body=BODIES["ja"]) == "script"
    assert defect("ja", body=BODIES["zh"]) == "script"


def test_english_words_rule() -> None:
    de, da = BODIES["de"], BODIES["da"]
    spread = tuple(f"{part} with" for part in de)
    assert defect("de", body=spread) == "english words"
    # One long English paragraph in a long translation is found although its share of the whole is
    # small.
    english = Description(ENGLISH.synopsis, (*ENGLISH.paragraphs, "More of it." * 40))
    assert (
        defect(
            "de",
            body=(
                *de,
                "noch mehr davon " * 30,
            ),
            english=english,
        )
        is None
    )
    mixed = (*de[:4], "the one of the files that is read first", "noch mehr davon " * 30)
    assert defect("de", body=mixed, english=english) == "english words"
    assert defect("da", body=tuple(f"{part} for" for part in da)) is None  # "for" is Danish
