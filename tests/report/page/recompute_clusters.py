"""What clusters of questions contribute to a mean, written out a domain and a cluster at a time.

Knows nothing of hybrid_sweep. The formulas are those of docs/statistics.md, "Questions in clusters".
"""

import math

import numpy as np
import pandas as pd


def of_clusters(rows: pd.DataFrame, values: np.ndarray) -> tuple[pd.DataFrame, float]:
    """What each cluster contributes, a row per run, and the clusters' df: docs/statistics.md,
    "Questions in clusters", a domain and a cluster at a time.
    """
    clusters, domains = sorted(rows["cluster"].unique()), sorted(rows["domain"].unique())
    C, L = len(clusters), len(domains)
    y = np.zeros((len(values), C))
    for domain in domains:
        mine = (rows["domain"] == domain).to_numpy()
        mean = values[:, mine].mean(axis=1)
        n = int(mine.sum())
        w = [int((mine & (rows["cluster"] == c)).sum()) / n for c in clusters]
        squares, cubes = sum(v**2 for v in w), sum(v**3 for v in w)
        lacking = 1 - 2 * cubes / squares + squares if max(w) < 1 else 1.0
        k = math.sqrt((C - 1) / C / lacking)
        for place, c in enumerate(clusters):
            at = mine & (rows["cluster"] == c).to_numpy()
            left = (values[:, at] - mean[:, None]).sum(axis=1)
            y[:, place] += (mean + C * k * left / n) / L
    size = weights_of(rows).groupby(rows.groupby("question")["cluster"].first()).sum()
    return pd.DataFrame(y, columns=clusters), float(size.sum() ** 2 / (size**2).sum() - 1)


def weights_of(rows: pd.DataFrame) -> pd.Series:
    """The squared weights of each question's rows, summed."""
    n = rows.groupby("domain").size()
    return (1 / rows["domain"].map(n) ** 2).groupby(rows["question"]).sum()


def effective(rows: pd.DataFrame) -> float:
    """The effective number of questions."""
    size = weights_of(rows)
    return float(size.sum() ** 2 / (size**2).sum())
