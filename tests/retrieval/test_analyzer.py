"""What counts as a word: scripts with and without spaces, marks, widths, cases, and the stems of a
language.
"""

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_sweep.retrieval import analyzer as module
from hybrid_sweep.retrieval.analyzer import ALGORITHMS, stems, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World's covid19!", ["hello", "world", "s", "covid19"]),
        ("STRASSE Straße ΣΊΣΥΦΟΣ", ["strasse", "strasse", "σίσυφοσ"]),
        ("ﬁne ＡＢＣ", ["fine", "abc"]),
        ("\u0390 \u01f0", ["\u0390", "\u01f0"]),  # folding takes them apart
        ("cafe\u0301 café", ["café", "café"]),
        ("हिन्दी में", ["हिन्दी", "में"]),  # vowel signs are marks, and belong to the word
        ("co\u00adop می\u200cخواهم", ["coop", "میخواهم"]),
        ("東京タワー", ["東京", "京タ", "タワ", "ワー"]),
        ("中", ["中"]),
        ("iPhone手机3代", ["iphone", "手机", "3", "代"]),
        ("ไทย ๑๒๓", ["ไท", "ทย", "๑๒๓"]),
        ("ພາສາ", ["ພາ", "າສ", "ສາ"]),
        ("한국어 문장", ["한국어", "문장"]),  # Korean has spaces
        ("", []),
        ("… 、。!", []),
    ],
)
def test_words_of_texts(text, expected):
    assert words(text) == expected


@given(st.text(max_size=40))
def test_words_hold_letters_digits_and_marks_alone_and_spelling_does_not_matter(text):
    found = words(text)
    assert all(
        word and all(unicodedata.category(sign)[0] in "LNM" for sign in word) for word in found
    )
    assert words(unicodedata.normalize("NFD", text)) == found == words(f" {text}. ")


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=40))
def test_plain_text_takes_a_short_cut_that_changes_nothing(text):
    assert words(text) == [word for word in words(text + " é") if word != "é"]


def test_stems_by_language_code():
    assert stems("en")(["running", "runs"]) == ["run", "run"]
    assert stems("pt_BR")(["correndo"]) == stems("pt")(["correndo"]) != ["correndo"]
    assert (
        stems("zh")(["running"])
        == stems("xa")(["running"])
        == stems("ja")(["running"])
        == ["running"]
    )


def test_every_algorithm_named_exists_in_the_pinned_version():
    import Stemmer

    assert set(ALGORITHMS.values()) <= set(Stemmer.algorithms())


def test_words_need_no_torch():
    code = (
        "import sys, hybrid_sweep.retrieval.bm25; print(sorted({'torch', 'pandas', 'transformers'} &"
        " set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
        == "[]"
    )


def test_the_fingerprint_names_every_version_that_makes_a_score(monkeypatch):
    found = []
    for packages, unicode, ours in (
        ("11", "1", 1),
        ("21", "1", 1),
        ("12", "1", 1),
        ("11", "2", 1),
        ("11", "1", 2),
    ):
        versions = dict(zip(("bm25s", "PyStemmer"), packages, strict=True))
        monkeypatch.setattr(module.importlib.metadata, "version", versions.__getitem__)
        monkeypatch.setattr(module.unicodedata, "unidata_version", unicode)
        monkeypatch.setattr(module, "VERSION", ours)
        found.append(module.fingerprint())
    assert len(set(found)) == 5
