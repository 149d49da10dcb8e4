"""The tables of the derived statistics: shape, prices, winners and losers."""

from decimal import Decimal

import pandas as pd

from hybrid_sweep.report.columns import records
from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.measures import Measure, Measures, measure_of
from hybrid_sweep.report.render.cells import (
    EMPTY,
    Cell,
    change,
    count,
    judged,
    name,
    number,
    only_questions,
    p_value,
    ratio,
)
from hybrid_sweep.report.render.numbers import p_words
from hybrid_sweep.report.render.table import Column, Table, table
from hybrid_sweep.report.results import MACRO, TRAINED, UNSEEN, measures_of
from hybrid_sweep.report.rows import DerivedRow, ResultRow
from hybrid_sweep.report.tables.verdicts import macro_at

_PRICES_NOTE = (
    "Price: points of {} lost for each point gained of the other, or for each point"
    " (each 100 ranks) of language bias less; negative where both gain. On the front: no other"
    " ratio is better in one of the two and at least as good in the other, by the means. In"
    " resamples: the share of bootstrap samples, of seeds and of questions, in which that is so,"
    " which is no test. Dominated: another ratio is better in both at one-sided 5 %, Holm over all"
    " ordered pairs."
)
WINNERS_NOTE = "Change: paired with r = 0; p is adjusted (Holm) over the languages and ratios."
_SHAPE = (
    Column("curve", words=True),
    Column("of", words=True),
    Column("slope per unit of r"),
    Column("95 % interval", words=True),
    Column("Holm"),
    Column("slope", words=True),
    Column("monotone fit", words=True),
    Column("turn", words=True),
)
_ISOTONIC = (
    Column("r", words=True),
    Column("change to r = 0"),
    Column("95 % band, all ratios at once", words=True),
    Column("monotone fit"),
    Column("its 95 % band", words=True),
)
_WINNERS = (
    Column("language", words=True),
    Column("r", words=True),
    Column("change to r = 0"),
    Column("95 % interval", words=True),
    Column("Holm over languages and ratios"),
    Column("what is shown", words=True),
    Column("seeds"),
    Column("questions"),
)
_BOUGHT = (
    Column("change"),
    Column("its value"),
    Column("its change"),
    Column("by the means", words=True),
    Column("in resamples"),
    Column("shown", words=True),
)
_PRICED = (Column("95 % interval", words=True), Column("in words", words=True))
_SCOPES: dict[str, str] = {
    MACRO: "mean",
    TRAINED: "languages trained on",
    UNSEEN: "languages not trained on",
}


def chosen(derived: pd.DataFrame, statistic: str, **values: str) -> list[DerivedRow]:
    """Return the rows of one statistic, by ratio, with given text in some columns."""
    rows = derived[derived["statistic"] == statistic]
    for column, value in values.items():
        rows = rows[rows[column] == value]
    return records(rows.sort_values("ratio", kind="stable"), DerivedRow)


def shape(derived: pd.DataFrame) -> Table:
    """Return a line per curve: slope, fitted direction, and whether it turns back."""
    rows = []
    for slope in chosen(derived, "slope"):
        about = {key: slope[key] for key in ("setting", "measure", "scope")}
        fits = chosen(derived, "isotonic", **about)
        turns = chosen(derived, "reversal", **about)
        tested = bool(turns) and turns[0]["interval"] == "crossed"
        measure = measure_of(slope["setting"], slope["measure"])
        scope = _SCOPES.get(slope["scope"], str(slope["scope"]))
        ends = (slope["low"], slope["high"])
        rows.append(
            [
                Cell(measure.name),
                name(scope),
                *_moved(slope["value"], *ends, measure.digits, slope["interval"]),
                p_value(slope["p_holm"]),
                Cell(slope["word"]),
                Cell(fits[0]["word"] if fits else ""),
                Cell(turns[0]["word"] if tested else "not tested"),
            ]
        )
    return table("Shape of the curves", _SHAPE, rows)


def _moved(value: float, low: float, high: float, digits: int, interval: str) -> tuple[Cell, Cell]:
    """Return a change and its interval; an empty cell where there is none."""
    moved, ends = change(value, low, high, digits, interval)
    return moved, (ends if pd.notna(low) else EMPTY)


def prices_note(measures: Measures) -> str:
    """Return what the columns of `tradeoff` mean."""
    return _PRICES_NOTE.format(measures.mono.name)


def isotonic(derived: pd.DataFrame) -> Table:
    """Return the change of the monolingual mean to r = 0 with the band that holds at all ratios at
    once, and the monotone fit with its own.
    """
    about = {"setting": "monolingual", "scope": MACRO}
    bands = {row["ratio"]: row for row in chosen(derived, "band", **about)}
    rows = []
    for row in chosen(derived, "isotonic", **about):
        if row["ratio"] > 0:
            cells = [ratio(row["ratio"])]
            for one in (bands[row["ratio"]], row):
                cells += change(one["value"], one["low"], one["high"], interval=one["interval"])
            rows.append(cells)
    return table("Monotone fit", _ISOTONIC, rows)


def winners(sweep: Sweep, derived: pd.DataFrame) -> list[Table]:
    """Return a line per language and ratio; languages trained on and never trained on in two
    tables.
    """
    tested = chosen(derived, "language")
    tested.sort(key=lambda row: (row["scope"], row["ratio"]))
    if len({row["scope"] for row in tested}) < 2:
        return []
    seen = [row for row in tested if row["scope"] in sweep.trained_languages]
    rest = [row for row in tested if row["scope"] not in sweep.trained_languages]
    if sweep.trained_languages and seen and rest:
        return [
            table("Languages trained on", _WINNERS, map(_winner, seen)),
            table("Languages never trained on", _WINNERS, map(_winner, rest)),
        ]
    return [table("Winners and losers", _WINNERS, map(_winner, tested))]


def _winner(row: DerivedRow) -> list[Cell]:
    is_shown = row["word"] in ("winner", "loser")
    return [
        name(row["scope"]),
        ratio(row["ratio"]),
        *change(row["value"], row["low"], row["high"], interval=row["interval"]),
        p_value(row["p_holm"]),
        judged(row["word"], strong=is_shown),
        count(row["n_seeds"]),
        count(row["n_questions"]),
    ]


def tradeoff(results: pd.DataFrame, derived: pd.DataFrame) -> dict[Measure, Table]:
    """Return what each ratio costs and buys, a table for each gain: its place on the front, how
    often resamples agree, and the price.
    """
    tables = {}
    measures = measures_of(results)
    mono = macro_at(results, *measures.mono.place)
    for measure in measures.traded:
        other = macro_at(results, *measure.place)
        prices = {row["ratio"]: row for row in chosen(derived, "price", against=measure.key)}
        rows = []
        for front in chosen(derived, "front", against=measure.key):
            share = front["ratio"]
            rows.append(
                [
                    ratio(share),
                    *_level(mono.get(share), measures.mono.digits),
                    *_level(other.get(share), measure.digits),
                    judged(front["by_means"]),
                    _frequency(front),
                    _dominated(front),
                    *_price(prices.get(share), measure),
                ]
            )
        if rows:
            first = (Column("r", words=True), Column(measures.mono.column))
            price = Column(f"price per {measure.unit}")
            columns = (*first, *_BOUGHT, price, *_PRICED)
            tables[measure] = table(f"Against {measure.name}", columns, rows)
    return tables


def _level(row: ResultRow | None, digits: int) -> tuple[Cell, Cell]:
    """Return a mean and its change to r = 0."""
    if row is None:
        return EMPTY, EMPTY
    moved, _ = change(row["delta"], row["delta_low"], row["delta_high"], digits)
    return number(row["mean"], digits), moved


def _frequency(front: DerivedRow) -> Cell:
    if pd.isna(front["value"]):
        return EMPTY
    text = f"{100 * front['value']:.0f} %{only_questions(front['interval'])}"
    return Cell(text, front["value"])


def _dominated(front: DerivedRow) -> Cell:
    """Return whether another ratio is shown to be better in both, and which."""
    if front["word"] != "dominated":
        return Cell(str(front["word"]))
    p = p_words(front["p_holm"])
    return Cell(f"dominated by r = {front['rival']:g} ({p})", strong=True)


def significant(value: float) -> str:
    """Return three significant digits, never with an exponent."""
    return f"{Decimal(f'{value:.3g}'):f}"


def in_words(row: DerivedRow) -> str:
    """Return what a row of prices comes to, no stronger than its interval: "by the means" where
    that holds the other sign too.
    """
    if pd.isna(row["value"]):
        return str(row["word"])
    if row["value"] > 0:
        return "a cost" if row["low"] > 0 else "a cost by the means; none is not excluded"
    return "no cost" if row["high"] <= 0 else "no cost by the means; one is not excluded"


def points_for(measure: Measure, price: float) -> float:
    """Return a price of derived.csv in points of monolingual retrieval for one unit of a
    measure.
    """
    return 100 * measure.per * price


def _price(row: DerivedRow | None, measure: Measure) -> list[Cell]:
    """Return the price of one unit, its interval and what it comes to."""
    if row is None:
        return [EMPTY, EMPTY, EMPTY]
    if pd.isna(row["value"]):
        return [EMPTY, EMPTY, Cell(in_words(row))]
    ends = []
    for side in ("low", "high"):
        if pd.notna(row[side]):
            ends.append(significant(points_for(measure, row[side])))
    interval = f"[{ends[0]}, {ends[1]}]" if len(ends) == 2 else ""
    shown = significant(points_for(measure, row["value"]))
    return [Cell(shown, row["value"]), Cell(interval), Cell(in_words(row))]
