"""The per-query rows of a published sweep as files.

They are packed (what the first rank implies is null), narrow, and stored once: rows of a run that
another published folder beside this one holds already are not stored again. rows.json says where
they are:

    {"per_query.parquet": {"shape": ["84deefeb9744", ...]}}

Of transfer, which evaluates the runs of shape on one more collection, these are all rows of
per_query.parquet, so that it has no such file.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hybrid_sweep.runs import finished
from hybrid_sweep.utils import names, records
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import write_json

ELSEWHERE = "rows.json"
ROWS = finished.SCHEMA
# Rows of one text stand together, so that what the runs share is stored once.
ORDER = [(name, "ascending") for name in [*finished.KEY, "run_id"]]
# Ranks below 2^31 (finished.MOST) fit into four bytes; a stream for each byte of a number packs
# the high ones to almost nothing.
NARROW = ("n_relevant", "rank_min", "rank_max")
SPLIT = ("rank_min", "rank_max", "AP")


def file_of(name: str) -> str:
    """Return the file of the rows of a collection; "" is the one that was trained on."""
    return f"on-{name}.parquet" if name else "per_query.parquet"


def write(rows: pa.Table, path: Path) -> None:
    """Write rows of any number of runs, packed and sorted."""
    small = packed(rows.sort_by(ORDER))
    for name in NARROW:
        small = _set(small, name, small[name].cast(pa.int32()))
    pq.write_table(
        small,
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=[name for name in small.column_names if name not in SPLIT],
        column_encoding={name: "BYTE_STREAM_SPLIT" for name in SPLIT},
        data_page_size=2**23,
    )


def own(path: Path) -> pa.Table | None:
    """Return the rows of a published file, unpacked; None where there is none.

    Raises:
        UserError: where it cannot be used.
    """
    if not path.is_file():
        return None
    try:
        schema = finished.schema_of(path)
        rows = unpacked(pq.read_table(path).select(schema.names).cast(schema))
        rows.validate(full=True)
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise UserError(
            f"{path} cannot be read ({type(error).__name__})", key="freeze.table_unreadable"
        ) from error
    for run_id in _runs_in(rows):
        names.run_id(run_id, str(path))
    return rows


def read(folder: Path, name: str) -> pa.Table:
    """Return all rows of a published folder on a collection, those that are elsewhere too.

    Raises:
        UserError: where a file is missing or cannot be used.
    """
    file = file_of(name)
    parts = [rows for rows in [own(folder / file)] if rows is not None]
    for other, run_ids in elsewhere(folder).get(file, {}).items():
        parts.append(_part(folder.absolute().parent / other / file, run_ids, folder))
    if not parts:
        raise UserError(f"{folder / file} is missing", key="freeze.table_unreadable")
    shared = set.intersection(*[set(rows.column_names) for rows in parts])
    columns = [column for column in parts[0].column_names if column in shared]
    return pa.concat_tables([rows.select(columns) for rows in parts])


def elsewhere(folder: Path) -> dict[str, dict[str, list[str]]]:
    """Return, by file, the published folders beside this one that hold rows of its runs, and the
    ids of these runs.
    """
    path = folder / ELSEWHERE
    stored = records.stored_rows(folder)
    for others in stored.values():
        for other, run_ids in others.items():
            names.folder_name(other, str(path))
            for run_id in run_ids:
                names.run_id(run_id, str(path))
    return stored


def share(folder: Path, sources: Sequence[Path], collections: Iterable[str]) -> None:
    """Remove rows from a published folder that another one beside it holds, and write rows.json.

    Args:
        folder: the folder, all rows of which are in its own files.
        sources: published folders beside it; the first that holds a run counts.
        collections: names of collections, "" for the one that was trained on.

    Rows that differ in any value, or in their columns, stay.
    """
    stored: dict[str, dict[str, list[str]]] = {}
    for name in collections:
        file = file_of(name)
        rows = own(folder / file)
        if rows is None:
            continue
        moved: dict[str, list[str]] = {}
        for source in sources:
            other = own(source / file)
            left = set(_runs_in(rows)).difference(*moved.values())
            if other is not None and (same := _same_runs(rows, other, left)):
                moved[source.resolve().name] = same
        if moved:
            stored[file] = moved
            gone = [run_id for run_ids in moved.values() for run_id in run_ids]
            _put_rest(rows, gone, folder / file)
    if stored:
        write_json(folder / ELSEWHERE, stored)


def _put_rest(rows: pa.Table, gone: Sequence[str], path: Path) -> None:
    """Write the rows of all runs but some; no file where none is left."""
    rest = rows.filter(pc.invert(pc.is_in(rows["run_id"], pa.array(gone))))
    if rest.num_rows:
        write(rest, path)
    else:
        path.unlink()


def _same_runs(rows: pa.Table, other: pa.Table, run_ids: Iterable[str]) -> list[str]:
    """Return the ids of the runs that have the same rows in both tables, sorted."""
    if rows.column_names != other.column_names:
        return []
    same = []
    for run_id in sorted(set(run_ids) & set(_runs_in(other))):
        mine, theirs = (
            table.filter(pc.equal(table["run_id"], run_id)).sort_by(ORDER)
            for table in (rows, other)
        )
        if _identical(mine, theirs):
            same.append(run_id)
    return same


def _identical(mine: pa.Table, theirs: pa.Table) -> bool:
    """Return whether two tables have the same values, NaN being equal to itself."""
    return bool(mine.to_pandas().equals(theirs.to_pandas()))


def _part(path: Path, run_ids: Sequence[str], folder: Path) -> pa.Table:
    """Return the rows of some runs from the file of another published folder."""
    rows = own(path)
    gone = set(run_ids) - set(_runs_in(rows) if rows is not None else [])
    if rows is None or gone:
        raise UserError(
            f"{folder / ELSEWHERE}: {path} has no rows of {', '.join(sorted(gone)[:3])}: copy that"
            " published folder beside this one",
            key="freeze.rows_elsewhere",
        )
    return rows.filter(pc.is_in(rows["run_id"], pa.array(run_ids, pa.string())))


def _runs_in(rows: pa.Table) -> list[str]:
    return list(pc.unique(rows["run_id"]).to_pylist())


def packed(rows: pa.Table) -> pa.Table:
    """Return rows of `ROWS` without what `rank_min` says already: there the value is null.

    Lossless, and a fifth of the size.
    """
    for name, implied in _implied(rows).items():
        same = pc.and_(pc.equal(rows[name], implied), pc.is_valid(rows[name]))
        rows = _set(rows, name, pc.if_else(same, pa.scalar(None, rows[name].type), rows[name]))
    return rows


def unpacked(rows: pa.Table) -> pa.Table:
    """Return the rows that were packed; NaN stays NaN, since only null was implied."""
    for name, implied in _implied(rows).items():
        rows = _set(rows, name, pc.coalesce(rows[name], implied))
    return rows


def _implied(rows: pa.Table) -> Mapping[str, pa.ChunkedArray]:
    """Return what each measure is where the first relevant passage is the only one."""
    rank = rows["rank_min"]
    reciprocal = pc.divide(1.0, pc.cast(rank, pa.float64()))
    gain = pc.divide(1.0, pc.log2(pc.cast(pc.add(rank, 1), pa.float64())))
    top = pc.less_equal(rank, 10)
    return {
        "rank_max": rank,
        "RR@10": pc.if_else(top, reciprocal, 0.0),
        "AP": reciprocal,
        "nDCG@10": pc.if_else(top, gain, 0.0),
        "R@100": pc.if_else(pc.less_equal(rank, 100), 1.0, 0.0),
    }


def _set(rows: pa.Table, name: str, column: Any) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), name, column)
