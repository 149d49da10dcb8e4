"""Where a report reads which questions belong together: from the runs, which keep it of collections
that know it, or from a file that is given.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hybrid_sweep.report.clusters import CLUSTER
from hybrid_sweep.runs import finished
from hybrid_sweep.utils.errors import UserError

NONE = "none"  # in place of a file: every question by itself
KEPT = "kept with the runs"
LEFT_OUT = "not counted"  # known, and --clusters none was asked for
GROUP = "group"  # the columns of a file: the question in all its languages, and its cluster
CLUSTERS = "cluster"
COLLECTION = "collection"  # a third column, where the file says what it is of


@dataclass(frozen=True)
class ClusterChoice:
    """Which clusters a report counts: those that the runs have kept, those of a file, or none.

    given: by question; None where no file is given. name: of the file. collection: that it says it
    is of, "" where it says none.
    """

    is_off: bool = False
    given: Mapping[str, str] | None = None
    name: str = ""
    collection: str = ""


AS_KEPT = ClusterChoice()


def chosen(words: str | None) -> ClusterChoice:
    """Return what is asked by --clusters: None, "none", or the path of a CSV file.

    Raises:
        UserError: for a file that cannot be read, lacks the columns group and cluster, has an
            empty cell, puts a question into two clusters, or is of two collections.
    """
    if words is None:
        return AS_KEPT
    if words == NONE:
        return ClusterChoice(is_off=True)
    path = Path(words)
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            lines = list(csv.DictReader(stream))
    except (OSError, UnicodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"--clusters {path}: cannot be read ({reason})", key="clusters.file") from (
            error
        )
    if not lines or not {GROUP, CLUSTERS} <= set(lines[0]):
        raise UserError(
            f"--clusters {path}: must be a CSV file with the columns group and cluster, and a line"
            " for each question",
            key="clusters.columns",
        )
    given: dict[str, str] = {}
    for number, line in enumerate(lines, start=2):
        group, cluster = line[GROUP], line[CLUSTERS]
        if not group or not cluster:
            raise UserError(
                f"--clusters {path}: line {number} has no {GROUP if not group else CLUSTERS}",
                key="clusters.empty_cell",
            )
        if given.setdefault(group, cluster) != cluster:
            raise UserError(
                f"--clusters {path}: line {number}: question {group} is in cluster {given[group]}"
                f" and in {cluster}; a question is in one",
                key="clusters.two_of_one",
            )
    collections = sorted({line.get(COLLECTION) or "" for line in lines})
    if len(collections) > 1:
        raise UserError(
            f"--clusters {path}: is of the collections {' and '.join(map(repr, collections))}; give"
            " one file for each",
            key="clusters.two_collections",
        )
    return ClusterChoice(given=given, name=path.name, collection=collections[0])


def kept(places: Iterable[tuple[str, Path]]) -> dict[str, str] | None:
    """Return the cluster of each question that finished evaluations have kept; None where none has.

    places: run id and folder of each.

    Raises:
        UserError: where two of them say different things.
    """
    first: dict[str, str] | None = None
    owner = ""
    for run_id, place in places:
        mine = finished.clusters(place)
        if mine is None:
            continue
        if first is not None and mine != first:
            raise UserError(
                f"runs {owner} and {run_id} put the same questions into different clusters: give"
                " --clusters FILE, or none",
                key="clusters.runs_differ",
            )
        first, owner = mine, run_id
    return first


def with_clusters(
    frame: pd.DataFrame,
    choice: ClusterChoice,
    from_runs: Mapping[str, str] | None,
    must_use: bool = False,
    collection: str = "",
) -> tuple[pd.DataFrame, str]:
    """Return a frame of per-query rows with the column of clusters, and where these are from; the
    frame as it is where no clusters are counted, and "", or LEFT_OUT where some are known.

    Args:
        frame: with a column group_id.
        choice: what is asked for; a file that names another collection, or none of the questions,
            is about another one.
        from_runs: the cluster of each question that the runs have kept; None: none is known.
        must_use: whether such a file is an error.
        collection: that the rows are of, "" where that is not known.

    Raises:
        UserError: for clusters that hold some of the questions, and no others.
    """
    if choice.is_off:
        return frame, "" if from_runs is None else LEFT_OUT
    by_group, origin = from_runs, KEPT
    groups = frame["group_id"].astype("category")
    names = [str(name) for name in groups.cat.categories]
    is_other = bool(collection and choice.collection) and choice.collection != collection
    if is_other and must_use:
        raise UserError(
            f"--clusters {choice.name}: is of the collection {choice.collection}, these results are"
            f" of {collection}",
            key="clusters.other_collection",
        )
    given = choice.given
    if is_other:
        given = None
    if given is not None and any(name in given for name in names):
        by_group, origin = given, f"given in {choice.name}"
    elif given is not None and must_use:
        raise UserError(
            f"--clusters {choice.name}: names no question of these results, as {names[0]}",
            key="clusters.unknown",
        )
    if by_group is None:
        return frame, ""
    absent = [name for name in names if name not in by_group]
    if absent:
        raise UserError(
            f"clusters {origin}: {len(absent):,} of {len(names):,} questions are in none, the first"
            f" {absent[0]}; a question that stands alone is a cluster of its own",
            key="clusters.incomplete",
        )
    clusters = [by_group[name] for name in names]
    codes = pd.Series(clusters, dtype="category")
    column = pd.Categorical.from_codes(
        codes.cat.codes.to_numpy()[groups.cat.codes.to_numpy()], codes.cat.categories
    )
    return frame.assign(**{CLUSTER: column}), origin


def clusters_of(frames: Iterable[pd.DataFrame]) -> dict[str, str] | None:
    """Return the cluster of each question of two sweeps' frames; None where neither has any.

    Raises:
        UserError: where they put a question into different clusters.
    """
    by_group: dict[str, str] = {}
    for frame in frames:
        if CLUSTER not in frame.columns:
            continue
        pairs = frame[["group_id", CLUSTER]].drop_duplicates().astype(str)
        for group, cluster in pairs.itertuples(index=False, name=None):
            if by_group.setdefault(group, cluster) != cluster:
                raise UserError(
                    f"two sweeps put the question {group} into different clusters: give --clusters"
                    " FILE, or none",
                    key="clusters.sweeps_differ",
                )
    return by_group or None
