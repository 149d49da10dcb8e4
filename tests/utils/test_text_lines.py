"""The one policy for bad lines: strict refuses the first, skip leaves out, counts and lists."""

import gzip
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybrid_sweep.data import column_lines
from hybrid_sweep.data.datasets import lareqa
from hybrid_sweep.utils import text_lines
from hybrid_sweep.utils.text_lines import LISTED, BadLine, Problems, numbered
from tests.data.datasets import test_lareqa, test_msmarco
from tests.refused import refused

CONTENT = b"one\ntwo\r\nthr\xffee\nfour\x00\n"


def test_strict_refuses_the_first_bad_line(tmp_path):
    (tmp_path / "x").write_bytes(CONTENT)
    with refused("line.carriage_return", f"{tmp_path / 'x'}, line 2: ", kind=BadLine):
        list(numbered(tmp_path / "x"))


def test_skip_leaves_out_counts_and_lists(tmp_path):
    (tmp_path / "x").write_bytes(b"\xef\xbb\xbfzero\n" + CONTENT)
    said = []
    problems = Problems("skip", said.append)
    assert list(numbered(tmp_path / "x", problems)) == [(2, "one"), (5, "four\x00")]
    found = problems.info()["skipped"]
    assert found["count"] == 3 and [each["line"] for each in found["first"]] == [1, 3, 4]
    assert found["first"][2] == {
        "file": str(tmp_path / "x"),
        "line": 4,
        "reason": "byte 4 is not UTF-8",
    }
    assert said == [
        f"3 lines left out, the first: {tmp_path / 'x'}, line 1: {found['first'][0]['reason']}"
    ]


def test_nothing_is_said_where_all_lines_are_used(tmp_path):
    assert Problems("skip", pytest.fail).info() == {}


def test_the_list_is_bounded_and_the_count_is_not(tmp_path):
    problems = Problems("skip")
    for line in range(1, 1001):
        problems.add(tmp_path, line, "bad", key="line.test")
    found = problems.info()["skipped"]
    assert found["count"] == 1000 and [each["line"] for each in found["first"]] == list(
        range(1, LISTED + 1)
    )


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    lines=st.lists(
        st.text(st.characters(exclude_characters="\n\r\ufeff", exclude_categories=["Cs"]))
    ),
    end=st.booleans(),
    packed=st.booleans(),
)
def test_only_line_feeds_end_lines_plain_or_packed(tmp_path, lines, end, packed):
    content = "".join(line + "\n" for line in lines)
    raw = (content if end else content.removesuffix("\n")).encode()
    (tmp_path / "x").write_bytes(gzip.compress(raw) if packed else raw)
    expected = list(enumerate(lines, 1))
    if lines and not lines[-1] and not end:
        expected.pop()  # what follows the last line feed is a line only where it is not empty
    assert list(numbered(tmp_path / "x", blank=True)) == expected
    problems = Problems("skip")
    assert list(numbered(tmp_path / "x", problems)) == [line for line in expected if line[1]]
    assert problems.count == sum(not line for _, line in expected)


@pytest.mark.parametrize("policy", ["strict", "skip"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[:-20],
        lambda raw: raw[:40] + b"\x00\x00" + raw[42:],
        lambda raw: raw[:-6] + b"123456",
    ],
)
def test_damaged_gzip_is_an_error_whatever_the_policy(tmp_path, damage, policy):
    raw = gzip.compress("".join(f"{n * n}\n" for n in range(1000)).encode())
    (tmp_path / "x.gz").write_bytes(damage(raw))
    with refused("data.gzip_damaged", "x.gz", "line "):
        list(numbered(tmp_path / "x.gz", Problems(policy)))


@pytest.mark.parametrize("what", ["missing", "folder"])
def test_what_is_no_file_is_an_error(tmp_path, what):
    (tmp_path / "folder").mkdir()
    with refused("data.file_missing", tmp_path / what):
        list(numbered(tmp_path / what, Problems("skip")))


@pytest.mark.parametrize("case", test_msmarco.REFUSED)
def test_ms_marco_leaves_out_what_it_would_refuse(tmp_path, case):
    name, more, line, _, *facts = test_msmarco.REFUSED[case]
    root = test_msmarco.hub(tmp_path)
    whole = test_msmarco.read(root, "en", "nl").fingerprint
    with open(root / "data" / name, "ab") as file:
        file.write(more.encode())
    built = test_msmarco.read(root, "en", "nl", on_error="skip")
    found = built.info["skipped"]
    assert built.fingerprint == whole and found["count"] == 1
    first = found["first"][0]
    assert first["line"] == line and all(fact in first["reason"] for fact in facts)


def test_lines_left_out_take_their_judgements_along(tmp_path):
    """The first of two passages of one number stays; a question without text goes, and what judges
    it.
    """
    root = test_msmarco.hub(tmp_path, ("en",))
    small = root / "data/google/queries/dev/english_queries.dev.small.tsv"
    small.write_text(small.read_text().replace('query "5 in en', " "))
    path = root / "data/google/collections/english_collection.tsv"
    path.write_text("7\tfirst\n" + path.read_text())
    built = test_msmarco.read(root, "en", on_error="skip")
    assert (
        "5@en" not in built.queries["id"].to_pylist()
        and "5" not in built.qrels["query_group"].to_pylist()
    )
    texts = dict(
        zip(built.passages["id"].to_pylist(), built.passages["text"].to_pylist(), strict=True)
    )
    assert texts["7@en"] == "first" and built.info["skipped"]["count"] == 3


def test_lareqa_leaves_out_a_sentence_a_question_and_a_paragraph(tmp_path):
    whole = [
        *test_lareqa.EN,
        test_lareqa.paragraph(
            "A. B.", [[0, 2], [3, 9]], test_lareqa.question("q7", 0), test_lareqa.question("q1", 0)
        ),
        {"context": 7},
    ]
    folder = test_lareqa.write(tmp_path / "x", en=whole)
    with refused("line.span_outside", "en.json: data[2].paragraphs[0].sentence_breaks[1]: 3 to 9"):
        lareqa.build(folder, "xquad_r")
    problems = Problems("skip")
    built = lareqa.build(folder, "xquad_r", problems=problems)
    places = [
        (each["line"], each["reason"].partition(";")[0]) for each in built.info["skipped"]["first"]
    ]
    assert places == [
        (
            "data[2].paragraphs[0].sentence_breaks[1]",
            "3 to 9 is not within the 5 characters of the paragraph",
        ),
        ("data[2].paragraphs[0].qas[1]", "the question id 'q1' occurs twice in this file"),
        ("data[3].paragraphs[0]", "context is missing or not a text"),
    ]
    assert (
        built.queries["group"].to_pylist() == ["q1", "q2", "q3", "q7"]
        and "en_2_0" in built.passages["id"].to_pylist()
    )


def _bomb(path: Path, size: int) -> Path:
    """A packed file of a few kilobytes whose only line has `size` bytes."""
    with gzip.open(path, "wb") as file:
        for _ in range(size // 2**20):
            file.write(bytes(2**20))
    return path


@pytest.mark.parametrize("policy", ["strict", "skip"])
def test_a_packed_line_that_would_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    monkeypatch.setattr(text_lines, "LONGEST", 2**20)
    path = _bomb(tmp_path / "bomb.gz", 2**23)
    tracemalloc.start()
    try:
        with refused("line.too_long", "line 1: "):
            list(text_lines.numbered(path, Problems(policy)))
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_a_packed_line_of_negatives_is_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(column_lines, "LONGEST", 2**20)
    monkeypatch.setattr(column_lines, "BLOCK", 2**18)
    with refused("line.too_long"):
        list(
            column_lines.blocks(_bomb(tmp_path / "bomb.gz", 2**23), 3, "data.negatives", tabs=True)
        )
