"""What the runs of one or several sweeps were made with: what may differ within a sweep, and what
does between sweeps.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from hybrid_sweep.config.schema import SCHEMAS, Config
from hybrid_sweep.report.load import Sweep
from hybrid_sweep.utils.errors import UserError

# What a sweep varies on purpose. The cross-lingual steps added per monolingual one follow from the
# ratio.
VARIED = ["batch.cross_lingual_ratio", "batch.added", "seed"]
# What changes a run by rounding at most: worth a warning, not a refusal.
MACHINE = [
    "trainer.accelerator",
    "trainer.devices",
    "trainer.nodes",
    "trainer.precision",
    "trainer.threads",
    "trainer.attention",
    "eval.batch_tokens",
    "eval.precision",
]
HARDWARE = ["machine", "system", "processor", "instructions", "gpu"]
LONGEST = 100  # characters of a value in a sentence
# The kinds of differences between sweeps, those that can change the numbers first.
SETTING, CONTENT, REST = "setting", "content", "rest"


@dataclass(frozen=True)
class Difference:
    """A key with the value that it has in each sweep, in the order of the sweeps; "" where it is
    not recorded.

    part: `SETTING` or `CONTENT` (a fingerprint) can change the numbers; `REST` (machine, versions,
    code) by rounding at most, unless the code was changed.
    """

    part: str
    key: str
    values: tuple[str, ...]


def flatten(tree: Any, prefix: str = "") -> dict[str, str]:
    """Return a nested dict as dotted keys and text; a list is one value."""
    if not isinstance(tree, dict):
        return {prefix: " ".join(map(str, tree)) if isinstance(tree, list) else str(tree)}
    flat: dict[str, str] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


@cache
def _keys(identity: object) -> frozenset[str]:
    """Return the keys of the schema whose fields have this `identity` in their metadata (True where
    they have none).
    """

    def walk(node: Any, prefix: str) -> Iterable[str]:
        for item in dataclasses.fields(node):
            value, key = getattr(node, item.name), f"{prefix}{item.name}"
            if dataclasses.is_dataclass(value):
                yield from walk(value, key + ".")
            elif item.metadata.get("identity", True) == identity:
                yield key

    kinds = [(Config(), ""), *((kind(), "data.") for kind in SCHEMAS["data"].values())]
    return frozenset(key for node, prefix in kinds for key in walk(node, prefix))


def matters(key: str) -> bool:
    """Return whether a key of a stored config can change the numbers of a run."""
    part = key.split(".", 2)
    if part[0] == "more" and len(part) == 3:
        key = f"data.{part[2]}"
    aside = _keys(False)
    return key not in aside and not key.startswith(tuple(f"{name}." for name in aside))


def _values(records: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the flattened keys of some records, each with the values that it has, sorted."""
    flat = [flatten(record) for record in records]
    return {
        key: sorted({record[key] for record in flat if key in record})
        for key in sorted(set().union(*flat))
    }


def _mixed(records: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Return the flattened keys that have several values among the records that hold them, with
    these values.
    """
    mixed = {key: values[:4] for key, values in _values(records).items() if len(values) > 1}
    return {key: " / ".join(_cut(value) for value in values) for key, values in mixed.items()}


def _cut(value: str) -> str:
    """Return a value as it can stand in a sentence: a stored one may have any length."""
    return value if len(value) <= LONGEST else f"{value[: LONGEST - 3]}..."


def _fingerprints(sweep: Sweep) -> list[dict[str, Any]]:
    """Return what names the content that each finished point read."""
    # BM25 is another model by its nature, and reads the main collection alone.
    lexical = {point.run_id for point in sweep.finished if point.kind == "bm25"}
    read = [
        {
            key: value
            for key, value in (sweep.provenance[point.run_id].get("fingerprints") or {}).items()
            if key == "collection" or point.run_id not in lexical
        }
        for point in sweep.finished
    ]
    measured = [sweep.metrics[point.run_id] for point in sweep.finished]
    return read + [
        {"further collection": record["fingerprint"]}
        for record in measured
        if "fingerprint" in record
    ]


def check(sweep: Sweep) -> list[str]:
    """Return warnings about points that were not made alike; raises UserError where a difference
    would pass for an effect of r.
    """
    config = _mixed(sweep.config[point.run_id] for point in sweep.trained)
    config = {key: values for key, values in config.items() if key not in VARIED and matters(key)}
    for key, values in config.items():
        if key not in MACHINE:
            raise UserError(
                f"the points differ in {key} ({values}), not only in ratio and seed: report one"
                " setting at a time",
                key="report.settings_mixed",
            )
    for key, values in _mixed(_fingerprints(sweep)).items():
        raise UserError(
            f"the points differ in their {key} ({values}): bring the sweep up to date, or report"
            " them apart",
            key="report.fingerprints_mixed",
        )
    made = [sweep.provenance[point.run_id] for point in sweep.finished]
    evaluated = [record["evaluated"] for record in made if record.get("evaluated")]
    mixed = {
        "machine settings": config,
        "machines": _mixed(_hardware(record) for record in made),
        "package versions": _mixed(record.get("versions") or {} for record in made),
        "states of the code": _mixed(record.get("git") or {} for record in made),
        "package versions of the evaluation": _mixed(
            record.get("versions") or {} for record in evaluated
        ),
        "states of the code of the evaluation": _mixed(
            record.get("git") or {} for record in evaluated
        ),
    }
    warnings = [
        f"the points mix {what}: "
        + "; ".join(f"{key} {values}" for key, values in list(keys.items())[:6])
        for what, keys in mixed.items()
        if keys
    ]
    if any((record.get("git") or {}).get("dirty") for record in [*made, *evaluated]):
        warnings.append("some points were made with changes to the code that are not committed")
    for record in [*made, *evaluated]:
        if reason := (record.get("git") or {}).get("refused"):
            warnings.append(f"the commit of some points is not known: {reason}")
            break
    return warnings


def _hardware(record: dict[str, Any]) -> dict[str, Any]:
    """Return what a run's provenance says of its machine, as far as results depend on it."""
    hardware = record.get("hardware") or {}
    return {key: hardware[key] for key in HARDWARE if key in hardware}


def settings(sweep: Sweep) -> dict[str, str]:
    """Return what the trained points were made with, beside what a sweep varies: the flattened keys
    that matter, as text.

    A field that came after older runs stands at its default where their configs lack it.
    """
    recorded = _values(sweep.config[point.run_id] for point in sweep.trained)
    kept = {
        key: " / ".join(values)
        for key, values in recorded.items()
        if matters(key) and key not in VARIED
    }
    added = flatten(dataclasses.asdict(Config()))
    # a dictionary that is empty by default, such as batch.pairs, has no key
    return {key: added[key] for key in _keys("unless default") if kept and key in added} | kept


def _content(sweep: Sweep) -> dict[str, str]:
    return {
        f"fingerprint of {key}": " / ".join(values)
        for key, values in _values(_fingerprints(sweep)).items()
    }


def _rest(sweep: Sweep) -> dict[str, str]:
    """Return versions, hardware and state of the code; nothing of it holds a path or the name of a
    machine.
    """
    made = [sweep.provenance[point.run_id] for point in sweep.finished]
    rest: dict[str, str] = {}
    for name, part, keys in [
        ("version", "versions", None),
        ("hardware", "hardware", HARDWARE),
        ("code", "git", None),
    ]:
        values = _values(record.get(part) or {} for record in made)
        rest |= {
            f"{name}: {key}": " / ".join(v)
            for key, v in values.items()
            if keys is None or key in keys
        }
    return rest


def _plain(value: str) -> str:
    """Return a value as YAML writes it."""
    return {"None": "null", "True": "true", "False": "false"}.get(value, value)


def differences(
    sweeps: Sequence[Sweep], trained_on: Sequence[Sweep] | None = None
) -> list[Difference]:
    """Return what differs between sweeps: settings, fingerprints, then machine, versions and code;
    each sorted by its key.

    Nothing that cannot change a number is listed, and so no path. On a further collection, where a
    config has lost the data that was trained on, `trained_on` holds the same sweeps on their main
    one.
    """
    main = [settings(sweep) for sweep in trained_on or sweeps]
    content = [_content(sweep) for sweep in sweeps]
    if trained_on is not None:
        content = [_content(first) | rows for first, rows in zip(trained_on, content, strict=True)]
    parts = [
        (SETTING, [{k: v for k, v in rows.items() if k not in MACHINE} for rows in main]),
        (CONTENT, content),
        (REST, [{k: v for k, v in rows.items() if k in MACHINE} for rows in main]),
        (REST, [_rest(sweep) for sweep in sweeps]),
    ]
    margins = [f"{sweep.margin:g}" for sweep in sweeps]
    rows = [Difference(SETTING, "sweep.margin", tuple(margins))] if len(set(margins)) > 1 else []
    for part, records in parts:
        for key in sorted(set().union(*records)):
            values = tuple(_plain(record.get(key, "")) for record in records)
            if len(set(values)) > 1:
                rows.append(Difference(part, key, values))
    return rows
