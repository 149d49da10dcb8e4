"""comparison.md: the sentences, the figure, and the tables of a comparison.

It holds no time, machine or path.
"""

from collections.abc import Mapping

from hybrid_sweep.report.cluster_words import clustered
from hybrid_sweep.report.comparison.ratio_table import ratio_table
from hybrid_sweep.report.comparison.rows import ComparisonRow
from hybrid_sweep.report.comparison.table import (
    COLUMNS,
    DIFFERENCE,
    SLOPE,
    TWICE,
    Comparison,
)
from hybrid_sweep.report.comparison.words import caption, contrast, pairs
from hybrid_sweep.report.comparison.words import title as title_of
from hybrid_sweep.report.measures import Measure
from hybrid_sweep.report.paired_rows import largest
from hybrid_sweep.report.render.cells import EMPTY, Cell, code, count, p_value, ratio, with_interval
from hybrid_sweep.report.render.cells import name as language
from hybrid_sweep.report.render.markdown import Block, document
from hybrid_sweep.report.render.numbers import listed
from hybrid_sweep.report.render.table import Column, table
from hybrid_sweep.report.results import MEANS
from hybrid_sweep.report.settings import REST
from hybrid_sweep.utils import escaping
from hybrid_sweep.utils.escaping import markdown_code
from hybrid_sweep.utils.redaction import redacted


def _settings(comparison: Comparison, *, rest: bool) -> list[Block]:
    """Return the settings and contents that differ, or with `rest` what differs besides."""
    columns = [Column("setting", words=True)]
    for name in comparison.names:  # a sweep that has none of these settings has dashes
        columns.append(Column(name, words=True, code=True, user=True, always=True))
    rows = []
    for difference in comparison.differences:
        if (difference.part == REST) == rest:
            rows.append([code(difference.key), *map(code, difference.values)])
    return [table("What differs", columns, rows)]


def _points(comparison: Comparison) -> list[Block]:
    """Return the ratios and seeds of each sweep, and which ones only some have."""
    ratios: dict[str, set[str]] = {}
    seeds: dict[str, set[str]] = {}
    rows = []
    for name, sweep in zip(comparison.names, comparison.sweeps, strict=True):
        planned = [point for point in sweep.points if point.kind == "trained"]
        ratios[name] = {f"r = {point.ratio:g}" for point in planned}
        seeds[name] = {f"seed {point.seed}" for point in planned}
        shares = sorted({point.ratio for point in planned})
        numbers = sorted({point.seed for point in planned})
        gone = sum(point.run_id in sweep.missing for point in planned)
        rows.append(
            [
                code(name),
                Cell(" ".join(f"{share:g}" for share in shares)),
                Cell(" ".join(map(str, numbers))),
                count(len(planned)),
                count(gone),
            ]
        )
    columns = [Column(title) for title in ("sweep", "ratios", "seeds", "trained points", "missing")]
    alone: dict[str, list[str]] = {}
    _add_alone(alone, ratios)
    _add_alone(alone, seeds)
    lines = [f"- Only in {names}: {', '.join(values)}." for names, values in alone.items()]
    return [table("Points", columns, rows), *([""] if lines else []), *lines]


def _add_alone(alone: dict[str, list[str]], has: Mapping[str, set[str]]) -> None:
    """Add the values that not all sweeps have, by the names of those that have them."""
    for value in sorted(set().union(*has.values()), key=_number_in):
        names = [markdown_code(name) for name, values in has.items() if value in values]
        if len(names) < len(has):
            alone.setdefault(listed(names), []).append(value)


def _number_in(value: str) -> float:
    return float(value.split()[-1])


def _largest(comparison: Comparison) -> list[Block]:
    """Return what each sweep comes to: its margin, its verdict, and the slope of its curve."""
    rows, about = [], comparison.leading
    slopes = {row["sweep"]: row for row in pairs(comparison, SLOPE, *about.place)}
    for index, name in enumerate(comparison.names):
        best = largest(comparison.results[index])
        margin = Cell(f"{comparison.sweeps[index].margin:g}")
        verdict = Cell("none") if best is None else ratio(best)
        rows.append([code(name), margin, verdict, _value(slopes.get(name))])
    columns = (
        Column("sweep"),
        Column("margin"),
        Column("largest ratio still non-inferior"),
        Column(f"slope of {about.name} [95 %]"),
    )
    return [table("Largest ratio still non-inferior", columns, rows)]


def _value(row: ComparisonRow | None, digits: int = 3) -> Cell:
    """Return a difference or slope with its interval."""
    if row is None:
        return EMPTY
    ends = (row["low"], row["high"])
    return with_interval(row["value"], *ends, digits, row["interval"])


def _of(comparison: Comparison, name: str, statistic: str, measure: Measure) -> list[ComparisonRow]:
    """Return the tested differences of one sweep, by ratio."""
    rows = pairs(comparison, statistic, *measure.place)
    return [row for row in rows if row["sweep"] == name]


def _tested(comparison: Comparison) -> list[Block]:
    """Return every difference of a mean, with the difference of the changes beside it."""
    rows = []
    for name in comparison.names[1:]:
        for measure in comparison.measures.shown:
            changes = _of(comparison, name, TWICE, measure)
            twice = {row["ratio"]: row for row in changes}
            for row in _of(comparison, name, DIFFERENCE, measure):
                cells = [code(name), Cell(measure.name), ratio(row["ratio"])]
                for tested in (row, twice.get(row["ratio"])):
                    p = EMPTY if tested is None else p_value(tested["p_holm"])
                    cells += [_value(tested, measure.digits), p]
                rows.append(cells)
    columns = (
        Column("sweep"),
        Column("measure"),
        Column("r"),
        Column("difference [95 %]"),
        Column("Holm"),
        Column("difference of changes [95 %]"),
        Column("Holm"),
    )
    return [table("Differences", columns, rows)]


def _languages(comparison: Comparison) -> list[Block]:
    """Return monolingual differences in each language that the sweeps share, at the highest common
    ratio.
    """
    shown = comparison.table[comparison.table["statistic"] == DIFFERENCE]
    scopes = [scope for scope in dict.fromkeys(shown["scope"]) if scope not in MEANS]
    rows = []
    for name in comparison.names[1:]:
        for scope in scopes:
            last = _last(comparison, name, DIFFERENCE, scope)
            if last is None:
                continue
            twice = _last(comparison, name, TWICE, scope)
            if twice and twice["ratio"] != last["ratio"]:
                twice = None
            head = [code(name), language(scope), ratio(last["ratio"])]
            rows.append([*head, _value(last), _value(twice)])
    columns = (
        Column("sweep"),
        Column("language"),
        Column("r"),
        Column("difference [95 %]"),
        Column("difference of changes [95 %]"),
    )
    return [table("Differences by language", columns, rows)]


def _last(comparison: Comparison, name: str, statistic: str, scope: str) -> ComparisonRow | None:
    """Return a difference of a sweep in a language, at the highest ratio."""
    rows = pairs(comparison, statistic, *comparison.measures.mono.place, scope)
    mine = [row for row in rows if row["sweep"] == name]
    return mine[-1] if mine else None


def _method(comparison: Comparison) -> list[str]:
    first = markdown_code(comparison.names[0])
    return [
        (
            f"- {first} is what the others are compared with: a difference is the other sweep minus"
            f" {first}, at a ratio that both have. The difference of changes takes each sweep's"
            " change from its own r = 0: what raising the ratio does in one sweep beyond what it"
            f" does in {first}."
        ),
        (
            "- Changes and verdicts are each sweep's own, at its own margin, with 90 % intervals,"
            " as in its own report."
        ),
        (
            "- Differences are tested only between sweeps that were evaluated on the same questions"
            " of the same collection (by its fingerprint). Holm's adjustment is over the ratios of"
            " all sweeps, for each measure."
        ),
        (
            "- Two sweeps are paired by seed where the same seed draws the same batches or the same"
            " initial weights in both; the interval then crosses seeds and questions. Elsewhere the"
            " seeds of the two are independent and the questions shared, with an interval made for"
            " that (`docs/report.md` has the formula and its measured error rates)."
        ),
        *clustered(comparison.sweeps[0]),
        (
            "- Two sweeps may differ in several settings at once: a difference belongs to all of"
            " them together."
        ),
    ]


def _gone(comparison: Comparison) -> list[str]:
    lines = []
    for name, sweep in zip(comparison.names, comparison.sweeps, strict=True):
        for point in sweep.gaps:
            run_id = markdown_code(point.run_id)
            reason = markdown_code(sweep.missing[point.run_id])
            lines.append(f"- {markdown_code(name)}: {point.label}, run {run_id}: {reason}")
    return lines or ["None."]


def _runs(comparison: Comparison) -> list[Block]:
    rows = []
    for name, sweep in zip(comparison.names, comparison.sweeps, strict=True):
        runs = count(len(sweep.finished))
        rows.append([code(name), code(sweep.fingerprint), runs, code(redacted(sweep.command))])
    columns = [
        Column("sweep"),
        Column("fingerprint of its run ids"),
        Column("runs"),
        Column("command"),
    ]
    lines = []
    for name, warnings in zip(comparison.names, comparison.warnings, strict=True):
        for warning in warnings:
            lines.append(f"- **Warning**, {markdown_code(name)}: {escaping.markdown(warning)}.")
    return [table("Runs", columns, rows), *([""] if lines else []), *lines]


def head(comparison: Comparison) -> list[list[str]]:
    """Return the paragraphs above everything else: the answer of each sweep, and what can be said
    of them together.
    """
    names = list(map(markdown_code, comparison.names))
    return [
        [f"- {name}: **{text}**" for name, text in zip(names, comparison.answers, strict=True)],
        [f"- {contrast(comparison, index)}" for index in range(1, len(names))],
    ]


def sections(comparison: Comparison) -> dict[str, list[Block]]:
    """Return what stands under each title, below the figure; those without a line have nothing to
    say.
    """
    differs: list[Block] = [
        "No recorded setting that can change the numbers differs, nor any fingerprint: the sweeps"
        " have other runs."
    ]
    if any(difference.part != REST for difference in comparison.differences):
        differs = _settings(comparison, rest=False)
    mono = comparison.measures.mono.name
    return {
        "What differs": differs,
        "What differs besides, by rounding at most if the code is the same": _settings(
            comparison, rest=True
        ),
        "Points": _points(comparison),
        "Largest ratio still non-inferior": _largest(comparison),
        "By sweep and ratio": [ratio_table(comparison)],
        "Differences, mean of languages": _tested(comparison),
        f"Differences by language, {mono} at the highest common ratio": _languages(comparison),
        "How the sweeps were compared": list(_method(comparison)),
        "Missing points": list(_gone(comparison)),
        "Runs": _runs(comparison),
        "Columns of comparison.csv": [
            f"- `{name}`: {meaning}" for name, meaning in COLUMNS.items()
        ],
    }


def markdown(comparison: Comparison) -> str:
    """Return the text of comparison.md."""
    about = comparison.leading.setting
    title = f"# {title_of(comparison)}: {about} retrieval against the cross-lingual share"
    parts: list[tuple[str, list[Block]]] = [(title, list(head(comparison)[0]))]
    parts.append(("", list(head(comparison)[1])))
    image = "![The sweeps side by side](comparison.png)"
    parts.append(("", [image, "", f"*{caption(comparison)}*"]))
    parts += [(f"## {name}", blocks) for name, blocks in sections(comparison).items()]
    return document(parts)
