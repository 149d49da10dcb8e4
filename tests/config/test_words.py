"""Words of a command: text stays text, folders are folders, and what is printed can be pasted back."""

import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_sweep.config import words
from hybrid_sweep.config.compose import points

POINT = ["data=synthetic", "batch.cross_lingual_ratio=0"]
# What hidden characters and interpolations become is refused elsewhere.
TEXTS = st.text(
    st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp"), exclude_characters="$"),
    min_size=1,
    max_size=20,
)


def config(*more):
    [(_, made)] = points([*POINT, *more], multirun=False)
    return made


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_an_assignment_comes_back_through_a_shell_and_hydra_as_it_was(text):
    [word] = shlex.split(words.assignment("model.query_prompt", text))
    assert words.keys([word]) == {"model.query_prompt": text}


@pytest.mark.parametrize(
    "text",
    ["ex ü", "a=b", "it's", 'say "x"', "a,b", "[x]", "1e3", "null", "back\\", "\\'", " x ", "a:b"],
)
def test_an_assignment_is_composed_as_it_was(text):
    [word] = shlex.split(words.assignment("model.query_prompt", text))
    assert config(word).model.query_prompt == text


@pytest.mark.parametrize(
    "text",
    [
        "2024_01_15",
        "1e3",
        "007",
        "1.50",
        "true",
        "Off",
        "no",
        "0x1f",
        "nan",
        "-1",
        ".5",
    ],
)
def test_text_stays_as_it_was_typed(text):
    for value in (text, f"'{text}'"):
        for sign in ("", "++"):
            assert config(f"{sign}logger.project={value}").logger.project == text
    assert config(f"model.query_prompt={text}").model.query_prompt == text
    jobs = points([*POINT, f"logger.project={text},b"], multirun=True)
    assert [made.logger.project for _, made in jobs] == [text, "b"]
    once = words.as_typed([f"sweep.name={text}"])
    assert words.as_typed(once) == once


@pytest.mark.parametrize("text", ["~/x", "a=b", "ex ü", "50%;"])
def test_text_that_hydra_cannot_read_needs_no_quotes(text):
    assert config(f"logger.project={text}").logger.project == text
    torn = [f"model.query_prompt='{text}"]
    assert words.as_typed(torn) == torn


def test_numbers_truth_values_null_and_lists_are_no_text():
    made = config("batch.size=1_6", "trainer.lr=1e-3", "sweep.bm25=false", "paths.cache=null")
    assert (made.batch.size, made.trainer.lr, made.sweep.bm25) == (16, 1e-3, False)
    assert made.paths.cache is None
    same = ["seed=1", "data.languages=[xa,1]", "sweep.name=range(1,3)", "x=1", "sweep.name=[", "="]
    assert words.as_typed(same) == same
    assert words.as_typed(["eval.also.x.path=1e3"]) == ["eval.also.x.path='1e3'"]


def test_a_word_is_a_place_where_there_is_one_and_an_override_by_its_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lr=1e-3").mkdir()
    (tmp_path / "data.path=x").mkdir()
    for place in ("lr=1e-3", "data.path=x", "neg=1.tsv", "plain", str(tmp_path / "lr=1e-3")):
        assert not words.is_override(place)
    for override in ("data.size=3", "++model.path=x", "modle.path=x", "+data@more.a=x", "seed=1"):
        assert words.is_override(override)


def test_keys_are_those_of_the_words_however_they_are_written():
    typed = ["++model.path='a b'", "+experiment=x", "model=tiny", "~data", "seed=1,2", "="]
    assert words.keys([*typed, "+data@eval.also.x=synthetic"]).keys() >= {"model.path", "model"}
    assert "data" not in words.keys(["+data@eval.also.x=synthetic", "~data"])
    assert words.keys(["model.path=a", "++model.path=b"]) == {"model.path": "b"}
    kept = ["trainer=gpu", "++batch.size=3", "+seed=1", "batch=hybrid", "model.path=x"]
    assert words.without(kept, "batch.", "seed", "trainer*") == ["batch=hybrid", "model.path=x"]
