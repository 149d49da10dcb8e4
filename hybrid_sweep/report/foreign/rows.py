"""Tidy rows of any systems: a value for each system, level of a factor, seed, query and measure.

    system, seed, query, measure, value     and a column of a factor, as ratio
    group, language                         where versions of a question, or languages, are told
    cluster                                 where questions belong together, as those of a paragraph

`language` is a language ("de"), an ordered pair ("de>en") or a language and the pool of all
("de>*"); `group` holds the versions of a question together. Rows that cannot be used are refused
in one line each.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from hybrid_sweep.report.clusters import CLUSTER
from hybrid_sweep.report.rows import ResultRow
from hybrid_sweep.retrieval.measures import parsed
from hybrid_sweep.utils import names
from hybrid_sweep.utils.errors import UserError

NEEDED = ("seed", "query", "measure", "value")
COLUMNS = ("system", "seed", "query", "group", "language", "measure", "value")
ONE_LANGUAGE = "und"  # undetermined, in ISO 639
READERS = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
# Columns of what is made of the rows, which neither a factor nor a measure can be called.
TAKEN = {column for column in ResultRow.__annotations__ if column != "ratio"} | {
    *("seed", "run_id", "query_id", "group_id", "query_lang", "passage_lang", "query", "value"),
    *("group", "language", "cluster", CLUSTER),
}
# What is text even where it looks like a number.
TEXTS = dict.fromkeys(("system", "query", "group", "language", "measure", "cluster"), str)


def read(paths: Sequence[Path]) -> pd.DataFrame:
    """Return the rows of CSV and Parquet files, and of those in folders, one below the other.

    Raises:
        UserError: for a file that is not there or cannot be read, or of another kind.
    """
    files: list[Path] = []
    for path in paths:
        inside = [p for p in path.iterdir() if p.suffix in READERS] if path.is_dir() else [path]
        files += sorted(inside)
    if not files:
        raise UserError(f"{paths[0]}: no .csv or .parquet file there", key="table.missing")
    return pd.concat([_read(path) for path in files], ignore_index=True)


def _read(path: Path) -> pd.DataFrame:
    if path.suffix not in READERS:
        raise UserError(f"{path}: must be a .csv or a .parquet file", key="table.kind")
    try:
        if path.suffix == ".csv":
            rows = pd.read_csv(path, dtype=TEXTS, keep_default_na=False, na_values=[""])
        else:
            rows = pd.read_parquet(path)
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise UserError(f"{path}: {reason}", key="table.unreadable") from error
    except (ValueError, UnicodeError, pd.errors.ParserError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} cannot be read: {reason}", key="table.unreadable") from error
    return rows


def tidy(table: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """Return a per-query table as tidy rows, without the measures that it has no value for.

    labels: the values of further columns, as ratio and seed.
    """
    wide = table.rename(columns={"query_id": "query", "group_id": "group"})
    is_own = wide["query_lang"] == wide["passage_lang"]
    pair = wide["query_lang"].astype(str) + ">" + wide["passage_lang"].astype(str)
    wide["language"] = wide["query_lang"].astype(str).where(is_own, pair)
    measures = [name for name in wide.columns if parsed(str(name)) is not None]
    about = ["query", "group", "language"]
    about += [name for name in ("cluster",) if name in wide.columns]
    rows = wide.melt(about, measures, "measure")
    return rows.dropna(subset="value").assign(**labels)


def checked(rows: pd.DataFrame, factor: str) -> pd.DataFrame:
    """Return the rows with all of `COLUMNS` and the factor, or refuse them.

    Args:
        rows: as they were read.
        factor: the name of the column whose levels are compared.

    Raises:
        UserError: for a missing column, no row, an empty cell, a value that is no finite number or
            out of its measure's range, a seed that is no whole number, and a row that is there
            twice.
    """
    lacking = [name for name in (*NEEDED, factor) if name not in rows.columns]
    if lacking:
        there = ", ".join(map(str, rows.columns))
        raise UserError(
            f"the table has no column {', '.join(lacking)}; it has {there}", key="table.columns"
        )
    if factor in TAKEN:
        raise UserError(
            f"--factor {factor}: the report has a column of that name; give yours another",
            key="table.factor_taken",
        )
    if rows.empty:
        raise UserError("the table has no row", key="table.empty")
    rows = rows.copy()
    if "group" not in rows.columns:
        rows["group"] = rows["query"]
    if "language" not in rows.columns:
        rows["language"] = ONE_LANGUAGE
    if "system" not in rows.columns:
        rows["system"] = "table"
    for name in (*COLUMNS, factor):
        if rows[name].isna().any():
            refuse(rows, rows[name].isna(), f"{name} is empty or NaN", key="table.empty_cell")
    values = pd.to_numeric(rows["value"], errors="coerce").to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        refuse(rows, ~np.isfinite(values), "value is no finite number", key="table.value")
    rows["value"] = values
    rows["seed"] = _seeds(rows)
    for name in ("system", "query", "group", "language", "measure"):
        rows[name] = rows[name].astype(str)
    if "cluster" in rows.columns:
        rows["cluster"] = _clusters(rows)
    _check_range(rows)
    _check_names(rows)
    if factor not in COLUMNS:
        # 0.5 and 0.50 are one level, also where they were read as texts
        numbers = pd.to_numeric(rows[factor], errors="coerce")
        rows[factor] = numbers if numbers.notna().all() else rows[factor]
    key = ["system", factor, "seed", "query", "language", "measure"]
    again = rows.duplicated(list(dict.fromkeys(key)))
    if again.any():
        refuse(rows, again, f"is there twice ({', '.join(key)})", key="table.repeated")
    return rows


def _seeds(rows: pd.DataFrame) -> pd.Series:
    """Return the seeds as whole numbers, or refuse them."""
    seeds = pd.to_numeric(rows["seed"], errors="coerce")
    whole = (seeds % 1 == 0) & (seeds >= 0)
    if not whole.all():
        refuse(rows, ~whole, "seed is no whole number of 0 or more", key="table.seed")
    # of larger floats several whole numbers are one
    most = 2**53 if pd.api.types.is_float_dtype(seeds) else 2**63 - 1
    if (seeds > most).any():
        refuse(rows, seeds > most, f"seed is larger than {most}", key="table.seed")
    return seeds.astype(np.int64)


def refuse(rows: pd.DataFrame, wrong: "pd.Series | np.ndarray", what: str, *, key: str) -> None:
    """Raise UserError for the first of some rows."""
    places = np.flatnonzero(np.asarray(wrong))
    first = rows.iloc[places[0]]
    about = ", ".join(f"{name} {first[name]}" for name in NEEDED if name in rows.columns)
    more = f", and {len(places) - 1:,} more rows" if len(places) > 1 else ""
    raise UserError(f"row {places[0] + 1:,} ({about}){more}: {what}", key=key)


def _clusters(rows: pd.DataFrame) -> pd.Series:
    """Return the cluster of each row as text; a row without one has that of its group, since files
    that were made before it was kept have none.
    """
    of_group = rows.groupby("group")["cluster"].transform("first")
    clusters = rows["cluster"].fillna(of_group)
    if clusters.isna().any():
        refuse(rows, clusters.isna(), "cluster is empty or NaN", key="table.empty_cell")
    wrong = clusters.astype(str) != of_group.astype(str)
    if wrong.any():
        refuse(rows, wrong, "its group is in another cluster, too", key="table.two_clusters")
    return clusters.astype(str)


def _check_range(rows: pd.DataFrame) -> None:
    is_known = rows["measure"].map(
        {name: parsed(name) is not None for name in set(rows["measure"])}
    )
    outside = is_known & ((rows["value"] < 0) | (rows["value"] > 1 + 1e-9))
    if outside.any():
        refuse(rows, outside, "value is outside 0 to 1, its measure's range", key="table.range")


def _check_names(rows: pd.DataFrame) -> None:
    for name in sorted(set(rows["measure"]) & {*TAKEN, "ratio"}):
        raise UserError(
            f"column measure: the report has a column {name}; give the measure another name",
            key="table.measure_taken",
        )
    for name in sorted(set(rows["language"])):
        query, arrow, passage = name.partition(">")
        names.language(query, "column language")
        if arrow and passage != "*":
            names.language(passage, "column language")
    for name in sorted(set(rows["system"])):
        names.folder_name(name, "column system")
