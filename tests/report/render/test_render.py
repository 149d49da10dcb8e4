"""One table in four forms: the same numbers, the same columns, and nothing that acts."""

import re
from html.parser import HTMLParser

import pytest

from hybrid_sweep.report.measures import MEASURES, RANK_DISTANCE, SHOWN, TRADED, measure_of
from hybrid_sweep.report.render import cells
from hybrid_sweep.report.render.cells import EMPTY, Cell, change, code, judged, number, p_value
from hybrid_sweep.report.render.console import console
from hybrid_sweep.report.render.html import blocks
from hybrid_sweep.report.render.html import table as html
from hybrid_sweep.report.render.latex import Paper, latex
from hybrid_sweep.report.render.markdown import document, grid
from hybrid_sweep.report.render.numbers import signed
from hybrid_sweep.report.render.table import EVERYWHERE, PAGE, PAPER, Column, Group, Table

COLUMNS = (
    Column("r", "$r$", EVERYWHERE, words=True),
    Column("rank dist.", "Dist.", EVERYWHERE),
    Column("English", "English", EVERYWHERE),
    Column("relative", "rel", PAGE),
    Column("difference", r"$\Delta$", PAPER),
)


def made(name: str = "") -> Table:
    moved, _ = change(-1234.56, -1300, -1200, 1)
    rows = (
        (Cell("0"), number(1263.94, 1), EMPTY, Cell("+1 %", 0.01), EMPTY),
        (Cell("1"), number(41.1, 1, star=True), EMPTY, EMPTY, moved),
    )
    group = Group(rows, code(name) if name else None)
    return Table("By ratio", COLUMNS, (group,), "sweep" if name else "")


class Cells(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.shown: list[str] = []
        self.values: list[str | None] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag in ("td", "th"):
            self.shown.append("")
            self.values.append(dict(attrs).get("data-value"))

    def handle_data(self, data: str) -> None:
        if self.shown:
            self.shown[-1] += data


def test_a_number_reads_alike_in_every_form() -> None:
    table = made()
    assert "1,263.9" in console(table)[2]
    assert "| 1,263.9 |" in grid(table)[2]
    page = Cells(html(table))
    assert page.values[page.shown.index("1,263.9")] == "1263.94"
    paper = latex(table, Paper("", "x"))
    assert "$1{,}263.9$" in paper and "$41.1^{*}$" in paper


def test_a_column_that_nothing_fills_is_left_out_everywhere() -> None:
    table = made()
    assert "English" not in "\n".join([*console(table), *grid(table), html(table)])
    assert "English" not in latex(table, Paper("", "x"))


def test_a_column_is_shown_in_its_places_alone() -> None:
    table = made()
    assert "relative" in html(table) and "relative" not in "\n".join(grid(table) + console(table))
    assert "difference" not in html(table) + "\n".join(grid(table))
    head = latex(table, Paper("", "x")).split("\\toprule\n")[1].splitlines()[0]
    assert head == r"$r$ & Dist. & $\Delta$ \\"


def test_a_change_has_its_interval_with_it_in_a_paper() -> None:
    shown, interval = change(-1234.56, -1300, -1200, 1, "conditional")
    assert (shown.text, interval.text) == ("-1,234.6", "[-1,300.0, -1,200.0] questions only")
    assert shown.latex == r"$-1{,}234.6\,[-1{,}300.0, -1{,}200.0]^{\dagger}$"
    nan = float("nan")
    assert change(0.1, nan, nan)[1].text == "none" and change(nan, nan, nan)[0].text == ""


@pytest.mark.parametrize(("value", "text"), [(-0.0001, "+0.000"), (-0.0006, "-0.001")])
def test_no_negative_zero(value: float, text: str) -> None:
    assert signed(value) == text


def test_groups_have_their_name_in_front_or_above() -> None:
    table = made("a|b")
    assert [line.split()[0] for line in console(table)] == ["sweep", "-" * 20, "a|b", "a|b"]
    assert grid(table)[2].startswith(r"| `a\|b` | 0 |")
    paper = latex(table, Paper("", "a b"))
    assert r"\multicolumn{3}{l}{a\textbar{}b} \\" in paper and "{tab:a-b}" in paper


@pytest.mark.parametrize("text", ["<b>x</b>", "a|b", "*x*", "`x`", "\x1b[31m", "$x$ & \\y"])
def test_names_do_not_act(text: str) -> None:
    column = Column(text, shown=EVERYWHERE, latex="x", code=True)
    rows = ((code(text), cells.name(text)),)
    table = Table("t", (column, Column("b", "b", EVERYWHERE)), (Group(rows),))
    assert "\x1b" not in "\n".join(console(table) + grid(table)) + html(table)
    assert Cells(html(table)).tags.isdisjoint({"b", "strong"})
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 3 for line in grid(table))
    line = latex(table, Paper("", "x")).split("\\midrule\n")[1].splitlines()[0]
    assert len(re.findall(r"(?<!\\)&", line)) == 1 and not re.findall(r"(?<!\\)\$", line)


def test_words_of_a_judgement_have_a_sign_and_a_letter() -> None:
    cell = judged("degraded")
    assert (cell.sign, cell.text, cell.latex) == ("▼", "degraded", "D")
    assert "<td>▼ degraded</td>" in html(Table("t", (Column("verdict"),), (Group(((cell,),)),)))
    assert p_value(0.0004).text == "p < 0.001" and p_value(None) is EMPTY


def test_a_section_without_a_line_is_left_out() -> None:
    empty = Table("t", COLUMNS, (Group(()),))
    assert document([("# a", ["b"]), ("# c", [empty]), ("# d", [])]) == "# a\n\nb\n"
    assert console(empty) == grid(empty) == [] and blocks([empty]) == ""


def test_lists_tables_and_paragraphs_of_a_page() -> None:
    text = blocks(["- a `<b>`", "- **b**", "", made(), "", "![image](x.png)", "end"])
    assert text.startswith("<ul><li>a <code>&lt;b&gt;</code></li><li><strong>b</strong></li></ul>")
    assert text.endswith("<p>end</p>") and "image" not in text and text.count("<table") == 1


def test_every_measure_can_be_looked_up() -> None:
    for measure in MEASURES:
        assert measure_of(*measure.place) is measure
    assert len(TRADED) == 3
    assert len({measure.column for measure in MEASURES}) == len(MEASURES)
    assert len(SHOWN) == 5 and RANK_DISTANCE.unit_gained == (
        "each 100 ranks taken off the rank distance"
    )


def test_a_column_that_is_always_shown_has_dashes_for_what_a_name_lacks() -> None:
    column = Column("first", code=True, always=True)
    table = Table("t", (Column("setting"), column), (Group(((code("a"), code("")),)),))
    assert grid(table) == ["| setting | `first` |", "| --- | --- |", "| `a` | – |"]
    assert "<td>–</td>" in html(table)


def test_a_table_on_a_terminal_is_no_wider_than_it(monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    columns = [Column(f"a column {place}") for place in range(12)]
    lines = console(
        Table("T", tuple(columns), (Group(([Cell(f"cell {place}") for place in range(12)],)),))
    )
    assert max(map(len, lines)) <= 80
    assert all(f"cell {place}" in "\n".join(lines) for place in range(12))
    assert "\n".join(lines).count("a column 0") > 1
