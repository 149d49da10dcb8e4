"""The report on other people's systems: results.csv, report.md, report.html and the curve, for each
system in a folder of its own.
"""

import dataclasses
from base64 import b64encode
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pandas as pd

from hybrid_sweep.report import look_notes
from hybrid_sweep.report.cluster_files import AS_KEPT, LEFT_OUT, ClusterChoice
from hybrid_sweep.report.curves import complete, curves
from hybrid_sweep.report.figures.style import save
from hybrid_sweep.report.foreign import figure, words
from hybrid_sweep.report.foreign.levels import IN_TABLE, Levels, levels_of, sweep_of
from hybrid_sweep.report.foreign.rows import checked
from hybrid_sweep.report.foreign.words import Told
from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.looks import Looks
from hybrid_sweep.report.measures import DEFAULT
from hybrid_sweep.report.render import html as render
from hybrid_sweep.report.render.console import console
from hybrid_sweep.report.render.markdown import Block, document
from hybrid_sweep.report.report_files import put_csv, put_texts, writing
from hybrid_sweep.report.results import aggregate
from hybrid_sweep.report.rows import DerivedRow
from hybrid_sweep.report.shape import shapes
from hybrid_sweep.retrieval.measures import parsed
from hybrid_sweep.utils import escaping
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.terminal_lines import paragraph

MARGIN = 0.01  # of a measure from 0 to 1, unless another is asked for


@dataclass(frozen=True)
class TableRequest:
    """What is asked of a table. factor, baseline, measure, margin: None where the table decides;
    clusters: which questions belong together; looks: the seeds that were planned, and at which
    numbers of them the results were tested before, None where that is not told. origin: where the
    clusters of the rows are from, where the rows are no table.
    """

    factor: str | None = None
    baseline: str | None = None
    measure: str | None = None
    margin: float | None = None
    clusters: ClusterChoice = AS_KEPT
    looks: Looks | None = None
    origin: str = ""


def write_foreign(rows: pd.DataFrame, asked: TableRequest, folder: Path) -> str:
    """Write the report of each system of a table into a folder, and return what to print.

    Args:
        rows: as `foreign.rows.read` gives them.
        asked: what is compared, and by which measure.
        folder: of the report; of several systems, each has a folder in it.

    Raises:
        UserError: for a table that cannot be used.
    """
    factor = asked.factor or ("ratio" if "ratio" in rows.columns else "system")
    rows = checked(rows, factor)
    # where systems are compared with each other, they are the levels of one table
    owner = pd.Series("systems", index=rows.index) if factor == "system" else rows["system"]
    systems = sorted(set(owner))
    printed = []
    for name in systems:
        mine = rows[owner == name]
        place = folder if len(systems) == 1 else folder / name
        told = _told(mine, factor, asked, name)
        printed.append(_written(told, place))
    return "\n\n".join(printed)


def _told(rows: pd.DataFrame, factor: str, asked: TableRequest, name: str) -> Told:
    """Return what is said of one system."""
    measures = list(dict.fromkeys(rows["measure"]))
    measure = asked.measure or (DEFAULT if DEFAULT in measures else measures[0])
    if measure not in measures:
        raise UserError(
            f"--measure {measure}: not in the table, which has {', '.join(measures)}",
            key="report.measure_missing",
        )
    margin = asked.margin
    if margin is None:
        if parsed(measure) is None:
            raise UserError(
                f"{measure} is no measure whose range is known: give --margin, the loss that counts"
                " as none",
                key="table.no_margin",
            )
        margin = MARGIN
    levels = levels_of(rows[factor], asked.baseline)
    sweep, warnings = sweep_of(rows, levels, measure, margin, name, asked.clusters)
    origin = sweep.clusters
    if asked.origin == LEFT_OUT or (origin == IN_TABLE and asked.origin):
        origin = asked.origin  # who made the table knows
    sweep = dataclasses.replace(sweep, looks=asked.looks, clusters=origin)
    results = _results(sweep)
    looked = look_notes.warnings(sweep, results)
    notes = [*warnings, *_few(sweep), *_copies(sweep, levels), *looked]
    return Told(sweep, levels, results, _slope(sweep, levels), notes)


def _results(sweep: Sweep) -> pd.DataFrame:
    """Return the results, with verdicts on the measure of the report alone: the margin is in its
    units.
    """
    results = aggregate(sweep)
    others = results["measure"] != sweep.measure
    results.loc[others, "verdict"] = ""
    numbers = ["p_loss", "p_loss_holm", "seeds_to_settle_low", "seeds_to_settle_high"]
    results.loc[others, numbers] = float("nan")
    return results


def _copies(sweep: Sweep, levels: Levels) -> list[str]:
    """Return warnings of seeds of one level with the same values."""
    values = sweep.frame[[sweep.measure]].to_numpy().reshape(len(sweep.points), -1)
    seen: dict[tuple[float, bytes], int] = {}
    notes = []
    for point, row in zip(sweep.points, values, strict=True):
        other = seen.setdefault((point.ratio, row.tobytes()), point.seed)
        if other != point.seed:
            notes.append(
                f"seeds {other} and {point.seed} have the same values at {levels.factor} ="
                f" {levels.name(point.ratio)}, as copies of one run have: intervals over seeds are"
                " too narrow then"
            )
    return notes


def _few(sweep: Sweep) -> list[str]:
    seeds = {point.seed for point in sweep.points}
    if len(seeds) == 1:
        return ["one seed: intervals are over the questions alone, and nothing is tested"]
    return []


def _slope(sweep: Sweep, levels: Levels) -> DerivedRow | None:
    """Return the slope of the mean per unit of the factor; None where it is no scale."""
    if not levels.is_scale or not complete(sweep)[1]:
        return None
    main = [curve for curve in curves(sweep) if curve.measure == sweep.measure]
    rows = [row for row in shapes(sweep, main[:1]) if row["statistic"] == "slope"]
    return rows[0] if rows else None


def _written(told: Told, folder: Path) -> str:
    """Write the report of one system; what to print."""
    results = told.results.copy()
    codes = results.pop("ratio")
    results.insert(1, told.levels.factor, [told.levels.name(code) for code in codes])
    parts = words.sections(told)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        put_csv(results, folder / "results.csv")
        drawn = save(figure.draw(told), folder, "curve")
        texts = {"report.md": _markdown(told, parts), "report.html": _html(told, parts, drawn[2])}
        put_texts(texts, folder)
    lines = [f"--- {told.sweep.name} ---", *console(words.changes(told, told.main))]
    lines += [f"warning: {warning}" for warning in told.warnings]
    for text in (words.answer(told), *words.findings(told), words.looked(told)):
        lines += ["", *paragraph(escaping.one_line(text))]
    return "\n".join([*lines, "", f"page: {folder / 'report.html'}", f"figure: {drawn[0]}"])


def _head(told: Told) -> list[Block]:
    warnings = [f"- **Warning**: {escaping.markdown(text)}." for text in told.warnings]
    sentences = [f"- {text}" for text in words.findings(told, escaping.markdown)]
    return [f"**{words.answer(told, escaping.markdown)}**", "", *warnings, *sentences]


def _title(told: Told) -> str:
    return f"{told.sweep.name}: {told.name} by {told.levels.factor}"


def _markdown(told: Told, parts: dict[str, list[Block]]) -> str:
    head = (f"# {escaping.markdown(_title(told))}", _head(told))
    rest = [(f"## {title}", blocks) for title, blocks in parts.items()]
    return document([head, ("", ["![The curve](curve.png)"]), *rest])


def _html(told: Told, parts: dict[str, list[Block]], picture: Path) -> str:
    """Return the text of report.html: one file without a script and without a reference."""
    style = files("hybrid_sweep.report.page").joinpath("page.css").read_text("utf-8")
    source = f"data:image/svg+xml;base64,{b64encode(picture.read_bytes()).decode()}"
    cards = [f'<section class="card">{render.blocks(_head(told))}</section>']
    cards.append(
        f'<section class="card"><figure><img alt="The curve" src="{source}"></figure></section>'
    )
    for title, blocks in parts.items():
        body = render.blocks(blocks)
        cards.append(f'<section class="card"><h2>{escaping.html(title)}</h2>{body}</section>')
    content = "\n".join(cards)
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{escaping.html(_title(told))}</title><style>{style}"
        "figure img { width: 100%; height: auto; background: #fff; }</style></head>\n"
        f"<body><main><header><h1>{escaping.html(_title(told))}</h1></header>\n{content}\n"
        "</main></body></html>\n"
    )
