"""The rows of one measure in one setting, and the scopes that means are taken over."""

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybrid_sweep.report import statistics as st
from hybrid_sweep.report.clusters import CLUSTER
from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.query_values import is_known, query_values

MACRO = "macro"
ENGLISH = "en"  # the scope of a language that has a column and a panel of its own
# Means over a part of the languages, on a collection with languages that no point was trained on.
TRAINED, UNSEEN = "trained", "unseen"
MEANS = (MACRO, TRAINED, UNSEEN)


@dataclass(frozen=True)
class Block:
    """One measure in one setting: values (points, rows), the domain and question of each row, and
    what the codes mean.

    `names` are the domains (languages or ordered pairs), `questions` the group ids, both sorted.
    `cluster` is that of each row, `clusters` the names of these, sorted; None and empty where
    questions are independent.
    """

    values: st.Array
    domain: NDArray[np.intp]
    group: NDArray[np.intp]
    names: tuple[str, ...]
    questions: NDArray[np.str_]
    cluster: NDArray[np.intp] | None = None
    clusters: NDArray[np.str_] | None = None

    @property
    def units(self) -> NDArray[np.str_]:
        """Return the names of what is sampled, in the order of the contributions."""
        return self.questions if self.clusters is None else self.clusters

    def contributions(self) -> tuple[st.Array, float]:
        """Return what each unit contributes to the mean over the domains, and the degrees of
        freedom of the units.
        """
        return st.contributions(self.values, self.domain, self.group, self.cluster)


def block(sweep: Sweep, setting: str, measure: str) -> Block | None:
    """Return the rows of one measure in one setting, points in the order of `sweep.finished`; None
    where there are none, or they do not give the measure.

    A row in which any point has no value is left out at all: passages that an approximate index did
    not find have no rank.
    """
    chosen = sweep.frame[sweep.frame["setting"] == setting]
    if not is_known(chosen, measure):
        return None
    values = query_values(chosen, measure).reshape(len(sweep.finished), -1)
    complete = np.isfinite(values).all(axis=0)
    if not complete.any():
        return None
    rows, values = chosen.iloc[: values.shape[1]][complete], values[:, complete]
    label = rows["query_lang"].astype(str)
    if setting == "cross-lingual":
        label = label + ">" + rows["passage_lang"].astype(str)
    names, domain = np.unique(label.to_numpy(dtype=str), return_inverse=True)
    questions, group = np.unique(rows["group_id"].to_numpy(dtype=str), return_inverse=True)
    whole = Block(values, domain, group, tuple(str(name) for name in names), questions)
    if CLUSTER not in rows.columns:
        return whole
    clusters, cluster = np.unique(rows[CLUSTER].to_numpy(dtype=str), return_inverse=True)
    return dataclasses.replace(whole, cluster=cluster, clusters=clusters)


def scopes(sweep: Sweep, whole: Block) -> dict[str, tuple[str, ...]]:
    """Return the scopes of a block in the order of the results, each with the domains that its mean
    is over.

    `TRAINED` has the languages, or pairs of two languages, that were trained on, `UNSEEN` the
    others. Neither is there where every domain is trained on or the languages trained on are not
    recorded.
    """
    seen = {name for name in whole.names if set(name.split(">")) <= set(sweep.trained_languages)}
    parts = {
        TRAINED: [n for n in whole.names if n in seen],
        UNSEEN: [n for n in whole.names if n not in seen],
    }
    split = {scope: tuple(domains) for scope, domains in parts.items() if domains}
    if not sweep.trained_languages or UNSEEN not in split:
        split = {}
    return {MACRO: whole.names} | split | {name: (name,) for name in whole.names}


def select(whole: Block, names: tuple[str, ...]) -> Block:
    """Return the rows of some of the domains, coded anew."""
    if names == whole.names:
        return whole
    chosen = np.flatnonzero(np.isin(whole.domain, [whole.names.index(name) for name in names]))
    kept, group = np.unique(whole.group[chosen], return_inverse=True)
    _, domain = np.unique(whole.domain[chosen], return_inverse=True)
    part = Block(whole.values[:, chosen], domain, group, names, whole.questions[kept])
    if whole.cluster is None or whole.clusters is None:
        return part
    kept, cluster = np.unique(whole.cluster[chosen], return_inverse=True)
    return dataclasses.replace(part, cluster=cluster, clusters=whole.clusters[kept])
