"""A table: columns that know where they are shown, and rows of cells in groups."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from hybrid_sweep.report.render.cells import Cell

Place = Literal["console", "markdown", "html", "latex"]
# Where a column is shown.
TEXTS: frozenset[Place] = frozenset({"console", "markdown", "html"})
EVERYWHERE: frozenset[Place] = TEXTS | {"latex"}
PAGE: frozenset[Place] = frozenset({"html"})
PAPER: frozenset[Place] = frozenset({"latex"})
Row = Sequence[Cell]


@dataclass(frozen=True)
class Column:
    """title: its head; latex: the head in a paper, ready to be set. words: holds words, which are
    aligned to the left, and not numbers. user, code: of the title, as of a cell. always: shown
    also where no row fills it.
    """

    title: str
    latex: str = ""
    shown: frozenset[Place] = TEXTS
    words: bool = False
    user: bool = False
    code: bool = False
    always: bool = False


@dataclass(frozen=True)
class Group:
    """Rows that belong together; name: of the group, a first cell for each of its rows."""

    rows: tuple[Row, ...]
    name: Cell | None = None


@dataclass(frozen=True)
class Table:
    """name: for those who do not see it. Every row has a cell for each column."""

    name: str
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    group_title: str = ""

    @property
    def rows(self) -> list[Row]:
        """Return the rows of all groups."""
        return [row for group in self.groups for row in group.rows]

    def at(self, place: Place) -> "Table":
        """Return the table as it is shown there: without the columns that have another place or
        that no row fills.
        """
        keep = []
        for index, column in enumerate(self.columns):
            is_filled = column.always or any(row[index].text for row in self.rows)
            if place in column.shown and is_filled:
                keep.append(index)
        return self._kept(keep)

    def flat(self) -> "Table":
        """Return the table with the names of its groups in a first column."""
        if not self.group_title:
            return self
        first = Column(self.group_title, words=True)
        rows = []
        for group in self.groups:
            rows += [[group.name or Cell(), *row] for row in group.rows]
        return replace(
            self,
            columns=(first, *self.columns),
            groups=(Group(tuple(rows)),),
            group_title="",
        )

    def chosen(self, titles: Iterable[str]) -> "Table":
        """Return the table with these columns alone, by their titles, in this order."""
        places = {column.title: index for index, column in enumerate(self.columns)}
        return self._kept([places[title] for title in titles])

    def _kept(self, places: Sequence[int]) -> "Table":
        """Return the table with the columns in these places, in this order."""
        groups = []
        for group in self.groups:
            rows = tuple([row[place] for place in places] for row in group.rows)
            groups.append(replace(group, rows=rows))
        columns = tuple(self.columns[place] for place in places)
        return replace(self, columns=columns, groups=tuple(groups))


def table(name: str, columns: Iterable[Column], rows: Iterable[Row]) -> Table:
    """Return a table of one group."""
    return Table(name, tuple(columns), (Group(tuple(rows)),))
