"""The JSON and YAML files of runs and sweeps, read with their types checked: an error is one line
with the file and field.

An absent file and a broken one are not the same: a function here returns None, or {}, for the first
and raises `Broken` for the second. What is read is data: no interpolation of a stored config is
resolved, no name leads out of its folder.
"""

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hybrid_sweep.utils import names
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.record_kinds import (
    PUBLISHED,
    STORED_ROWS,
    Described,
    Identity,
    MergedList,
    MergedPoint,
    Metrics,
    PointList,
    Provenance,
    Record,
    StatusRecord,
)

LARGEST = 512 * 2**20  # bytes of a JSON file that is read: the published sweeps have 3 MB
LARGEST_CONFIG = 2**20  # bytes of a stored config
# values of a stored config: the aliases of a small YAML file can stand for billions
NODES = 100_000
DEPTH = 50  # of nested values in a stored config
SCALARS = (str, int, float, bool, type(None))


class Broken(UserError):
    """A stored file is there and cannot be used; the message is one line."""


def plan(sweep_dir: Path) -> dict[str, Any] | None:
    """Return points.json of a sweep; None where there is none.

    Raises:
        Broken: where it does not parse, or a field has another type, or names what cannot be a run
            or a collection.
    """
    return _record(sweep_dir / "points.json", PointList)


def points(sweep_dir: Path) -> dict[str, Any]:
    """Return points.json of a sweep; raises UserError where there is none, see `plan`."""
    content = plan(sweep_dir)
    if content is None:
        raise UserError(
            f"{sweep_dir}: no sweep there (no points.json); hybrid-sweep run -m makes one",
            key="sweep.missing",
        )
    return content


def merged(sweep_dir: Path) -> list[dict[str, Any]]:
    """Return the averages of weights in merged.json of a sweep; [] where there is none.

    Raises Broken.
    """
    content = _record(sweep_dir / "merged.json", MergedList) or {"points": []}
    return list(content["points"])


def merge(run_dir: Path) -> dict[str, Any] | None:
    """Return merge.json of a run, what it is the average of; None where it is of no others.

    Raises Broken.
    """
    return _record(run_dir / "merge.json", MergedPoint)


def metrics(folder: Path) -> dict[str, Any] | None:
    """Return metrics.json of a run or of one of its evaluations; None where there is none.

    Raises Broken.
    """
    return _record(folder / "metrics.json", Metrics)


def provenance(folder: Path) -> dict[str, Any]:
    """Return provenance.json of a run or of one of its evaluations; {} where there is none.

    Raises Broken.
    """
    return _record(folder / "provenance.json", Provenance) or {}


def identity(run_dir: Path) -> dict[str, Any]:
    """Return identity.json of a run; raises Broken where it is absent, or cannot be used."""
    content = _record(run_dir / "identity.json", Identity)
    if content is None:
        raise Broken(
            f"{run_dir / 'identity.json'} is missing: the run was not started by hybrid-sweep run",
            key="records.identity_missing",
        )
    return content


def status(run_dir: Path) -> dict[str, Any]:
    """Return status.json of a run; {} where it is absent or broken, since it only tells how far the
    run has come.
    """
    try:
        return _record(run_dir / "status.json", StatusRecord) or {}
    except Broken:
        return {}


def published(folder: Path) -> dict[str, dict[str, Any]] | None:
    """Return runs.json of a published sweep, the record of each run by its id; None where there is
    none. Raises Broken.
    """
    path = folder / "runs.json"
    value = read(path)
    if value is None:
        return None
    _checked(path, value, PUBLISHED.validate_python)
    for run_id, record in value.items():
        data(record["config"], f"{path}: {run_id}.config")
    return dict(value)


def stored_rows(folder: Path) -> dict[str, dict[str, list[str]]]:
    """Return rows.json of a published sweep: by file, the folders beside it that hold rows, and the
    ids of their runs; {} where there is none. Raises Broken.
    """
    path = folder / "rows.json"
    value = read(path)
    if value is None:
        return {}
    _checked(path, value, STORED_ROWS.validate_python)
    return dict(value)


def config(run_dir: Path) -> dict[str, Any]:
    """Return config.yaml of a run as plain values, nothing in it resolved; {} where there is none.

    Raises:
        Broken: where it does not parse, is too large, or holds an interpolation or anything that is
            no plain value.
    """
    import yaml

    path = run_dir / "config.yaml"
    text = _text(path, LARGEST_CONFIG)
    if text is None:
        return {}
    try:
        # Where it is built, the loader in C takes a tenth of the time.
        value = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Broken(f"{path} is no YAML ({_first_line(error)})", key="records.yaml") from error
    if not isinstance(value, dict):
        raise Broken(f"{path} holds no config", key="records.no_config")
    data(value, str(path))
    return value


def described(run_dir: Path) -> dict[str, Any]:
    """Return config.yaml of a run with all that its mirror names; raises Broken where some of it is
    missing.
    """
    content = config(run_dir)
    _checked(run_dir / "config.yaml", content, Described.model_validate)
    return content


def data(value: object, where: str, *, complete: bool = True) -> None:
    """Check that a stored config is data alone.

    Args:
        value: nested mappings, lists and scalars.
        where: file, for the error.
        complete: refuse missing values (`???`), too.

    Raises:
        Broken: for an interpolation (`${...}`, which would be resolved with the environment of the
            reader), other types, keys that are no text, and more than NODES values or DEPTH levels.
    """
    left = NODES
    waiting = [("", value, 0)]
    while waiting:
        key, node, depth = waiting.pop()
        left -= 1
        if left < 0 or depth > DEPTH:
            raise Broken(
                f"{where} holds too many values to be a config", key="records.too_many_values"
            )
        if isinstance(node, dict):
            for name, inner in node.items():
                if not isinstance(name, str):
                    raise Broken(
                        f"{where}: {names.shown(name)} is no key", key="records.field_name"
                    )
                _plain_text(name, where, key)
                waiting.append((f"{key}.{name}" if key else name, inner, depth + 1))
        elif isinstance(node, list):
            waiting += [(key, inner, depth + 1) for inner in node]
        elif not isinstance(node, SCALARS):
            raise Broken(f"{where}: {names.shown(key)} is no plain value", key="records.value_kind")
        elif isinstance(node, str):
            if complete and node == "???":
                raise Broken(
                    f"{where}: {names.shown(key)} has no value", key="records.value_missing"
                )
            _plain_text(node, where, key)


def _plain_text(text: str, where: str, key: str) -> None:
    if "${" in text:
        raise Broken(
            f"{where}: {names.shown(key)} holds {names.shown(text)}; stored configs are not"
            " interpolated",
            key="records.interpolation",
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Broken(f"{where}: {names.shown(key)} is no text", key="records.encoding") from error


def read(path: Path) -> Any:
    """Return the value in a JSON file; None where the file is absent.

    Raises:
        Broken: where it is no regular file, is larger than LARGEST, does not parse, or names a key
            twice.
    """
    text = _text(path, LARGEST)
    if text is None:
        return None
    try:
        value = json.loads(text, object_pairs_hook=_once)
        if "\\ud" in text.lower():  # half a surrogate pair cannot be written again
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Broken(f"{path} is no JSON ({_first_line(error)})", key="records.json") from error
    if value is None:
        raise Broken(f"{path} holds nothing", key="records.empty")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        raise ValueError("a key occurs twice")
    return mapping


def _text(path: Path, largest: int) -> str | None:
    """Return the text of a regular file; None where there is none."""
    try:
        entry = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise Broken(
            f"{path} cannot be read ({_first_line(error)})", key="records.unreadable"
        ) from error
    if not stat.S_ISREG(entry.st_mode):  # a link could lead anywhere
        raise Broken(f"{path} is no regular file", key="records.not_regular")
    if entry.st_size > largest:
        raise Broken(
            f"{path} has {entry.st_size:,} bytes; at most {largest:,} are read",
            key="records.too_large",
        )
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise Broken(
            f"{path} cannot be read ({_first_line(error)})", key="records.unreadable"
        ) from error


def _record(path: Path, kind: type[Record]) -> dict[str, Any] | None:
    """Return the object in a JSON file, its fields checked by a model; None where there is no
    file.
    """
    value = read(path)
    if value is None:
        return None
    _checked(path, value, kind.model_validate)
    return dict(value)


def _checked(path: Path, value: object, check: Any) -> None:
    try:
        check(value)
    except ValidationError as error:
        first: Mapping[str, Any] = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        reason = str(first["msg"]).removeprefix("Value error, ")
        raise Broken(f"{path}: {names.shown(place)}: {reason}", key="records.field") from error
    except UserError as error:
        raise Broken(f"{path}: {error}", key=error.key) from error


def _first_line(error: BaseException) -> str:
    text = str(getattr(error, "strerror", None) or error).strip()
    lines = text.splitlines() or [type(error).__name__]
    return ascii(lines[0])[1:-1][:120]
