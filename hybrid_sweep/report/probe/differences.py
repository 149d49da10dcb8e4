"""probe.csv: what is lost and gained between r = 0 and r, and between two query languages, with
tested differences.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from hybrid_sweep.report.columns import frame_of
from hybrid_sweep.report.probe import single_cells
from hybrid_sweep.report.probe.cells import MISSED, SETTINGS, Cells, Ints, LanguageCell, Rule
from hybrid_sweep.report.probe.kinds import KINDS, levels, relation
from hybrid_sweep.report.probe.rows import (
    MACRO,
    MOST_LANGUAGES,
    Pair,
    ProbeRow,
    adjusted,
    churn,
    joined,
    row,
    tested,
)


def compared(cells: Cells, setting: str, ratio: float, rule: Rule) -> list[Pair]:
    """Return the cells of a setting with the success at r = 0 and at r, of the seeds that both
    have.
    """
    seeds = cells.common(ratio)
    if not seeds:
        return []
    before, after = cells.places(0.0, seeds), cells.places(ratio, seeds)
    pairs = []
    for cell in cells.of(setting):
        pairs.append((cell, cell.success(before, rule.at), cell.success(after, rule.at)))
    return pairs


def changes(cells: Cells, setting: str, ratio: float, rule: Rule) -> list[ProbeRow]:
    """Return what a ratio changes against r = 0 in one setting: together (macro), and by language
    or pair.
    """
    pairs = compared(cells, setting, ratio, rule)
    if not pairs:
        return []
    tested_rows = [row(pairs, rule), *single_cells.rows([pair[1:] for pair in pairs], rule)]
    scopes = [(MACRO, pairs)] + [(pair[0].name, [pair]) for pair in pairs]
    rows: list[ProbeRow] = []
    for (scope, part), its in zip(scopes, tested_rows, strict=True):
        pair = relation(part[0][0].query_lang, part[0][0].passage_lang) if ">" in scope else ""
        head: ProbeRow = {
            "part": "change",
            "ratio": ratio,
            "setting": setting,
            "scope": scope,
            "relation": pair,
        }
        rows.append({**head, **its, "churn": churn(part)})
    return rows[:1] + adjusted(rows[1:])


def languages(
    cells: Cells, setting: str, ratio: float, rule: Rule, pools: Mapping[str, int]
) -> list[ProbeRow]:
    """Return two query languages on the questions that both ask: in their own pools, or of the same
    passages.

    pools: number of passages by language, "*" of all; may lack any.
    """
    runs = list(cells.runs[ratio].values())
    asked = cells.of(setting)
    if setting == "cross-lingual" and too_many(asked):
        return []
    success = {id(cell): cell.success(runs, rule.at) for cell in asked}
    states = {name: rule.states(value) == MISSED for name, value in success.items()}
    rows: list[ProbeRow] = []
    compared_in: list[single_cells.Success] = []
    for one, other in combinations(asked, 2):
        if setting == "cross-lingual" and one.passage_lang != other.passage_lang:
            continue
        _, places, others = np.intersect1d(
            one.question, other.question, assume_unique=True, return_indices=True
        )
        if not len(places):
            continue
        compared_in.append((success[id(one)][:, places], success[id(other)][:, others]))
        missed = states[id(one)][places], states[id(other)][others]
        rows.append(
            {
                "part": "languages",
                "ratio": ratio,
                "setting": setting,
                "scope": one.query_lang,
                "against": other.query_lang,
                "passages": "" if setting == "monolingual" else one.passage_lang,
                "relation": relation(one.query_lang, other.query_lang),
                "both_missed": int((missed[0] & missed[1]).sum()),
                "both_expected": float(missed[0].mean() * missed[1].mean() * len(places)),
                "first_pool": pools.get(one.passage_lang, np.nan),
                "second_pool": pools.get(other.passage_lang, np.nan),
            }
        )
    for made, its in zip(rows, single_cells.rows(compared_in, rule), strict=True):
        made |= its
    return adjusted(rows)


def too_many(asked: Sequence[LanguageCell]) -> bool:
    """Return whether query languages are not compared on the passages of each third language.

    There would be more comparisons of two query languages than rows in the tables: their number
    grows with the cube of that of the languages.
    """
    return len({cell.query_lang for cell in asked}) > MOST_LANGUAGES


def _only(cell: LanguageCell, places: Ints) -> LanguageCell:
    """Return a stand-in for a cell with some of its questions; their queries are not looked at."""
    nothing = np.zeros(0, np.intp)
    return LanguageCell(
        cell.setting,
        cell.query_lang,
        cell.passage_lang,
        cell.question[places],
        nothing,
        (),
        nothing,
        np.zeros((0, 0)),
    )


def kinds(
    cells: Cells, setting: str, ratio: float, rule: Rule, kind: str, length: Mapping[str, int]
) -> list[ProbeRow]:
    """Return the change by kind of question, and how each level's differs from that of the first
    level there is.
    """
    pairs = compared(cells, setting, ratio, rule)
    marked = []
    for pair in pairs:
        labels = levels(kind, pair[0], length)
        if labels is not None:
            marked.append((pair, labels))
    parts: dict[str, list[Pair]] = {}
    for name in KINDS[kind][1]:
        for (cell, first, second), labels in marked:
            places = np.flatnonzero(labels == name)
            if len(places):
                pair = (_only(cell, places), first[:, places], second[:, places])
                parts.setdefault(name, []).append(pair)
    if len(parts) < 2:
        return []
    reference, *others = parts
    rows: list[ProbeRow] = []
    for name, part in parts.items():
        made: ProbeRow = {
            "part": "kind",
            "ratio": ratio,
            "setting": setting,
            "scope": name,
            "passages": kind,
            **row(part, rule),
            "churn": churn(part),
            "p": np.nan,
        }
        if name in others:
            made = {**made, "against": reference, **_contrast(part, parts[reference])}
        rows.append(made)
    return adjusted(rows)


def _contrast(one: Sequence[Pair], reference: Sequence[Pair]) -> ProbeRow:
    """Return the macro difference of some cells minus that of others, crossed as one mean with
    weights of both signs.
    """
    domains = len(one) + len(reference)
    parts = [(part, sign * domains / len(part)) for part, sign in ((one, 1), (reference, -1))]
    values = np.concatenate([weight * joined(part)[0] for part, weight in parts], axis=1)
    _, domain, group = joined([*one, *reference])
    estimate = tested(values, domain, group)
    return {
        "contrast": estimate["difference"],
        "contrast_low": estimate["low"],
        "contrast_high": estimate["high"],
        "p": estimate["p"],
    }


def differences(
    cells: Cells,
    ratios: Iterable[float],
    rule: Rule,
    pools: Mapping[str, int],
    length: Mapping[str, int],
) -> pd.DataFrame:
    """Return probe.csv as a frame: columns as in COLUMNS, rows by part, setting, ratio and scope;
    numbers to nine digits.
    """
    asked = sorted(ratios)
    # A table for each part: as rows of Python's they take ten times the memory.
    tables: list[pd.DataFrame] = []
    for setting in SETTINGS:
        whole: list[ProbeRow] = []  # macro: one family over the ratios
        parts: list[pd.DataFrame] = []
        for ratio in asked:
            made = changes(cells, setting, ratio, rule) if ratio > 0 else []
            if made:
                whole.append(made[0])
                parts.append(frame_of(made[1:], ProbeRow))
        for row_of_all, part in zip(adjusted(whole), parts, strict=True):
            tables += [frame_of([row_of_all], ProbeRow), part]
    for setting in SETTINGS:
        for ratio in asked:
            tables.append(frame_of(languages(cells, setting, ratio, rule, pools), ProbeRow))
    for setting in SETTINGS:
        for kind in KINDS:
            for ratio in asked:
                if ratio > 0:
                    its = kinds(cells, setting, ratio, rule, kind, length)
                    if its:
                        tables.append(frame_of(its, ProbeRow))
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else frame_of([], ProbeRow)
