"""Lines that cannot be used are refused with file, line and reason; everything else is text."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybrid_sweep.data.tsv import rows, whole
from tests.refused import refused


@pytest.mark.parametrize(
    "content, line, key, fact",
    [
        (b"1\ta\n2\n", 2, "line.columns", "1 columns, not 2"),
        (b"1\ta\n2\tb\tc\n", 2, "line.columns", "3 columns, not 2"),
        (b"1\ta\n\n2\tb\n", 2, "line.empty", "is empty"),
        (b"1\ta\n2\tb\xff\n", 2, "line.encoding", "byte 4"),
        (b"1\t\xed\xa0\x80\n", 1, "line.encoding", "byte 3"),  # half of a surrogate pair
        (b"1\ta\n2\tb\r\n", 2, "line.carriage_return", ""),
        (b"1\ta\n2\tb\r", 2, "line.carriage_return", ""),
        (b"\xef\xbb\xbf1\ta\n", 1, "line.byte_order_mark", ""),
    ],
)
def test_a_bad_line_is_named(tmp_path, content, line, key, fact):
    path = tmp_path / "file.tsv"
    path.write_bytes(content)
    with refused(key, f"{path}, line {line}: ", fact) as refusal:
        list(rows(path, 2))
    assert "\n" not in refusal.message


def test_a_missing_file_is_named(tmp_path):
    with refused("data.file_missing", tmp_path / "x.tsv"):
        list(rows(tmp_path / "x.tsv", 2))


FIELD = st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=["Cs"]))


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(table=st.lists(st.tuples(st.just("1"), FIELD, FIELD)), end=st.booleans())
def test_all_other_characters_are_text(tmp_path, table, end):
    """Quotes, U+2028, form feeds and null characters neither end a line nor a field; the last line
    feed may lack.
    """
    path = tmp_path / "file.tsv"
    content = "".join("\t".join(fields) + "\n" for fields in table)
    path.write_bytes((content if end else content.removesuffix("\n")).encode())
    assert list(rows(path, 3)) == [(line, list(fields)) for line, fields in enumerate(table, 1)]


def test_quotes_are_ordinary(tmp_path):
    path = tmp_path / "file.tsv"
    path.write_bytes('1\t"open\n2\t"a"b"\n3\tx\u2028y\x0b\x85\n'.encode())
    assert [fields for _, fields in rows(path, 2)] == [
        ["1", '"open'],
        ["2", '"a"b"'],
        ["3", "x\u2028y\x0b\x85"],
    ]


@pytest.mark.parametrize(
    "word", ["", "-1", "+1", "1.0", "01", "1_0", " 1", "\u0663", "\u00b2", "1" * 19, "x"]
)
def test_numbers_have_one_spelling(tmp_path, word):
    with refused("line.whole_number", "file, line 7: ", "query id"):
        whole(tmp_path / "file", 7, "query id", word)


def test_numbers_are_read(tmp_path):
    assert [whole(tmp_path, 1, "id", word) for word in ("0", "7", "8841822")] == [0, 7, 8841822]
