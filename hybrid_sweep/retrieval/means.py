"""Means of a per-query table: over languages or pairs, over queries, and of the languages that were
trained on and the others apart.
"""

from collections.abc import Sequence

import pandas as pd

from hybrid_sweep.retrieval.evaluated_texts import POOL


def macro(table: pd.DataFrame) -> dict[str, float]:
    """Return the macro means over languages or pairs, per setting, and of monolingual RR@10 each
    language's.
    """
    means: dict[str, float] = {}
    for setting, part in table.groupby("setting"):
        cells = part.groupby(["query_lang", "passage_lang"])[_measures(table)].mean()
        means |= _means(f"{setting}", cells)
        if setting == "monolingual":
            for language, _ in cells.index:
                value = float(cells.loc[(language, language), "RR@10"])
                means[f"monolingual/{language}/RR@10"] = value
    return means


def summary(table: pd.DataFrame, trained: Sequence[str]) -> dict[str, float]:
    """Return the means for the eye and W&B, beside which the report works from the table: macro,
    micro, trained and unseen apart.

    SETTING/MEASURE: over languages or pairs, each counted once. micro/SETTING/MEASURE: over
    queries. Where some languages are not among those trained on, also SETTING/trained/MEASURE, over
    the languages or pairs that were trained on in full, and SETTING/unseen/MEASURE, over the
    others.
    """
    means = macro(table)
    seen = table["query_lang"].isin(trained) & table["passage_lang"].isin([*trained, POOL])
    for setting, part in table.groupby("setting"):
        means |= _means(f"micro/{setting}", part[_measures(table)])
        if not seen.all():
            inside = seen[part.index]
            for name, chosen in (("trained", part[inside]), ("unseen", part[~inside])):
                cells = chosen.groupby(["query_lang", "passage_lang"])[_measures(table)].mean()
                means |= _means(f"{setting}/{name}", cells)
    return means


def _measures(table: pd.DataFrame) -> list[str]:
    """Return the columns of a per-query table that hold a measure: all behind the ranks."""
    names = list(table.columns)
    return names[names.index("rank_max") + 1 :]


def _means(name: str, values: pd.DataFrame) -> dict[str, float]:
    return {f"{name}/{measure}": float(mean) for measure, mean in values.mean().dropna().items()}
