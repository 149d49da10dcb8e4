"""What a report says, section by section: the answer first, then the tables, how it was measured,
what else changes with the ratio, and provenance.

Nothing in it holds a time, a machine or a path: the same runs make the same text.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from hybrid_sweep.report import look_notes
from hybrid_sweep.report.cluster_words import clustered
from hybrid_sweep.report.derived import COLUMNS as DERIVED
from hybrid_sweep.report.load import BASELINES, Sweep
from hybrid_sweep.report.measures import DEFAULT
from hybrid_sweep.report.merged import text as merged_text
from hybrid_sweep.report.merged.text import Averaged
from hybrid_sweep.report.render.cells import Cell, code, ratio
from hybrid_sweep.report.render.markdown import Block, document
from hybrid_sweep.report.render.numbers import counted, listed, questions_of
from hybrid_sweep.report.render.table import Column, Table, table
from hybrid_sweep.report.results import COLUMNS, ENGLISH, MACRO, languages, picked
from hybrid_sweep.report.settings import flatten
from hybrid_sweep.report.tables import derived as tables
from hybrid_sweep.report.tables import verdicts
from hybrid_sweep.report.tables.by_ratio import by_ratio
from hybrid_sweep.report.without_monolingual import EMPTY, lacks_monolingual, leading
from hybrid_sweep.utils import escaping, redaction


@dataclass(frozen=True)
class Content:
    """What a report says.

    results, derived, others: the frames of results.csv, derived.csv and measures.csv. answer: one
    sentence. findings: the sentences under it, in Markdown. warnings: about the points. averaged:
    averages of weights, None where there are none.
    """

    sweep: Sweep
    results: pd.DataFrame
    derived: pd.DataFrame
    answer: str
    findings: Sequence[str]
    warnings: tuple[str, ...]
    others: pd.DataFrame
    averaged: Averaged | None = None

    @cached_property
    def sections(self) -> dict[str, list[Block]]:
        """Return what stands under each title of a report, below the table by ratio; those without
        a line have nothing to say.
        """
        return _sections(self)


def _common(sweep: Sweep, key: str) -> str:
    """Return the value of a config key in the trained points, or "not recorded"."""
    values = [flatten(sweep.config[point.run_id]).get(key) for point in sweep.trained]
    distinct = sorted({value for value in values if value is not None})
    return escaping.markdown(" / ".join(distinct)) if distinct else "not recorded"


def _adds(sweep: Sweep) -> bool:
    """Return whether cross-lingual steps come on top of the monolingual ones (batch.budget), rather
    than in their place.
    """
    return _common(sweep, "batch.budget") == "fixed_monolingual"


def _margin(sweep: Sweep) -> str:
    return (
        f"- Margin of non-inferiority: {sweep.margin:g} {sweep.measures.title} (absolute),"
        f" {sweep.stated.when}."
    )


def _planned(sweep: Sweep, results: pd.DataFrame) -> list[str]:
    """Return what was planned: the margin, what was chosen late, and the looks."""
    lines = [_margin(sweep)]
    lines += [f"- Chosen when results were there: {note}." for note in sweep.stated.late]
    looked = look_notes.note(sweep, results)
    if looked:
        lines.append(f"- {looked}")
    return lines


def _measured(sweep: Sweep, results: pd.DataFrame) -> list[str]:
    mono = picked(results, *sweep.measures.mono.place)
    asked = picked(results, *leading(results).place)
    questions = questions_of(asked[0]) if asked else "no question"
    queries = f"{int(mono[0]['n_rows']):,}" if mono else "no"
    seeds = sorted({point.seed for point in sweep.trained})
    steps = "monolingual optimiser steps" if _adds(sweep) else "optimiser steps"
    lines = [
        (
            f"- Data: {_common(sweep, 'data.name')} ({_common(sweep, 'eval.split')} split),"
            f" languages {_common(sweep, 'data.languages')}; {questions} with {queries} monolingual"
            " queries. All language versions of a question count as one question."
        ),
        *clustered(sweep),
        (
            f"- Model: {_common(sweep, 'model.name')}; {_common(sweep, 'trainer.max_steps')}"
            f" {steps} of {_common(sweep, 'batch.size')} pairs at every ratio; seeds"
            f" {listed(map(str, seeds)) if seeds else 'none'}."
        ),
        *_planned(sweep, results),
        (
            "- A mean is the plain mean over languages (or ordered pairs) of the means over"
            " queries, then over seeds."
        ),
        (
            "- The change at a ratio is paired with ratio 0: same seed (initial weights, groups,"
            " query texts, order), same questions. Its interval is meant for other seeds and other"
            " questions: two-way crossed random effects, language versions of a question clustered,"
            " the Behrens-Fisher distribution of the two parts of its variance"
            " (`docs/report.md` has the formula and its measured error rates)."
        ),
        (
            "- Non-inferior: the 90 % interval of the change lies wholly above minus the margin"
            " (one-sided 5 % at each ratio), and enough questions carry the change. Claims that are"
            " searched for are adjusted by one rule (Holm over the ratios, of single languages over"
            " languages and ratios): degraded, a loss larger than the margin at one-sided 5 %;"
            " superior, non-inferior and a gain at 5 %. Inconclusive: none of these."
        ),
        (
            "- Slope, band, monotone fit, knee, turn and Pareto front are over the seeds that have"
            " every ratio. The 95 % band holds at all ratios at once (max-t), that of the monotone"
            " fit if the curve is monotone. A knee is named only where the band holds no straight"
            " line. A curve is called not monotone only where one pair of ratios rises and another"
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


def _confounds(sweep: Sweep, results: pd.DataFrame) -> list[Block]:
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
    return [
        _seen_pairs(sweep, results),
        *budget,
        "",
        _examples(sweep),
    ]


def _seen_pairs(sweep: Sweep, results: pd.DataFrame) -> str:
    """Return how many pairs of a question a model can see at each end of the ratio."""
    recorded = [sweep.metrics[point.run_id].get("training_pairs") for point in sweep.trained]
    pairs = next((one for one in recorded if one), None)
    if pairs is not None:
        own, crossed = (int(pairs.get(kind, 0)) for kind in ("monolingual", "cross-lingual"))
        return (
            f"- The training groups are in {counted(own, 'language')} monolingually and in"
            f" {counted(crossed, 'ordered pair')} of languages cross-lingually: part of a gain at"
            " small r may be augmentation."
        )
    n = len(sweep.trained_languages or languages(results))
    return (
        f"- At r = 0 the model can see {n} distinct query-passage pairs of a question that"
        f" exists in all {n} languages, at r = 1 {n * (n - 1)}: part of a gain at small r may"
        " be augmentation."
    )


def _examples(sweep: Sweep) -> Table:
    """Return how many examples of each kind a run has seen, by ratio."""
    rows = []
    for share in sorted({point.ratio for point in sweep.trained}):
        metrics = [sweep.metrics[point.run_id] for point in sweep.trained if point.ratio == share]
        row = [ratio(share)]
        for key in ("examples_monolingual", "examples_cross_lingual"):
            seen = sorted({int(record[key]) for record in metrics if record.get(key) is not None})
            ends = [f"{value:,}" for value in seen[:: max(len(seen) - 1, 1)]]
            row.append(Cell(" to ".join(ends) if ends else "not recorded"))
        rows.append(row)
    columns = (
        Column("r", words=True),
        Column("monolingual examples of a run"),
        Column("cross-lingual examples of a run"),
    )
    return table("Examples", columns, rows)


def _made(sweep: Sweep, run_id: str, part: str, evaluated: bool) -> list[tuple[str, str]]:
    """Return a part of what a run was made by and from, or evaluated by on the further collection
    that is reported on, by name.
    """
    made = sweep.provenance[run_id]
    values = ((made.get("evaluated") or {}) if evaluated else made).get(part) or {}
    if part == "fingerprints" and (further := sweep.metrics[run_id].get("fingerprint")):
        values = {**values, "further collection": further}
    return sorted(flatten(values).items())


def _provenance(sweep: Sweep) -> list[Block]:
    ids = [point.run_id for point in sweep.finished]
    lines = [f"- Fingerprint of this report, from its run ids: `{sweep.fingerprint}`"]
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
        texts: Counter[str] = Counter()
        for run_id in ids:
            pairs = _made(sweep, run_id, part, evaluated)
            texts[", ".join(f"{key} {value}" for key, value in pairs)] += 1
        for text, runs in sorted(texts.items()):
            share = f" ({runs} of {len(ids)} runs)" if len(texts) > 1 else ""
            lines.append(f"- {words}: {escaping.markdown(text.strip()) or 'not recorded'}{share}")
    rows = [[Cell(point.label), code(point.run_id)] for point in sweep.finished]
    return [
        *lines,
        "",
        table("Runs", [Column("point", words=True), Column("run", words=True)], rows),
    ]


def _caption(sweep: Sweep, results: pd.DataFrame) -> str:
    kinds = [
        name
        for kind, name in BASELINES.items()
        if any(point.kind == kind for point in sweep.points)
    ]
    levels = f" Level lines: {listed(kinds)}." if kinds else ""
    name = escaping.markdown(sweep.name)
    origin = (
        f"{levels} Sweep {name}, {counted(len(sweep.finished), 'run')}, fingerprint"
        f" {sweep.fingerprint}; run ids under Provenance.*"
    )
    if lacks_monolingual(results):
        return (
            f"*{sweep.measures.cross.title} against the share r of cross-lingual training batches"
            " (top: mean over ordered pairs) and the pool of all languages (bottom). Band: interval"
            " of the paired difference to r = 0, or of the mean where r = 0 is missing. Thin lines:"
            f" single seeds.{origin}"
        )
    return (
        f"*{sweep.measures.mono.title} against the share r of cross-lingual training batches (top:"
        " mean over languages, and English) and what the share buys (bottom). Band: interval of the"
        " paired difference to r = 0, drawn at the level of r = 0; a ratio is non-inferior where"
        " the band's lower edge stays above the dashed line, and degraded where its upper edge"
        f" falls below. Thin lines: single seeds.{origin}"
    )


def _missing(sweep: Sweep) -> list[str]:
    """Return a line for each point without a result."""
    lines = []
    for point in sweep.gaps:
        run_id = escaping.markdown_code(point.run_id)
        reason = escaping.markdown(sweep.missing[point.run_id])
        lines.append(f"- {point.label}, run {run_id}: {reason}")
    return lines or ["None."]


def _with(parts: list[Block], *more: str) -> list[Block]:
    """Return tables and the lines below them; nothing where there is no table."""
    is_filled = any(isinstance(part, Table) and part.rows for part in parts)
    return [*parts, "", *more] if is_filled else []


def _tradeoff(content: Content) -> list[Block]:
    parts: list[Block] = []
    for grid in tables.tradeoff(content.results, content.derived).values():
        parts += [f"### {grid.name}", "", grid, ""]
    return _with(
        parts[:-1], tables.prices_note(content.sweep.measures), "", "![Pareto front](front.png)"
    )


def _averaged(content: Content) -> list[Block]:
    """Return what is said of averages of weights."""
    return merged_text.blocks(content.averaged) if content.averaged else []


def _winners(content: Content) -> list[Block]:
    grids = tables.winners(content.sweep, content.derived)
    parts: list[Block] = []
    for grid in grids:
        parts += [f"### {grid.name}", "", grid, ""] if len(grids) > 1 else [grid, ""]
    return _with(parts[:-1], tables.WINNERS_NOTE)


def _columns(columns: Mapping[str, str], measure: str) -> list[Block]:
    """Return what each column means; measure: what the report is on."""
    lines: list[Block] = []
    for name, meaning in columns.items():
        lines.append(f"- `{name}`: {meaning.replace(DEFAULT, measure)}")
    return lines


def _tested(content: Content) -> dict[str, list[Block]]:
    """Return the sections of the tables."""
    results, derived, measures = content.results, content.derived, content.sweep.measures
    maps: list[Block] = ["![Language pairs](pairs.png)", "", "![Language bias](bias.png)"]
    if lacks_monolingual(results):
        return {"Monolingual retrieval": [EMPTY], "Language pairs and language bias": maps}
    languages_image = "![By language](languages.png)"
    return {
        "Verdicts, mean of languages": [verdicts.verdicts(results, MACRO)],
        "Verdicts, English": [verdicts.verdicts(results, ENGLISH)],
        f"{measures.mono.title} by language": _with(
            [verdicts.by_language(results)], languages_image
        ),
        "Winners and losers by language": _winners(content),
        "Languages trained on and not trained on": _with(
            [verdicts.unseen(results)], verdicts.unseen_note(measures)
        ),
        "Language pairs and language bias": maps,
        "Trade-off": _tradeoff(content),
        merged_text.TITLE: _averaged(content),
        "Shape of the curves": [tables.shape(derived)],
        f"The curve of {measures.mono.name} as a whole": _with(
            [tables.isotonic(derived)], "![Shape](shape.png)"
        ),
        "Questions won, tied and lost": _with(
            [verdicts.questions(results)], verdicts.questions_note(measures)
        ),
    }


def _meanings(results: pd.DataFrame) -> dict[str, str]:
    """Return what each column of the results means, by its name."""
    return {name: text for name, text in COLUMNS.items() if name in results.columns}


def _sections(content: Content) -> dict[str, list[Block]]:
    """Return what stands under each title; see `Content.sections`."""
    sweep, results = content.sweep, content.results
    return _tested(content) | {
        "How it was measured": list(_measured(sweep, results)),
        "What else changes with the ratio": _confounds(sweep, results),
        "Missing points": list(_missing(sweep)),
        "Provenance": _provenance(sweep),
        "Columns of results.csv": _columns(_meanings(results), sweep.measure),
        "Columns of derived.csv": _columns(DERIVED, sweep.measure),
        merged_text.COLUMNS_TITLE: merged_text.columns() if content.averaged else [],
    }


def markdown(content: Content) -> str:
    """Return the text of report.md."""
    sweep = content.sweep
    about = leading(content.results).setting
    title = f"# Sweep {escaping.markdown(sweep.name)}: {about} retrieval against the"
    parts: list[tuple[str, list[Block]]] = [
        (f"{title} cross-lingual share", [f"**{content.answer}**"]),
        ("", [f"- **Warning**: {escaping.markdown(warning)}." for warning in content.warnings]),
        ("", [f"- {sentence}" for sentence in content.findings]),
        ("", ["![The curve](curve.png)", "", _caption(sweep, content.results)]),
        ("## By ratio", [by_ratio(sweep, content.results)]),
    ]
    parts += [(f"## {name}", blocks) for name, blocks in content.sections.items()]
    return document(parts)
