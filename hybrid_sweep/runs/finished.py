"""The one definition of a finished evaluation: run, report, probe, freeze and W&B ask here.

It is finished when its metrics.json names the run, was written for the per-query table that lies
beside it (by the digest of its bytes), and the records of the run can be read. Results of versions
without a digest must at least be whole tables of the run.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hybrid_sweep.retrieval import measures
from hybrid_sweep.utils import digests, records, safe_paths
from hybrid_sweep.utils.errors import UserError, key_of
from hybrid_sweep.utils.files import canonical

TABLE = "per_query.parquet"
CLUSTERS = "clusters.parquet"  # which questions belong together, where the collection knows it
KEY = ["setting", "query_lang", "passage_lang", "query_id"]  # what names a row within a run
STORED = ["RR@10", "AP", "nDCG@10", "R@100", "same@10"]
# What is read of a per-query table; the types are forced, since writers differ in theirs.
SCHEMA = pa.schema(
    [(name, pa.string()) for name in ["run_id", "collection", "group_id", *KEY]]
    + [(name, pa.int64()) for name in ["n_relevant", "rank_min", "rank_max"]]
    + [(name, pa.float64()) for name in ["ratio", *STORED]]
    + [("seed", pa.int64())]
)
NOT = "not finished"
DIGEST = "digest"  # the field of metrics.json with the digest of all others
MOST = 2**31  # of a rank: no collection has as many passages
CLUSTERED = pa.schema([("group_id", pa.string()), ("cluster", pa.string())])
SETTINGS = ("cross-lingual", "monolingual", "multilingual")

_digests = digests.Memory(None)  # of this process: a driver asks several times for the same points


class Unfinished(UserError):
    """An evaluation has no result that can be used; the message says why in a few words."""


def sealed(folder: Path, metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the content of metrics.json: the metrics, what it records of the files beside it, and
    its own digest.
    """
    whole = {**metrics, **seal(folder)}
    return {**whole, DIGEST: own_digest(whole)}


def own_digest(metrics: Mapping[str, Any]) -> str:
    """Return the digest of all that metrics.json holds but the digest itself."""
    rest = {name: value for name, value in metrics.items() if name != DIGEST}
    return digests.value_digest(rest)


def seal(folder: Path) -> dict[str, dict[str, str]]:
    """Return what metrics.json records of the files beside it: the digests of the per-query table,
    of the clusters and of the run files.
    """
    record = {"per_query": digests.seal(folder, [TABLE])}
    if (folder / CLUSTERS).is_file():
        record["clusters"] = digests.seal(folder, [CLUSTERS])
    if runs := sorted(path.name for path in (folder / "runs").glob("*") if path.is_file()):
        record["run_files"] = digests.seal(folder, [f"runs/{name}" for name in runs])
    return record


def metrics(run_dir: Path, folder: Path) -> dict[str, Any]:
    """Return the metrics of a finished evaluation.

    Args:
        run_dir: the folder of the run, named by its id.
        folder: of the evaluation: the run's own, or one below evaluations/.

    Raises:
        Unfinished: where it is not finished, or its files are not those that were written.
    """
    content = _records(run_dir, folder)
    if content.get("per_query") is None:
        _checked_once(run_dir.name, folder, canonical(_state(folder / TABLE)))
    for name in ("per_query", "clusters", "run_files"):
        if content.get(name) is not None:
            _check(folder, content[name])
    return content


def table(run_dir: Path, folder: Path) -> pa.Table:
    """Return the per-query table of a finished evaluation in SCHEMA, and behind its columns those
    of further measures (eval.measures); see `metrics`.
    """
    content = _records(run_dir, folder)
    for name in ("per_query", "clusters"):
        if content.get(name) is not None:
            _check(folder, content[name])
    return _read(run_dir.name, folder)


def clusters(folder: Path) -> dict[str, str] | None:
    """Return the cluster of each question that a finished evaluation has kept; None where it has
    kept none. A file that its metrics.json does not name beside the rows is none of it.

    Raises:
        UserError: for a file that cannot be read, or puts a question into two clusters.
    """
    path = folder / CLUSTERS
    content = records.metrics(folder) or {}
    is_named = content.get("clusters") is not None or content.get("per_query") is None
    if path.is_symlink() or not path.is_file() or not is_named:
        return None
    try:
        pairs = pq.read_table(path, columns=CLUSTERED.names).cast(CLUSTERED)
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise UserError(
            f"{path} cannot be read ({type(error).__name__})", key="clusters.unreadable"
        ) from error
    groups, names = (column.to_pylist() for column in pairs.columns)
    by_group = dict(zip(groups, names, strict=True))
    if len(by_group) < len(groups) or None in by_group or None in by_group.values():
        raise UserError(
            f"{path}: a question is there twice, or in no cluster", key="clusters.unreadable"
        )
    return by_group


def problem(run_dir: Path, folder: Path) -> str:
    """Return why an evaluation has no result that can be used; "" where it is finished."""
    try:
        metrics(run_dir, folder)
    except Unfinished as error:
        return str(error)
    return ""


def _records(run_dir: Path, folder: Path) -> dict[str, Any]:
    """Return metrics.json; raises Unfinished where it is not of this run, or a record beside it is
    broken.
    """
    try:
        safe_paths.check_links(run_dir)
        content = records.metrics(folder)
        if content is None or content["run_id"] != run_dir.name:
            raise Unfinished(NOT, key="evaluation.unfinished")
        if content.get(DIGEST, "") not in ("", own_digest(content)):
            raise Unfinished(
                "metrics.json: its content is not what was written", key="evaluation.altered"
            )
        records.provenance(run_dir)
        records.provenance(folder)
        records.config(run_dir)
    except Unfinished:
        raise
    except UserError as error:
        raise Unfinished(_short(error, run_dir), key=error.key) from error
    return content


def _check(folder: Path, record: object) -> None:
    try:
        digests.check(folder, record, _digests)
    except (digests.Damaged, OSError) as error:
        raise Unfinished(
            _short(error, folder), key=key_of(error, "evaluation.unreadable")
        ) from error


def _short(error: BaseException, folder: Path) -> str:
    """Return the reason without the folder, which the reader knows."""
    return str(error).replace(f"{folder}/", "")


def _state(path: Path) -> list[int]:
    try:
        stat = path.stat()
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


@functools.lru_cache(maxsize=4096)
def _checked_once(run_id: str, folder: Path, state: str) -> None:
    """Read a table that no digest names; one that did not change (state) is read once."""
    _read(run_id, folder)


def _read(run_id: str, folder: Path) -> pa.Table:
    path = folder / TABLE
    if path.is_symlink() or not path.is_file():
        raise Unfinished(f"{TABLE} is missing", key="evaluation.table_missing")
    try:
        schema = schema_of(path)
        rows = pq.read_table(path, columns=schema.names).select(schema.names).cast(schema)
        rows.validate(full=True)
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise Unfinished(
            f"{TABLE} cannot be read ({type(error).__name__})", key="evaluation.table_unreadable"
        ) from error
    if rows.num_rows == 0:
        raise Unfinished(f"{TABLE} has no rows", key="evaluation.table_empty")
    if rows["run_id"].unique().to_pylist() != [run_id]:
        raise Unfinished(f"{TABLE} belongs to another run", key="evaluation.table_of_other_run")
    if wrong := _impossible(rows):
        raise Unfinished(
            f"{TABLE} holds impossible values ({wrong})", key="evaluation.table_impossible"
        )
    return rows


def schema_of(path: Path) -> pa.Schema:
    """Return SCHEMA with the columns of further measures that a table has, sorted."""
    there = set(pq.read_schema(path).names) - set(SCHEMA.names)
    more = there & set(measures.OF_LANGUAGES)
    more |= {name for name in there if measures.parsed(name) is not None}
    return pa.schema([*SCHEMA, *((name, pa.float64()) for name in sorted(more))])


def _impossible(rows: pa.Table) -> str:
    """Return the name of the first column with a value that no evaluation writes; "" where there is
    none.
    """
    for name in (*KEY, "group_id"):
        if rows[name].null_count:
            return name
    if not set(rows["setting"].unique().to_pylist()) <= set(SETTINGS):
        return "setting"
    for name in ("n_relevant", "rank_min", "rank_max"):
        if _any(pc.or_(pc.less(rows[name], 1), pc.greater_equal(rows[name], MOST))):
            return name
    if _any(pc.less(rows["rank_max"], rows["rank_min"])):
        return "rank_max"
    names: list[str] = [*STORED, *rows.column_names[len(SCHEMA) :]]
    for name in names:
        most = MOST if name == "Max@R" else 1.0 + 1e-9  # a rank
        least = -1.0 - 1e-9 if name == measures.CORRELATION else 0.0
        if _any(pc.or_(pc.less(rows[name], least), pc.greater(rows[name], most))):
            return name
    return ""


def _any(condition: pa.ChunkedArray) -> bool:
    return bool(pc.any(condition, min_count=0).as_py())
