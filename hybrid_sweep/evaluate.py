"""The verb `evaluate`: a saved model on any collection, as a run of zero steps: it too is kept, skipped and exact."""

import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hybrid_sweep import checks, launcher, progress, prompts, slots, stages, sweep
from hybrid_sweep import config as schema
from hybrid_sweep.arguments import say
from hybrid_sweep.compose import points
from hybrid_sweep.config import Config, ModelConfig
from hybrid_sweep.errors import UserError
from hybrid_sweep.store import read_json

MEASURES = ("RR@10", "AP", "nDCG@10", "R@100")


def evaluate_words(words: Sequence[str]) -> str:
    """Score a model and return the table to print; `words` are a run folder or model.path=FOLDER, then overrides.

    A run folder brings its own data and model settings; words such as data=..., eval.split=dev change them. A folder of
    sentence-transformers brings its own pooling and prompts. Raises UserError for what is not there, and where the
    worker failed.
    """
    config = config_of(list(words))
    machine = slots.this_machine([config], os.environ)
    slots.size(config, machine)  # refuses what the GPUs here do not suffice for
    ((*_, point),) = [sweep.expand([(tuple(words), config)], say)]
    sweep.check_outputs(config)
    with progress.watch(1) as view:
        launcher.run_points([point], machine=machine, view=view)
    if not sweep.is_done(point):
        raise UserError(f"evaluation failed: {sweep.state_of(point).reason}; see {point.run_dir / 'log.txt'}")
    tables = []
    for stage in stages.of(point.config, point.run_dir):
        found = table(read_json(stage.folder / "metrics.json"), stage.folder)
        tables.append(f"on {stage.name}:\n{found}" if stage.name else found)
    return "\n\n".join(tables)


def config_of(words: list[str]) -> Config:
    """The config of a run of zero steps that scores the model the words name."""
    # Nothing is trained, so a single language is no contradiction to a share of cross-lingual steps.
    alone = ["batch.cross_lingual_ratio=0"]
    folder = Path(words[0]) if words and "=" not in words[0] else None
    if folder is None:
        if not any(word.startswith("model=") for word in words) and any(
            word.startswith("model.path=") for word in words
        ):
            path = next(word for word in words if word.startswith("model.path=")).partition("=")[2]
            # Nothing is trained: there is no memory to be saved by cutting queries shorter than passages.
            offline = not any(re.fullmatch(r"model\.local_files_only=(false|no|off|0)", word.lower()) for word in words)
            words = [
                "model=pretrained",
                "model.query_length=128",
                *prompts.overrides(path, local_files_only=offline),
                *words,
            ]
        ((_, config),) = points([*words, *alone], multirun=False)
        return schema.untrained(config)
    if not (folder / "config.yaml").is_file():
        raise UserError(f"{folder}: no run there (no config.yaml); give a folder of outputs/runs, or model.path=FOLDER")
    run = checks.load(folder / "config.yaml")
    if run.trainer.max_steps > 0 and not (folder / "model" / "config.json").is_file():
        raise UserError(f"{folder}: its model was not kept (keep.model=false) or its training is not finished")
    ((_, config),) = points([*words[1:], *alone], multirun=False)
    if not any(word.startswith("data") for word in words[1:]):
        config = dataclasses.replace(config, data=run.data)
    if run.trainer.max_steps > 0:
        kept = {field.name: getattr(run.model, field.name) for field in dataclasses.fields(ModelConfig)}
        kept |= {"name": "saved", "path": str((folder / "model").absolute()), "layers": None, "local_files_only": True}
        kept |= {"lora_rank": 0, "lora_targets": []}  # the adapters are in the saved weights
        config = dataclasses.replace(config, model=ModelConfig(**kept))
    else:
        config = dataclasses.replace(config, model=run.model, seed=run.seed)
    return schema.untrained(config)


def table(metrics: dict[str, Any], folder: Path) -> str:
    """The means of a run by setting, macro over languages or pairs, to four decimals."""
    rows = [f"{'':14}" + "".join(f"{measure:>10}" for measure in MEASURES)]
    for setting in ("monolingual", "cross-lingual", "multilingual"):
        values = [metrics.get(f"{setting}/{measure}") for measure in MEASURES]
        if any(value is not None for value in values):
            rows.append(
                f"{setting:14}" + "".join(f"{value:10.4f}" if value is not None else f"{'-':>10}" for value in values)
            )
    return "\n".join([*rows, f"macro over languages and pairs; per query: {folder / 'per_query.parquet'}"])
