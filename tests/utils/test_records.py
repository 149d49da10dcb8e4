"""Stored JSON and YAML: broken is not absent, wrong types are one line, and a config is data."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hybrid_sweep.utils import records
from hybrid_sweep.utils.errors import UserError
from tests.refused import refused

POINT = {
    "run_id": "0a1b",
    "ratio": 0.5,
    "seed": 0,
    "kind": "trained",
    "also": ["other"],
    "overrides": ["seed=0"],
}
PLAN = {"name": "toy", "margin": 0.01, "command": "hybrid-sweep run -m", "points": [POINT]}
BIAS = {"languages": ["de"], "rank_distance": {"de": {"n": 1, "mean": None}}, "answer_rr": [[None]]}
METRICS = {
    "run_id": "0a1b",
    "monolingual/RR@10": 0.5,
    "passages": {"de": 3, "*": 3},
    "bias": BIAS,
    "cells": [{}],
}
VALUES: list[Any] = [
    None,
    True,
    3,
    -1,
    1e308,
    float("nan"),
    10**400,
    "x",
    "",
    "../x",
    "/x",
    "a/b",
    "\0",
    [],
    {},
    [[]],
    {"": 1},
]


def _written(folder: Path, name: str, value: Any) -> Path:
    (folder / name).write_text(value if isinstance(value, str) else json.dumps(value))
    return folder


def _paths(node: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at]
    inner = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    for key, value in inner:
        found += _paths(value, (*at, key))
    return found


def _changed(node: Any, at: tuple[Any, ...], value: Any) -> Any:
    if not at:
        return value
    copy = dict(node) if isinstance(node, dict) else list(node)
    copy[at[0]] = _changed(copy[at[0]], at[1:], value)
    return copy


def _one_line(error: UserError | str, name: str) -> bool:
    return "\n" not in str(error) and name in str(error) and str(error).isprintable()


@pytest.mark.parametrize(("name", "whole", "reader"), [
    ("points.json", PLAN, records.plan), ("metrics.json", METRICS, records.metrics),
])  # fmt: skip
def test_every_value_of_another_type_is_read_or_refused_in_one_line(
    tmp_path: Path, name: str, whole: dict[str, Any], reader: Any
) -> None:
    assert reader(_written(tmp_path, name, whole)) == whole
    refused = 0
    for at in _paths(whole):
        for value in VALUES:
            folder = _written(tmp_path, name, _changed(whole, at, value))
            try:
                reader(folder)
            except UserError as error:
                refused += 1
                assert _one_line(error, name), error
    assert refused > 100


@pytest.mark.parametrize("field", ["run_id", "also", "name"])
@pytest.mark.parametrize(
    "value", ["..", "../x", "/x", "a/b", "\0", "", "\x1b[31m", "\u202e", ".git", 3, None]
)
def test_no_name_leads_out_of_its_folder(tmp_path: Path, field: str, value: Any) -> None:
    point = POINT | {field: [value] if field == "also" else value} if field != "name" else POINT
    plan = PLAN | {"points": [point]} | ({"name": value} if field == "name" else {})
    kind = {"run_id": "names.run_id", "also": "names.collection", "name": "names.folder"}[field]
    key = kind if isinstance(value, str) else "records.field"
    with refused(key, "points.json", kind=records.Broken):
        records.plan(_written(tmp_path, "points.json", plan))


@pytest.mark.parametrize("name", ["run_id", "metrics", "evaluated"])
def test_no_name_of_a_published_run_leads_out(tmp_path: Path, name: str) -> None:
    record: dict[str, Any] = {"config": {}, "provenance": {}, "metrics": {"": METRICS}}
    assert records.published(_written(tmp_path, "runs.json", {"0a1b": record}))
    hostile = {
        "run_id": {"../../x": record},
        "metrics": {"0a1b": record | {"metrics": {"../../x": METRICS}}},
        "evaluated": {"0a1b": record | {"evaluated": {"../x": {}}}},
    }[name]
    key = "names.run_id" if name == "run_id" else "names.collection"
    with refused(key, "runs.json", kind=records.Broken):
        records.published(_written(tmp_path, "runs.json", hostile))


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ("", "records.json"),
        ("{", "records.json"),
        ("[]", "records.field"),
        ("3", "records.field"),
        ("null", "records.empty"),
        ('{"a": 1, "a": 2}', "records.json"),
        ("\x00", "records.json"),
        ("[" * 100_000, "records.json"),
        ('{"run_id": NaN}', "records.field"),
    ],
)
def test_absent_and_broken_are_not_the_same(tmp_path: Path, content: str, key: str) -> None:
    assert (
        records.plan(tmp_path) is None
        and records.metrics(tmp_path) is None
        and records.published(tmp_path) is None
    )
    for name, reader in (("points.json", records.plan), ("metrics.json", records.metrics)):
        with refused(key, kind=records.Broken) as refusal:
            reader(_written(tmp_path, name, content))
        assert _one_line(refusal.message, name)


def test_what_is_no_regular_file_is_refused_without_opening_it(tmp_path: Path) -> None:
    (tmp_path / "points.json").mkdir()
    os.mkfifo(tmp_path / "metrics.json")
    (tmp_path / "elsewhere").write_text(json.dumps({"run_id": "a", "fingerprints": {}}))
    (tmp_path / "identity.json").symlink_to("elsewhere")
    for reader in (records.plan, records.metrics, records.identity):
        with refused("records.not_regular", tmp_path, kind=records.Broken):
            reader(tmp_path)


def test_a_broken_status_only_tells_nothing(tmp_path: Path) -> None:
    for content in (
        "{",
        "[]",
        '{"state": 3}',
        '{"step": "x"}',
        '{"step": -1}',
        '{"encoded": 1e400}',
    ):
        assert records.status(_written(tmp_path, "status.json", content)) == {}
    assert (
        records.status(_written(tmp_path, "status.json", '{"state": "done", "step": 3}'))["step"]
        == 3
    )


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("a: ${oc.env:HOME}", "records.interpolation"),
        ("a: [1, '${oc.env:HOME}']", "records.interpolation"),
        ("a: {b: '${now:}'}", "records.interpolation"),
        ("'${oc.env:HOME}': 1", "records.interpolation"),
        ("a: 'x ${b} y'", "records.interpolation"),
        ("a: ???", "records.value_missing"),
        ("!!python/object/apply:os.system [touch x]", "records.yaml"),
        ("a: !!python/name:os.system ''", "records.yaml"),
        ("a: 2024-01-01", "records.value_kind"),
        ("a: !!binary aGk=", "records.value_kind"),
        ("a: !!set {x}", "records.value_kind"),
        ("- 1", "records.no_config"),
        ("a: {1: 2}", "records.field_name"),
        ("a: [", "records.yaml"),
        ("\x00", "records.yaml"),
        ("a: " + "[" * 5000, "records.yaml"),
    ],
)
def test_a_stored_config_is_data(tmp_path: Path, text: str, key: str) -> None:
    with refused(key, kind=records.Broken) as refusal:
        records.config(_written(tmp_path, "config.yaml", text))
    assert _one_line(refusal.message, "config.yaml")


def test_aliases_that_stand_for_billions_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with refused("records.too_many_values", "config.yaml", kind=records.Broken):
        records.config(_written(tmp_path, "config.yaml", "\n".join(lines)))


def test_an_absent_config_is_empty(tmp_path: Path) -> None:
    assert records.config(tmp_path) == {}
