"""Tables and paragraphs fit the terminal, and lose nothing by it."""

import random

import pytest

from hybrid_sweep.utils import terminal_lines

ROWS = [("state", "point", "run id", "why", "overrides"), ("done", "r 0", "ab", "", "a=1 b=2")]


@pytest.fixture
def terminal(monkeypatch):
    def of(columns):
        monkeypatch.setattr("sys.stdout.isatty", lambda: columns is not None, raising=False)
        monkeypatch.setenv("COLUMNS", str(columns))

    return of


def random_rows(rng, columns, count, longest):
    alphabet = "abcdefgh=.1"
    rows = []
    for _ in range(count):
        sizes = [rng.randint(0, longest) for _ in range(columns)]
        rows.append(tuple("".join(rng.choices(alphabet, k=size)) for size in sizes))
    return [tuple(f"c{place}" for place in range(columns)), *rows]


def test_the_width_is_that_of_a_terminal_alone(terminal):
    terminal(80)
    assert terminal_lines.width() == 80
    terminal(5)
    assert terminal_lines.width() == terminal_lines.NARROWEST
    terminal(None)
    assert terminal_lines.width() is None


@pytest.mark.parametrize("stream", [None, "closed"])
def test_without_a_stream_there_is_no_width(monkeypatch, tmp_path, stream):
    if stream == "closed":
        stream = open(tmp_path / "closed", "w")
        stream.close()
    monkeypatch.setattr("sys.stdout", stream)
    assert terminal_lines.width() is None


def test_columns_stay_aligned_beside_wide_and_combining_signs():
    rows = [("name", "b"), ("\u4e2d\u6587\u4e2d", "1"), ("e\u0301", "22")]
    assert terminal_lines.folded(rows, None) == [
        "name    b",
        "\u4e2d\u6587\u4e2d  1",  # six columns
        "e\u0301       22",
    ]
    assert terminal_lines.in_blocks(rows, [True, False], None) == [
        "name     b",
        "----------",
        "\u4e2d\u6587\u4e2d   1",
        "e\u0301       22",
    ]
    assert len(terminal_lines.folded([("a", "b"), ("\u4e2d" * 10, "1")], 20)) == 3


def test_without_a_width_each_row_is_a_line():
    assert terminal_lines.folded(ROWS, None) == [
        "state  point  run id  why  overrides",
        "done   r 0    ab           a=1 b=2",
    ]
    blocks = terminal_lines.in_blocks(ROWS, [True] * 5, None)
    assert blocks[2] == "done   r 0    ab           a=1 b=2"
    assert len(blocks) == 3


def test_what_does_not_fit_stands_below_its_row():
    assert terminal_lines.folded(ROWS, 24) == [
        "state  point  run id",
        "done   r 0    ab",
        "    overrides: a=1 b=2",
    ]


def test_what_does_not_fit_follows_with_the_first_column_again():
    rows = [("r", "seeds", "change"), ("0.5", "3", "+0.01")]
    assert terminal_lines.in_blocks(rows, [True, False, False], 11) == [
        "r    seeds",
        "----------",
        "0.5      3",
        "",
        "r    change",
        "-----------",
        "0.5   +0.01",
    ]


@pytest.mark.parametrize("seed", range(20))
def test_no_line_is_wider_and_no_cell_is_lost(seed):
    rng = random.Random(seed)
    rows = random_rows(rng, rng.randint(1, 9), rng.randint(1, 12), 18)
    widest = rng.randint(40, 100)
    folded = terminal_lines.folded(rows, widest)
    blocks = terminal_lines.in_blocks(rows, [True] * len(rows[0]), widest)
    for lines in (folded, blocks):
        assert max(map(len, lines)) <= widest
        words = " ".join(lines).replace(";", " ").split()
        assert all(cell in words for row in rows[1:] for cell in row if cell)


def test_a_paragraph_is_no_wider_than_the_terminal(terminal):
    text = "word " * 100
    terminal(60)
    assert max(map(len, terminal_lines.paragraph(text, "  ", "    "))) <= 60
    terminal(300)
    assert max(map(len, terminal_lines.paragraph(text))) <= terminal_lines.PARAGRAPH
