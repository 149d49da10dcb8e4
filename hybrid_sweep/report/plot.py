"""The figures of a report, one by one, as matplotlib figures that a notebook shows.

Each has what the report's own figure of that name has: intervals, margin and marks.
"""

from matplotlib.figure import Figure

from hybrid_sweep.report.figures import bias as figure_bias
from hybrid_sweep.report.figures import bias_maps as figure_bias_maps
from hybrid_sweep.report.figures import curve as figure_curve
from hybrid_sweep.report.figures import front as figure_front
from hybrid_sweep.report.figures import languages as figure_languages
from hybrid_sweep.report.figures import pairs as figure_pairs
from hybrid_sweep.report.figures import shape as figure_shape
from hybrid_sweep.report.report_files import corner_of
from hybrid_sweep.report.sweep_tables import SweepTables
from hybrid_sweep.utils.errors import UserError


def curve(tables: SweepTables) -> Figure:
    """Return the curve: monolingual RR@10 over the ratio, with its intervals and the margin."""
    return figure_curve.draw(tables.sweep, tables.results, _corner(tables))


def languages(tables: SweepTables) -> Figure:
    """Return a panel for each language: monolingual RR@10 over the ratio."""
    return figure_languages.draw(tables.sweep, tables.results, _corner(tables))


def pairs(tables: SweepTables) -> Figure:
    """Return the matrices of language pairs at several ratios, and their changes."""
    return figure_pairs.draw(tables.sweep, tables.results, _corner(tables))


def bias(tables: SweepTables) -> Figure:
    """Return the measures of language bias over the ratio."""
    return figure_bias.draw(tables.sweep, tables.results, _corner(tables))


def bias_maps(tables: SweepTables) -> Figure:
    """Return which language's passages come first for queries of each language.

    Raises:
        UserError: where no run has recorded it.
    """
    figure = figure_bias_maps.draw(tables.sweep, tables.results, _corner(tables))
    if figure is None:
        raise UserError(
            f"sweep {tables.name}: no run has recorded its language bias", key="plot.no_bias"
        )
    return figure


def front(tables: SweepTables) -> Figure:
    """Return the trade: what monolingual retrieval costs against what the ratio buys."""
    return figure_front.draw(tables.sweep, tables.results, tables.derived, _corner(tables))


def shape(tables: SweepTables) -> Figure:
    """Return the change to r = 0 with the closest monotone curve and its band."""
    return figure_shape.draw(tables.sweep, tables.results, tables.derived, _corner(tables))


def _corner(tables: SweepTables) -> str:
    return corner_of(tables.sweep, tables.results)
