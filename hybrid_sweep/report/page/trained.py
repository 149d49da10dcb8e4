"""What the first screen says of the training: model, data, steps and seeds; and the table of
settings that differ from the defaults of conf/.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from hybrid_sweep.config.schema import config_dir
from hybrid_sweep.report.load import Sweep
from hybrid_sweep.report.render.cells import Cell
from hybrid_sweep.report.render.numbers import counted, listed
from hybrid_sweep.report.render.table import Column, Table, table
from hybrid_sweep.report.settings import flatten, settings
from hybrid_sweep.utils import names
from hybrid_sweep.utils.escaping import html

# The files of conf/ whose values are the defaults of a group; of data and model the chosen one's.
FILES = {"batch": "hybrid", "trainer": "cpu", "eval": "default"}
CHOSEN = ("data", "model")
LONGEST = 80  # characters of a value that are shown


def facts(sweep: Sweep) -> list[tuple[str, str]]:
    """Return what was trained, as names and values; what no config records is left out."""
    if not sweep.trained:
        return []
    config = sweep.config[sweep.trained[0].run_id]
    pairs = [
        ("model", _model(sweep, config)),
        ("trained on", _data(sweep, config)),
        ("evaluated on", _evaluated(sweep, config)),
        ("training", _training(config)),
        ("seeds", _seeds(sweep)),
    ]
    return [(name, value) for name, value in pairs if value]


def _part(config: Mapping[str, Any], group: str) -> Mapping[str, Any]:
    part = config.get(group)
    return part if isinstance(part, dict) else {}


@cache
def known_models() -> dict[str, str]:
    """Return what is known of weights by their fingerprint, besides it."""
    text = files("hybrid_sweep.report").joinpath("known_models.yaml").read_text("utf-8")
    return dict(yaml.safe_load(text))


def _model(sweep: Sweep, config: Mapping[str, Any]) -> str:
    """Return the encoder: its name, how many layers, and which weights."""
    model = _part(config, "model")
    if "name" not in model:
        return ""
    words = [_text(model["name"])]
    if model.get("layers") is not None:
        words.append(f"first {_text(model['layers'])} layers")
    elif "depth" in model:
        words.append(f"{_text(model['depth'])} layers from random weights")
    if model.get("lora_rank"):
        words.append(f"adapters of rank {_text(model['lora_rank'])}")
    provenance = sweep.provenance[sweep.trained[0].run_id]
    weights = (provenance.get("fingerprints") or {}).get("model")
    if weights:
        words.append(known_models().get(str(weights), f"weights {weights}"))
    return ", ".join(words)


def _data(sweep: Sweep, config: Mapping[str, Any]) -> str:
    name = sweep.trained_on or str(_part(config, "data").get("name", ""))
    if not name:
        return ""
    return f"{name} ({listed(sweep.trained_languages)})" if sweep.trained_languages else name


def _evaluated(sweep: Sweep, config: Mapping[str, Any]) -> str:
    """Return the collection that was searched, where it is another than was trained on."""
    data = _part(config, "data")
    if not sweep.trained_on or data.get("name") == sweep.trained_on:
        return ""
    languages = [str(language) for language in data.get("languages") or []]
    return f"{data.get('name')} ({listed(languages)})" if languages else str(data.get("name"))


def _training(config: Mapping[str, Any]) -> str:
    trainer, batch, model = (_part(config, group) for group in ("trainer", "batch", "model"))
    if "max_steps" not in trainer or "size" not in batch:
        return ""
    kind = "monolingual steps" if batch.get("budget") == "fixed_monolingual" else "steps"
    words = [f"{_text(trainer['max_steps'])} {kind} × {_text(batch['size'])} pairs"]
    if "lr" in trainer:
        words.append(f"learning rate {_text(trainer['lr'])}")
    if "temperature" in model:
        words.append(f"temperature {_text(model['temperature'])}")
    if batch.get("composition") == "per_example":
        words.append("languages drawn for each example")
    if batch.get("composition") == "per_language":
        words.append("each question with passages in several languages")
    return ", ".join(words)


def _seeds(sweep: Sweep) -> str:
    seeds = sorted({point.seed for point in sweep.points if point.kind == "trained"})
    ratios = {point.ratio for point in sweep.points if point.kind == "trained"}
    return f"{listed([str(seed) for seed in seeds])}; {counted(len(ratios), 'ratio')}"


def facts_html(sweep: Sweep) -> str:
    """Return the facts as a list of the page."""
    rows = [f"<div><dt>{name}</dt><dd>{html(value)}</dd></div>" for name, value in facts(sweep)]
    return f'<dl class="facts">{"".join(rows)}</dl>' if rows else ""


@cache
def _file(path: Path) -> dict[str, Any]:
    """Return a file of conf/ with those of the same group that it builds on."""
    content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    whole: dict[str, Any] = {}
    for entry in content.pop("defaults", []):
        # a name is a file beside this one; _self_ and the schema are none
        if isinstance(entry, str) and names.is_folder_name(entry):
            below = path.with_name(f"{entry}.yaml")
            whole |= _file(below) if below.is_file() else {}
    return whole | content


def defaults(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the defaults of a config by their flat keys: of data and model those of the file that
    it names.
    """
    chosen = {group: str(_part(config, group).get("name", "")) for group in CHOSEN}
    whole: dict[str, Any] = {}
    for group, name in {**FILES, **chosen}.items():
        path = config_dir() / group / f"{name}.yaml"
        if names.is_folder_name(name) and path.is_file():
            whole[group] = _file(path)
    return flatten(whole)


def changed_settings(sweep: Sweep) -> Table | None:
    """Return the settings that differ from the defaults, beside what the sweep varies; None where
    no config is recorded.
    """
    if not sweep.trained or not sweep.config[sweep.trained[0].run_id]:
        return None
    usual = defaults(sweep.config[sweep.trained[0].run_id])
    rows = []
    for key, value in sorted(settings(sweep).items()):
        if key in usual and not _equal(value, usual[key]):
            rows.append([Cell(key, code=True), Cell(_shown(value)), Cell(_shown(usual[key]))])
    if sweep.margin != 0.01:
        rows.append([Cell("sweep.margin", code=True), Cell(f"{sweep.margin:g}"), Cell("0.01")])
    columns = [Column(title, words=True) for title in ("setting", "here", "default")]
    return table("Settings that differ from the defaults", columns, rows)


def _equal(value: str, other: str) -> bool:
    """Return whether two values as text are the same, numbers by their value."""
    try:
        return float(value) == float(other)
    except ValueError:
        return value == other


def _text(value: object) -> str:
    """Return a value of a stored config, which may be anything, as it can stand in a line."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:g}"
    return _shown(str(value))


def _shown(value: str) -> str:
    value = {"None": "null", "True": "true", "False": "false"}.get(value, value)
    return value if len(value) <= LONGEST else f"{value[: LONGEST - 1]}…"
