"""comparison.md: the sentences, the figure, and the tables of a comparison.

It holds no time, machine or path.
"""

from collections.abc import Iterable, Sequence

import pandas as pd

from hybrid_sweep.report import derived_tables
from hybrid_sweep.report.comparison.console import EXAMPLES, ratio_rows
from hybrid_sweep.report.comparison.table import COLUMNS, DIFFERENCE, SLOPE, TWICE, Comparison
from hybrid_sweep.report.comparison.words import caption, contrast, interval, pairs, title
from hybrid_sweep.report.markdown import HEADER, label
from hybrid_sweep.report.results import MEANS, MONO
from hybrid_sweep.report.settings import REST
from hybrid_sweep.report.wording import largest, listed, p_words
from hybrid_sweep.utils import escaping
from hybrid_sweep.utils.escaping import markdown_code
from hybrid_sweep.utils.redaction import redacted

# What is shown of the differences: name, setting, measure, digits.
SHOWN = [
    ("monolingual MRR@10", *MONO, 3),
    ("cross-lingual MRR@10", "cross-lingual", "RR@10", 3),
    ("multilingual mAP", "multilingual", "AP", 3),
    ("same-language share of top 10", "multilingual", "same@10", 3),
    ("rank distance", "multilingual", "RD", 1),
]


def grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table, a dash in each empty cell."""
    return derived_tables.grid(header, [[cell or "–" for cell in row] for row in rows])


def _settings(comparison: Comparison, *, rest: bool) -> list[str]:
    rows = [
        [markdown_code(found.key), *(markdown_code(value) for value in found.values)]
        for found in comparison.differences
        if (found.part == REST) == rest
    ]
    return grid(["setting", *map(markdown_code, comparison.names)], rows) if rows else []


def _points(comparison: Comparison) -> list[str]:
    """Return the ratios and seeds of each sweep, and which ones only some have."""
    ratios: dict[str, set[str]] = {}
    seeds: dict[str, set[str]] = {}
    rows = []
    for name, sweep in zip(map(markdown_code, comparison.names), comparison.sweeps, strict=True):
        planned = [point for point in sweep.points if point.kind == "trained"]
        ratios[name] = {f"r = {point.ratio:g}" for point in planned}
        seeds[name] = {f"seed {point.seed}" for point in planned}
        gone = sum(point.run_id in sweep.missing for point in planned)
        shown = " ".join(f"{ratio:g}" for ratio in sorted({point.ratio for point in planned}))
        shown_seeds = " ".join(map(str, sorted({point.seed for point in planned})))
        rows.append([name, shown, shown_seeds, str(len(planned)), str(gone)])
    only: dict[str, list[str]] = {}
    for found in (ratios, seeds):
        for value in sorted(
            set().union(*found.values()), key=lambda words: float(words.split()[-1])
        ):
            has = [name for name, values in found.items() if value in values]
            if len(has) < len(found):
                only.setdefault(listed(has), []).append(value)
    lines = grid(["sweep", "ratios", "seeds", "trained points", "missing"], rows)
    return (
        [
            *lines,
            "",
            *(f"- Only in {names}: {', '.join(values)}." for names, values in only.items()),
        ]
        if only
        else lines
    )


def _largest(comparison: Comparison) -> list[str]:
    """Return what each sweep comes to: its margin, its verdict, and the slope of its curve."""
    rows = []
    slopes = {row["sweep"]: row for row in pairs(comparison, SLOPE, *MONO)}
    for name, sweep, results in zip(
        comparison.names, comparison.sweeps, comparison.results, strict=True
    ):
        best, slope = largest(results), slopes.get(name)
        cells = [
            f"{sweep.margin:g}",
            "none" if best is None else f"{best:g}",
            interval(slope) if slope else "",
        ]
        rows.append([markdown_code(name), *cells])
    return grid(
        [
            "sweep",
            "margin",
            "largest ratio still non-inferior",
            "slope of monolingual MRR@10 [95 %]",
        ],
        rows,
    )


def _by_ratio(comparison: Comparison) -> list[str]:
    rows = [
        [markdown_code(name), *line]
        for index, name in enumerate(comparison.names)
        for line in ratio_rows(comparison, index)
    ]
    header = ["sweep", *HEADER, *EXAMPLES]
    kept = [i for i in range(len(header)) if any(row[i] for row in rows)]
    return grid([header[i] for i in kept], [[row[i] for i in kept] for row in rows])


def _tested(comparison: Comparison) -> list[str]:
    """Return every difference of a mean, with the difference of the changes beside it."""
    rows = []
    for name in comparison.names[1:]:
        for words, setting, measure, digits in SHOWN:
            twice = {
                row["ratio"]: row
                for row in pairs(comparison, TWICE, setting, measure)
                if row["sweep"] == name
            }
            for row in pairs(comparison, DIFFERENCE, setting, measure):
                if row["sweep"] != name:
                    continue
                cells = []
                for found in (row, twice.get(row["ratio"])):
                    p = (
                        ""
                        if found is None or pd.isna(found["p_holm"])
                        else p_words(found["p_holm"])
                    )
                    cells += ["" if found is None else interval(found, digits), p]
                rows.append([markdown_code(name), words, f"{row['ratio']:g}", *cells])
    header = [
        "sweep",
        "measure",
        "r",
        "difference [95 %]",
        "Holm",
        "difference of changes [95 %]",
        "Holm",
    ]
    return grid(header, rows) if rows else []


def _languages(comparison: Comparison) -> list[str]:
    """Return monolingual differences in each language that the sweeps share, at the highest common
    ratio.
    """
    table = comparison.table[comparison.table["statistic"] == DIFFERENCE]
    scopes = [scope for scope in dict.fromkeys(table["scope"]) if scope not in MEANS]
    rows = []
    for name in comparison.names[1:]:
        for scope in scopes:
            found = [
                row for row in pairs(comparison, DIFFERENCE, *MONO, scope) if row["sweep"] == name
            ]
            twice = [row for row in pairs(comparison, TWICE, *MONO, scope) if row["sweep"] == name]
            if found:
                change = (
                    interval(twice[-1])
                    if twice and twice[-1]["ratio"] == found[-1]["ratio"]
                    else ""
                )
                rows.append(
                    [
                        markdown_code(name),
                        escaping.markdown(scope),
                        f"{found[-1]['ratio']:g}",
                        interval(found[-1]),
                        change,
                    ]
                )
    header = ["sweep", "language", "r", "difference [95 %]", "difference of changes [95 %]"]
    return grid(header, rows) if rows else []


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
        (
            "- Two sweeps may differ in several settings at once: a difference belongs to all of"
            " them together."
        ),
    ]


def _gone(comparison: Comparison) -> list[str]:
    lines = []
    for name, sweep in zip(comparison.names, comparison.sweeps, strict=True):
        for point in sweep.points:
            if point.run_id in sweep.missing:
                run_id, reason = (
                    markdown_code(point.run_id),
                    markdown_code(sweep.missing[point.run_id]),
                )
                lines.append(f"- {markdown_code(name)}: {label(point)}, run {run_id}: {reason}")
    return lines or ["None."]


def _runs(comparison: Comparison) -> list[str]:
    rows = []
    for name, sweep, mark in zip(
        comparison.names, comparison.sweeps, comparison.fingerprints, strict=True
    ):
        rows.append(
            [
                markdown_code(name),
                f"`{mark}`",
                str(len(sweep.finished)),
                markdown_code(redacted(sweep.command)),
            ]
        )
    lines = grid(["sweep", "fingerprint of its run ids", "runs", "command"], rows)
    found = zip(comparison.names, comparison.warnings, strict=True)
    warnings = [
        f"- **Warning**, {markdown_code(name)}: {escaping.markdown(text)}."
        for name, each in found
        for text in each
    ]
    return [*lines, *([""] if warnings else []), *warnings]


def head(comparison: Comparison) -> list[list[str]]:
    """Return the paragraphs above everything else: the answer of each sweep, and what can be said
    of them together.
    """
    names = list(map(markdown_code, comparison.names))
    return [
        [f"- {name}: **{said}**" for name, said in zip(names, comparison.said, strict=True)],
        [f"- {contrast(comparison, index)}" for index in range(1, len(names))],
    ]


def sections(comparison: Comparison) -> dict[str, list[str]]:
    """Return the titles and the lines of what stands under the figure; those without lines are left
    out.
    """
    nothing = [
        "No recorded setting that can change the numbers differs, nor any fingerprint: the sweeps"
        " have other runs."
    ]
    differs = any(found.part != REST for found in comparison.differences)
    found = {
        "What differs": _settings(comparison, rest=False) if differs else nothing,
        "What differs besides, by rounding at most if the code is the same": _settings(
            comparison, rest=True
        ),
        "Points": _points(comparison),
        "Largest ratio still non-inferior": _largest(comparison),
        "By sweep and ratio": _by_ratio(comparison),
        "Differences, mean of languages": _tested(comparison),
        "Differences by language, monolingual MRR@10 at the highest common ratio": _languages(
            comparison
        ),
        "How the sweeps were compared": _method(comparison),
        "Missing points": _gone(comparison),
        "Runs": _runs(comparison),
        "Columns of comparison.csv": [
            f"- `{name}`: {meaning}" for name, meaning in COLUMNS.items()
        ],
    }
    return {title: lines for title, lines in found.items() if lines}


def markdown(comparison: Comparison) -> str:
    """Return the text of comparison.md."""
    parts = [
        [f"# {title(comparison)}: monolingual retrieval against the cross-lingual share"],
        *head(comparison),
    ]
    parts.append(["![The sweeps side by side](comparison.png)", "", f"*{caption(comparison)}*"])
    parts += [[f"## {name}", "", *lines] for name, lines in sections(comparison).items()]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"
