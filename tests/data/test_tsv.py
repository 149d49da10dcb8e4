"""Lines that cannot be used are refused with file, line and reason; everything else is text."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybrid_sweep.data.tsv import rows, whole
from hybrid_sweep.errors import UserError


@pytest.mark.parametrize(
    "content, line, reason",
    [
        (b"1\ta\n2\n", 2, "has 1 columns, not 2"),
        (b"1\ta\n2\tb\tc\n", 2, "has 3 columns, not 2"),
        (b"1\ta\n\n2\tb\n", 2, "has 1 columns, not 2"),
        (b"1\ta\n2\tb\xff\n", 2, "byte 4 is not UTF-8"),
        (b"1\t\xed\xa0\x80\n", 1, "byte 3 is not UTF-8"),  # half of a surrogate pair
        (b"1\ta\n2\tb\r\n", 2, "CR LF"),
        (b"1\ta\n2\tb\r", 2, "CR LF"),
        (b"\xef\xbb\xbf1\ta\n", 1, "byte order mark"),
    ],
)
def test_a_bad_line_is_named(tmp_path, content, line, reason):
    path = tmp_path / "file.tsv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=re.escape(f"{path}, line {line}: ")) as found:
        list(rows(path, 2))
    assert reason in str(found.value) and "\n" not in str(found.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=re.escape(f"{tmp_path / 'x.tsv'}: no such file")):
        list(rows(tmp_path / "x.tsv", 2))


FIELD = st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=["Cs"]))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=st.lists(st.tuples(st.just("1"), FIELD, FIELD)), end=st.booleans())
def test_all_other_characters_are_text(tmp_path, table, end):
    """Quotes, U+2028, form feeds and null characters neither end a line nor a field; the last line feed may lack."""
    path = tmp_path / "file.tsv"
    content = "".join("\t".join(fields) + "\n" for fields in table)
    path.write_bytes((content if end else content.removesuffix("\n")).encode())
    assert list(rows(path, 3)) == [(line, list(fields)) for line, fields in enumerate(table, 1)]


def test_quotes_are_ordinary(tmp_path):
    path = tmp_path / "file.tsv"
    path.write_bytes('1\t"open\n2\t"a"b"\n3\tx\u2028y\x0b\x85\n'.encode())
    assert [fields for _, fields in rows(path, 2)] == [["1", '"open'], ["2", '"a"b"'], ["3", "x\u2028y\x0b\x85"]]


@pytest.mark.parametrize("word", ["", "-1", "+1", "1.0", "01", "1_0", " 1", "\u0663", "\u00b2", "1" * 19, "x"])
def test_numbers_have_one_spelling(tmp_path, word):
    with pytest.raises(UserError, match=r"file, line 7: the query id .* is not a whole number"):
        whole(tmp_path / "file", 7, "query id", word)


def test_numbers_are_read(tmp_path):
    assert [whole(tmp_path, 1, "id", word) for word in ("0", "7", "8841822")] == [0, 7, 8841822]
