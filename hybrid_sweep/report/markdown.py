"""report.md: the answer first, then the tables, how it was measured, what else changes with the
ratio, and provenance.

Nothing in it holds a time, a machine or a path: the same runs make the same text.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from hybrid_sweep.report import derived_tables
from hybrid_sweep.report.derived import COLUMNS as DERIVED
from hybrid_sweep.report.derived_tables import grid
from hybrid_sweep.report.figures import curve as figures
from hybrid_sweep.report.load import BASELINES, KINDS, Point, Sweep
from hybrid_sweep.report.results import COLUMNS, MACRO, MEANS, MONO, languages, line, pick, records
from hybrid_sweep.report.wording import between, counted, listed, p_words, percent, signed
from hybrid_sweep.utils import escaping, redaction

# The table by ratio, on the console and in report.md.
HEADER = [
    "r",
    "seeds",
    "mono MRR@10",
    "change to r = 0 [90 %]",
    "verdict",
    "English",
    "cross MRR@10",
    "multi mAP",
]
HEADER += ["same-lang", "rank dist."]


def trained(sweep: Sweep) -> list[Point]:
    return [point for point in sweep.finished if point.kind == "trained"]


def label(point: Point) -> str:
    if point.kind == "bm25":
        return BASELINES[point.kind]
    return (
        f"r = {point.ratio:g}, seed {point.seed}"
        if point.kind == "trained"
        else f"untrained, seed {point.seed}"
    )


def flatten(tree: Any, prefix: str = "") -> dict[str, str]:
    """Return a nested dict as dotted keys and text; a list is one value."""
    if not isinstance(tree, dict):
        return {prefix: " ".join(map(str, tree)) if isinstance(tree, list) else str(tree)}
    flat: dict[str, str] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _number(value: float, digits: int = 3) -> str:
    return "" if pd.isna(value) else f"{value:.{digits}f}"


def _difference(row: dict[str, Any]) -> str:
    if pd.isna(row["delta"]):
        return ""
    note = "" if row["delta_interval"] == "crossed" else " questions only"
    return f"{signed(row['delta'])} {between(row['delta_low_90'], row['delta_high_90'])}{note}"


def by_ratio(sweep: Sweep, results: pd.DataFrame) -> list[list[str]]:
    """Return the lines under `HEADER`, as text: one per planned ratio, finished or not, and the
    baselines last.
    """
    shown = [(*MONO, MACRO), (*MONO, figures.ENGLISH), ("cross-lingual", "RR@10", MACRO)]
    shown += [("multilingual", measure, MACRO) for measure in ("AP", "same@10", "RD")]
    curves = {(what, kind): pick(results, *what, kind=kind) for what in shown for kind in KINDS}
    lines = []
    for (kind, ratio), planned in Counter(line(point) for point in sweep.points).items():
        rows = []
        for what in shown:
            found = curves[what, kind]
            found = found[found["ratio"] == ratio] if kind == "trained" else found
            rows.append(records(found)[0] if len(found) else None)
        made = max(row["n_seeds"] if row else 0 for row in rows)
        first = rows[0]
        head = (
            [_number(first["mean"]), _difference(first), first["verdict"]]
            if first
            else ["", "", ""]
        )
        if not made:
            head[2] = "missing"
        tail = [
            _number(row["mean"], 1 if row["measure"] == "RD" else 3) if row else ""
            for row in rows[1:]
        ]
        name = BASELINES.get(kind, f"{ratio:g}")
        lines.append([name, f"{made}" if made == planned else f"{made} of {planned}", *head, *tail])
    return lines


def _verdicts(results: pd.DataFrame, scope: str) -> list[str]:
    found = pick(results, *MONO, scope)
    rows = []
    for row in records(found[found["delta"].notna()]):
        crossed = row["delta_interval"] == "crossed"
        note = "" if crossed else " questions only"
        needed = row["seeds_to_settle"]
        rows.append(
            [
                f"{row['ratio']:g}",
                str(row["delta_seeds"]),
                signed(row["delta"]),
                percent(row["relative"]) if pd.notna(row["relative"]) else "",
                between(row["delta_low"], row["delta_high"]) + note,
                between(row["delta_low_90"], row["delta_high_90"]) + note,
                _number(row["half_width"]),
                p_words(row["p_holm"]) if crossed else "",
                row["verdict"],
                (
                    ""
                    if pd.isna(needed)
                    else "more questions"
                    if needed == float("inf")
                    else f"{needed:.0f}"
                ),
            ]
        )
    header = [
        "r",
        "paired seeds",
        "change",
        "relative",
        "95 % interval",
        "90 % interval",
        "half-width",
    ]
    return (
        grid([*header, "Holm", "verdict", "seeds to settle"], rows)
        if rows
        else ["Nothing to compare."]
    )


def _languages(results: pd.DataFrame) -> list[str]:
    chosen = results[
        (results["setting"] == MONO[0])
        & (results["measure"] == MONO[1])
        & ~results["scope"].isin(MEANS)
    ]
    cells: dict[str, dict[str, str]] = {}
    counts: dict[str, int] = {}
    for row in records(chosen):  # by scope, and within it in the order of the table by ratio
        change = f" ({signed(row['delta'])}, {row['verdict']})" if pd.notna(row["delta"]) else ""
        name = BASELINES.get(row["kind"], f"{row['ratio']:g}")
        cells.setdefault(name, {})[row["scope"]] = _number(row["mean"]) + change
        counts[row["scope"]] = row["n_questions"]
    if not counts:
        return ["No monolingual rows."]
    header = [
        "r",
        *(f"{escaping.markdown(scope)} ({count:,} questions)" for scope, count in counts.items()),
    ]
    return grid(
        header, [[name, *(found[scope] for scope in counts)] for name, found in cells.items()]
    )


def _common(sweep: Sweep, key: str) -> str:
    """Return the value of a config key in the trained points, or "not recorded"."""
    values = [flatten(sweep.config[point.run_id]).get(key) for point in trained(sweep)]
    found = sorted({value for value in values if value is not None})
    return escaping.markdown(" / ".join(found)) if found else "not recorded"


def _adds(sweep: Sweep) -> bool:
    """Return whether cross-lingual steps come on top of the monolingual ones (batch.budget), rather
    than in their place.
    """
    return _common(sweep, "batch.budget") == "fixed_monolingual"


def _measured(sweep: Sweep, results: pd.DataFrame) -> list[str]:
    mono = records(pick(results, *MONO))
    questions = counted(int(mono[0]["n_questions"]), "question") if mono else "no question"
    queries = f"{int(mono[0]['n_rows']):,}" if mono else "no"
    seeds = sorted({point.seed for point in trained(sweep)})
    steps = "monolingual optimiser steps" if _adds(sweep) else "optimiser steps"
    lines = [
        (
            f"- Data: {_common(sweep, 'data.name')} ({_common(sweep, 'eval.split')} split),"
            f" languages {_common(sweep, 'data.languages')}; {questions} with {queries} monolingual"
            " queries. All language versions of a question count as one question."
        ),
        (
            f"- Model: {_common(sweep, 'model.name')}; {_common(sweep, 'trainer.max_steps')}"
            f" {steps} of {_common(sweep, 'batch.size')} pairs at every ratio; seeds"
            f" {listed(map(str, seeds)) if seeds else 'none'}."
        ),
        f"- Margin of non-inferiority, stated before the run: {sweep.margin:g} MRR@10 (absolute).",
        (
            "- A mean is the plain mean over languages (or ordered pairs) of the means over"
            " queries, then over seeds."
        ),
        (
            "- The change at a ratio is paired with ratio 0: same seed (initial weights, groups,"
            " query texts, order), same questions. Its interval is meant for other seeds and other"
            " questions: two-way crossed random effects, language versions of a question clustered,"
            " Satterthwaite's degrees of freedom made safe for few seeds"
            " (`docs/report.md` has the formula and its measured error rates)."
        ),
        (
            "- The verdict reads the 90 % interval of the change, one-sided 5 % at each ratio."
            " Non-inferior: wholly above minus the margin. Degraded: wholly below. Inconclusive:"
            " neither. Superior: non-inferior, and a gain at 5 % after Holm's adjustment over the"
            " ratios."
        ),
        (
            "- Slope, monotone fit, turn and Pareto front are over the seeds that have every ratio."
            " The band of the monotone fit holds the whole of a monotone curve with a chance of 95"
            " %. A curve is called not monotone only where one pair of ratios rises and another"
            " falls significantly, after Holm's adjustment over all pairs. A price is the quotient"
            " of two paired changes, its interval Fieller's, over the same seeds and questions; it"
            " is given only where the gain is significant after Holm's adjustment over the ratios."
        ),
        (
            "- The largest ratio still non-inferior ends the unbroken run of non-inferior ratios"
            " from the smallest one up, which is a fixed-sequence test at 5 % as a whole."
        ),
    ]
    if any(point.kind == "bm25" for point in sweep.points):
        lines.append(
            "- BM25 is bm25s, an index of each language with its own statistics, a query put into"
            " the words of the passages' language; the mixed pool goes by raw scores. It learns"
            " nothing, and so has one point."
        )
    command = redaction.redacted(sweep.command)
    return [*lines, f"- Command: {escaping.markdown_code(command)}"] if command else lines


def _confounds(sweep: Sweep, results: pd.DataFrame) -> list[str]:
    n = len(sweep.trained_languages or languages(results))
    if _adds(sweep):
        budget = [
            "- Cross-lingual steps are added to the same monolingual ones, so a higher ratio means"
            " a longer training, and a change may come from its length:"
        ]
    else:
        budget = [
            (
                "- At r = 1 it sees no same-language pair at all: a loss there may come from the"
                " missing examples rather than from the cross-lingual ones."
            ),
            "- The number of steps is fixed, so a higher ratio means fewer monolingual examples:",
        ]
    lines = [
        (
            f"- At r = 0 the model can see {n} distinct query-passage pairs of a question that"
            f" exists in all {n} languages, at r = 1 {n * (n - 1)}: part of a gain at small r may"
            " be augmentation."
        ),
        *budget,
        "",
    ]
    rows = []
    for ratio in sorted({point.ratio for point in trained(sweep)}):
        metrics = [sweep.metrics[point.run_id] for point in trained(sweep) if point.ratio == ratio]
        row = [f"{ratio:g}"]
        for key in ("examples_monolingual", "examples_cross_lingual"):
            seen = sorted({int(found[key]) for found in metrics if found.get(key) is not None})
            ends = [f"{value:,}" for value in seen[:: max(len(seen) - 1, 1)]]
            row.append(" to ".join(ends) if ends else "not recorded")
        rows.append(row)
    return lines + grid(
        ["r", "monolingual examples of a run", "cross-lingual examples of a run"], rows
    )


def _made(sweep: Sweep, run_id: str, part: str, evaluated: bool) -> list[tuple[str, str]]:
    """Return a part of what a run was made by and from, or evaluated by on the further collection
    that is reported on, by name.
    """
    made = sweep.provenance[run_id]
    found = ((made.get("evaluated") or {}) if evaluated else made).get(part) or {}
    if part == "fingerprints" and (further := sweep.metrics[run_id].get("fingerprint")):
        found = {**found, "further collection": further}
    return sorted(flatten(found).items())


def _provenance(sweep: Sweep, warnings: Sequence[str], fingerprint: str) -> list[str]:
    ids = [point.run_id for point in sweep.finished]
    lines = [f"- Fingerprint of this report, from its run ids: `{fingerprint}`"]
    parts = [
        ("fingerprints", False, "Fingerprints"),
        ("git", False, "Code"),
        ("versions", False, "Versions"),
    ]
    if any(sweep.provenance[run_id].get("evaluated") for run_id in ids):
        parts += [
            ("git", True, "Code of the evaluation"),
            ("versions", True, "Versions of the evaluation"),
        ]
    for part, evaluated, words in parts:
        named = (_made(sweep, run_id, part, evaluated) for run_id in ids)
        found = Counter(", ".join(f"{key} {value}" for key, value in each) for each in named)
        for text, runs in sorted(found.items()):
            share = f" ({runs} of {len(ids)} runs)" if len(found) > 1 else ""
            lines.append(f"- {words}: {escaping.markdown(text.strip()) or 'not recorded'}{share}")
    lines += [f"- **Warning**: {escaping.markdown(warning)}." for warning in warnings]
    rows = [[label(point), escaping.markdown_code(point.run_id)] for point in sweep.finished]
    return [*lines, "", *grid(["point", "run"], rows)]


def _caption(sweep: Sweep, fingerprint: str) -> str:
    kinds = [
        name
        for kind, name in BASELINES.items()
        if any(point.kind == kind for point in sweep.points)
    ]
    levels = f" Level lines: {listed(kinds)}." if kinds else ""
    name = escaping.markdown(sweep.name)
    return (
        "*Monolingual MRR@10 against the share r of cross-lingual training batches (top: mean over"
        " languages, and English) and what the share buys (bottom). Band: interval of the paired"
        " difference to r = 0, drawn at the level of r = 0; a ratio is non-inferior where the"
        " band's lower edge stays above the dashed line, and degraded where its upper edge falls"
        f" below. Thin lines: single seeds.{levels} Sweep {name},"
        f" {counted(len(sweep.finished), 'run')}, fingerprint {fingerprint}; run ids under"
        " Provenance.*"
    )


def _gone(point: Point, reason: str) -> str:
    """Return the line of a point without a result."""
    run_id = escaping.markdown_code(point.run_id)
    return f"- {label(point)}, run {run_id}: {escaping.markdown(reason)}"


def _with(lines: list[str], image: str) -> list[str]:
    """Return a section with a figure below its table; none where there is no table."""
    return [*lines, "", image] if lines else []


def markdown(
    sweep: Sweep,
    results: pd.DataFrame,
    derived: pd.DataFrame,
    said: str,
    told: Sequence[str],
    warnings: Sequence[str],
    fingerprint: str,
) -> str:
    """Return the text of report.md; `said` is the answer, `told` the findings under it,
    `fingerprint` stands for the runs.
    """
    gone = [point for point in sweep.points if point.run_id in sweep.missing]
    english = not pick(results, *MONO, figures.ENGLISH).empty
    parts: list[tuple[str, list[str]]] = [
        (
            (
                f"# Sweep {escaping.markdown(sweep.name)}: monolingual retrieval against the"
                " cross-lingual share"
            ),
            [f"**{said}**"],
        ),
        ("", [f"- {sentence}" for sentence in told]),
        ("", ["![The curve](curve.png)", "", _caption(sweep, fingerprint)]),
        ("## By ratio", grid(HEADER, by_ratio(sweep, results))),
        ("## Verdicts, mean of languages", _verdicts(results, MACRO)),
        ("## Verdicts, English", _verdicts(results, figures.ENGLISH) if english else []),
        (
            "## Monolingual MRR@10 by language",
            [*_languages(results), "", "![By language](languages.png)"],
        ),
        ("## Winners and losers by language", derived_tables.winners(derived)),
        ("## Languages trained on and not trained on", derived_tables.unseen(results)),
        (
            "## Language pairs and language bias",
            ["![Language pairs](pairs.png)", "", "![Language bias](bias.png)"],
        ),
        ("## Trade-off", _with(derived_tables.tradeoff(derived), "![Pareto front](front.png)")),
        ("## Shape of the curves", derived_tables.shape(derived)),
        (
            "## The monotone curve closest to monolingual MRR@10",
            _with(derived_tables.isotonic(derived), "![Shape](shape.png)"),
        ),
        ("## Questions won / tied / lost", derived_tables.questions(results)),
        ("## How it was measured", _measured(sweep, results)),
        ("## What else changes with the ratio", _confounds(sweep, results)),
        (
            "## Missing points",
            [_gone(p, sweep.missing[p.run_id]) for p in gone] or ["None."],
        ),
        ("## Provenance", _provenance(sweep, warnings, fingerprint)),
        (
            "## Columns of results.csv",
            [f"- `{name}`: {meaning}" for name, meaning in COLUMNS.items()],
        ),
        (
            "## Columns of derived.csv",
            [f"- `{name}`: {meaning}" for name, meaning in DERIVED.items()],
        ),
    ]
    return (
        "\n\n".join("\n".join([title, ""] * bool(title) + lines) for title, lines in parts if lines)
        + "\n"
    )
