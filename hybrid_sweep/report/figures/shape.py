"""The shape of the curve: changes of monolingual RR@10 to r = 0, the isotonic fit with its band,
and the straight line.

The changes and their intervals are rows of the results, the fit and the slope of the derived
statistics.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hybrid_sweep.report.columns import records
from hybrid_sweep.report.figures.curve import CROSS, GONE, VERDICTS, mark_missing, planned
from hybrid_sweep.report.figures.style import BLUE, GREY, NARROW, ORANGE, sheet, styled
from hybrid_sweep.report.load import BASELINES, Sweep
from hybrid_sweep.report.render.numbers import between, p_words, signed
from hybrid_sweep.report.results import MACRO, MONO, pick
from hybrid_sweep.report.rows import DerivedRow


def changes(sweep: Sweep, results: pd.DataFrame) -> pd.DataFrame:
    """Return one row per planned ratio: `delta` with its 90 % interval `low`, `high`, `verdict`,
    and whether it is `finished`.

    0 at r = 0; NaN where there is no finished point or none to compare it with.
    """
    rows = pick(results, *MONO).set_index("ratio").reindex(planned(sweep))
    found = pd.DataFrame(
        {
            "delta": rows["delta"],
            "low": rows["delta_low_90"],
            "high": rows["delta_high_90"],
            "verdict": rows["verdict"],
        }
    )
    found["finished"] = rows["mean"].notna()
    if 0.0 in found.index and found["finished"][0.0]:
        found.loc[0.0, ["delta", "low", "high"]] = 0.0
    return found.rename_axis("ratio").reset_index()


def _curve(derived: pd.DataFrame, statistic: str) -> pd.DataFrame:
    chosen = (
        (derived["statistic"] == statistic)
        & (derived["setting"] == MONO[0])
        & (derived["measure"] == MONO[1])
    )
    return derived[chosen & (derived["scope"] == MACRO)].sort_values("ratio", kind="stable")


def line(drawn: pd.DataFrame, slope: float) -> tuple[list[float], list[float]]:
    """Return the straight line's ends, the lowest and highest ratio, and its values there.

    It goes through the middle of the points, as least squares does, and no further than they do.
    """
    known = drawn[drawn["delta"].notna()]
    ends = [float(known["ratio"].min()), float(known["ratio"].max())]
    start = float(known["delta"].mean() - slope * known["ratio"].mean())
    return ends, [start + slope * ratio for ratio in ends]


def draw(sweep: Sweep, results: pd.DataFrame, derived: pd.DataFrame, corner: str) -> Figure:
    """Return the figure, one column wide; `corner` is the short line of origin at its lower right.

    derived: as `report.derived` gives it; without rows of the curve the points stand alone.
    """
    with styled():
        drawn = changes(sweep, results)
        fit, slope = _curve(derived, "isotonic"), _curve(derived, "slope")
        handles: list[Any] = []
        for verdict, (shape, filled, size, meaning) in VERDICTS.items():
            if verdict in set(drawn[drawn["delta"].notna()]["verdict"]):
                face = "black" if filled else "white"
                handles.append(
                    Line2D(
                        [],
                        [],
                        ls="",
                        marker=shape,
                        ms=0.8 * size,
                        mfc=face,
                        mec="black",
                        label=meaning,
                    )
                )
        if drawn["low"].notna().any():
            handles.append(
                Line2D([], [], color="black", lw=0.8, marker="_", ms=4, label="90 % interval")
            )
        if not drawn["finished"].all():
            handles.append(Line2D([], [], color="black", label=GONE, **CROSS))
        note = (
            "Change of monolingual MRR@10 (mean of languages) to r = 0. Dashes: the margin of"
            f" {sweep.margin:g}."
        )
        bands = bool(fit["low"].notna().any())
        if len(fit):
            word = str(fit["word"].iloc[0])
            handles.append(Line2D([], [], color=BLUE, lw=1.4, label=f"isotonic fit ({word})"))
            if bands:
                band = (
                    "95 % bootstrap band"
                    if set(fit["interval"]) == {"bootstrap"}
                    else "95 % band, questions only"
                )
                handles.append(Patch(fc=BLUE, alpha=0.2, lw=0, label=band))
        if len(slope):
            handles.append(
                Line2D(
                    [], [], color=ORANGE, lw=1.1, ls=(0, (6, 1.5, 1, 1.5)), label="least squares"
                )
            )
            note += f" {_slope(records(slope, DerivedRow)[0])}"
        base = pick(results, *MONO)["mean"][pick(results, *MONO)["ratio"] == 0]
        level = {name: pick(results, *MONO, kind=kind)["mean"] for kind, name in BASELINES.items()}
        if len(base) and any(len(mean) for mean in level.values()):
            said = [
                f"{name} {signed(mean.iloc[0] - base.iloc[0])}"
                for name, mean in level.items()
                if len(mean)
            ]
            note += f" Against r = 0: {', '.join(said)}."
        if not len(fit) and not len(slope):
            note += (
                " No fit: r = 0 and one more ratio are needed, with a seed that has every ratio."
            )
        if set(results[results["setting"] == MONO[0]]["delta_interval"]) & {"conditional"}:
            note += " Intervals over questions only (too few seeds)."
        figure = sheet(NARROW, 2.15, note, corner, handles)
        axes = figure.add_subplot()
        axes.axhline(0, color=GREY, lw=0.6, zorder=1)
        axes.axhline(-sweep.margin, color="black", lw=0.9, ls=(0, (5, 2.5)), zorder=2)
        if len(fit):
            x, y = (fit[name].to_numpy(dtype=np.float64) for name in ("ratio", "value"))
            low, high = (fit[name].to_numpy(dtype=np.float64) for name in ("low", "high"))
            axes.fill_between(x, low, high, fc=BLUE, alpha=0.2, lw=0, zorder=1.5)
            axes.plot(x, y, color=BLUE, lw=1.4, zorder=3, gid="isotonic")
        if len(slope):
            ends = line(drawn, float(slope["value"].iloc[0]))
            axes.plot(*ends, color=ORANGE, lw=1.1, ls=(0, (6, 1.5, 1, 1.5)), zorder=3, gid="line")
        for row in records(drawn, dict[str, Any]):
            if not row["finished"]:
                mark_missing(axes, row["ratio"])
            if np.isnan(row["delta"]):
                continue
            axes.plot(
                [row["ratio"]] * 2,
                [row["low"], row["high"]],
                color="black",
                lw=0.8,
                marker="_",
                ms=4,
                zorder=4,
            )
            shape, filled, size, _ = VERDICTS[row["verdict"] or "untested"]
            face = "black" if filled else "white"
            axes.plot(
                row["ratio"],
                row["delta"],
                shape,
                ms=0.7 * size,
                mfc=face,
                mec="black",
                mew=0.8,
                zorder=5,
            )
        axes.set_xlim(-0.04, 1.04)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
        axes.set_xlabel("share r of cross-lingual batches", labelpad=2)
        axes.set_ylabel("change to r = 0", labelpad=2)
        return figure


def _slope(row: DerivedRow) -> str:
    """Return the slope in words, with its interval."""
    said = f"Slope per unit of r: {signed(row['value'])}"
    if pd.notna(row["low"]):
        said += f", 95 % {between(row['low'], row['high'])}"
    return said + (f", {p_words(row['p'])}." if pd.notna(row["p"]) else ".")
