"""The verb `evaluate`: a saved model on any collection, as a run of zero steps: it too is kept,
skipped and exact.
"""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hybrid_sweep.commands.labels import keep_labelled, labels_of
from hybrid_sweep.config import schema, validate
from hybrid_sweep.config.compose import points
from hybrid_sweep.config.schema import (
    Config,
    DataConfig,
    ModelConfig,
    SyntheticData,
    TinyModel,
    cache_dir,
)
from hybrid_sweep.config.words import assignment, is_place, keys
from hybrid_sweep.inputs import prepare
from hybrid_sweep.models import prompts
from hybrid_sweep.models.folder import local_folder, may_be_on_the_hub
from hybrid_sweep.models.layout import read_layout
from hybrid_sweep.models.stated import stated_length
from hybrid_sweep.runs import stages, trained
from hybrid_sweep.sweeps import point_list, progress, scheduler, slots
from hybrid_sweep.utils import digests, records, safe_paths
from hybrid_sweep.utils.arguments import say
from hybrid_sweep.utils.errors import UserError

GENERATED = 100_000  # groups of a synthetic collection that a stored config may have generated
MEASURES = ("RR@10", "AP", "nDCG@10", "R@100")


def evaluate_words(words: Sequence[str]) -> str:
    """Score a model and return the table to print; `words` are a run folder or model.path=FOLDER,
    then overrides, and labels (label.NAME=VALUE) by which its rows are kept for a report.

    A run folder brings its own data and model settings; words such as data=..., eval.split=dev
    change them. A folder of sentence-transformers brings its own pooling and prompts. Raises
    UserError for what is not there, and where the worker failed.
    """
    labels, words = labels_of(words)
    config = config_of(list(words))
    machine = slots.this_machine([config], os.environ)
    slots.size(config, machine)  # refuses what the GPUs here do not suffice for
    ((*_, point),) = [point_list.expand([(tuple(words), config)], say)]
    point = dataclasses.replace(point, title=_title(words, config))
    point_list.check_outputs(config)
    with progress.watch(1) as view:
        scheduler.run_points([point], machine=machine, view=view)
    if not point_list.is_done(point):
        reason = point_list.state_of(point).reason
        raise UserError(
            f"evaluation failed: {reason}; see {point.run_dir / 'log.txt'}",
            key="evaluation.failed",
        )
    tables = []
    for stage in stages.of(point.config, point.run_dir):
        shown = table(records.metrics(stage.folder) or {}, stage.folder)
        tables.append(f"on {stage.name}:\n{shown}" if stage.name else shown)
    if labels:
        tables.append(keep_labelled(point.run_dir, Path(config.paths.outputs), labels))
    return "\n\n".join(tables)


def _title(words: Sequence[str], config: Config) -> str:
    """Return what is evaluated, in words; "" for a model that is named by a group alone."""
    if words and is_place(words[0]):
        folder = Path(words[0]).absolute()
        is_trained = config.model.name == "saved"
        return f"evaluation of the {'trained' if is_trained else 'untrained'} run {folder.name}"
    path = config.model.path
    return f"evaluation of {path}" if path else ""


LONGEST = 128  # tokens of a text where no word says another length
# Nothing is trained, so a single language is no contradiction to a share of cross-lingual steps.
ALONE = "batch.cross_lingual_ratio=0"


def config_of(words: list[str]) -> Config:
    """Return the config of a run of zero steps that scores the model the words name."""
    if words and is_place(words[0]):
        words, (composed, config) = words[1:], _of_run(Path(words[0]), words[1:])
    else:
        composed, config = _of_words(words)
    scored = schema.untrained(config)
    _check_effect(words, composed, scored)
    return scored


def _check_effect(words: Sequence[str], composed: Config, scored: Config) -> None:
    """Refuse a word whose value is not that of the evaluation: of training, or of the model of a
    run, which is what it is.
    """
    absent = object()
    for key, value in keys(words).items():
        group, _, name = key.rpartition(".")
        asked, used = (
            getattr(getattr(config, group, None) if group else config, name, absent)
            for config in (composed, scored)
        )
        if asked is not absent and asked != used:
            raise UserError(
                f"{key}={value}: has no effect on an evaluation; leave it out",
                key="option.no_effect",
            )


def _of_words(words: list[str]) -> tuple[Config, Config]:
    """Return the config that words compose, and that of the model which they name: a folder brings
    its own pooling and prompts.
    """
    typed = keys(words)
    if "model" in typed or "model.path" not in typed:
        ((_, composed),) = points([ALONE, *words], multirun=False)
        return composed, composed
    # Nothing is trained: there is no memory to be saved by cutting queries shorter than passages.
    ((_, composed),) = points(
        ["model=pretrained", f"model.query_length={LONGEST}", ALONE, *words], multirun=False
    )
    model = composed.model
    assert model.path is not None, "a word names it"
    stated = prompts.fields(model.path, local_files_only=model.local_files_only)
    fresh: dict[str, Any] = {
        key: value for key, value in stated.items() if f"model.{key}" not in typed
    }
    untyped = [key for key in ("query_length", "passage_length") if f"model.{key}" not in typed]
    if untyped and (length := _length(model)) is not None:
        fresh |= dict.fromkeys(untyped, length)
    config = dataclasses.replace(composed, model=dataclasses.replace(model, **fresh))
    validate.check_stored(config)
    return composed, config


def _length(model: ModelConfig) -> int | None:
    """Return at how many tokens the texts of a model are cut by what its folder states, up to
    LONGEST; said aloud, and None where the folder says nothing else than that.
    """
    try:
        length = stated_length(read_layout(local_folder(model)).transformer)
    except UserError:  # said where the model is read
        return None
    if length is None or length == LONGEST:
        return None
    cut = min(length, LONGEST)
    say(
        f"texts are cut at {cut} tokens: the model states {length}, and {LONGEST} are the most"
        " unless model.query_length and model.passage_length say more"
    )
    return cut


def _of_run(folder: Path, words: list[str]) -> tuple[Config, Config]:
    """Return the config that words compose, and that which scores the model of a run.

    The run's config decides what the model is and which collection it was made for. It permits
    nothing, and no path in it is followed: what needs one is asked for in the words of the command.
    """
    if not (folder / "config.yaml").is_file():
        raise UserError(
            f"{folder}: no run there (no config.yaml); give a folder of outputs/runs, or"
            " model.path=FOLDER",
            key="run.missing",
        )
    safe_paths.check_links(folder)
    run = validate.stored(folder)
    typed = keys(words)
    # With another model a path of the words would have no effect.
    if "model.path" in typed:
        reads_folder = ["model=pretrained", "model.path=."]
    else:
        reads_folder = []
    ((_, composed),) = points([*reads_folder, ALONE, *words], multirun=False)
    config = composed
    if run.trainer.max_steps > 0:
        # A folder that was copied may have another name than the run.
        trained.check(
            folder, digests.memory_of(cache_dir(config), folder), records.identity(folder)["run_id"]
        )
    if not any(key.split(".")[0] == "data" for key in typed):
        config = dataclasses.replace(config, data=_data(folder, run, cache_dir(config)))
        check_prepared(folder, config)
    permitted = {name: getattr(config.model, name) for name in validate.PERMISSIONS.values()}
    if run.trainer.max_steps > 0:
        kept = {
            field.name: getattr(run.model, field.name) for field in dataclasses.fields(ModelConfig)
        }
        kept |= {"name": "saved", "path": str((folder / "model").absolute()), "layers": None}
        kept |= {"lora_rank": 0, "lora_targets": []}  # the adapters are in the saved weights
        kept |= {**permitted, "local_files_only": True}
        config = dataclasses.replace(config, model=ModelConfig(**kept))
    else:
        if reads_folder:
            path = composed.model.path
        else:
            path = _model_path(folder, run)
        if isinstance(run.model, TinyModel):  # made of its seed
            path = None
        model = dataclasses.replace(run.model, path=path, **permitted)
        config = dataclasses.replace(config, model=model, seed=run.seed)
    validate.check_stored(config)
    return composed, config


def _data(folder: Path, run: Config, cache: Path) -> DataConfig:
    """Return the collection that a run was made for, no stored path of it followed.

    One that was built from files of the user's is opened in the cache, where its fingerprint names
    it.
    """
    data = dataclasses.replace(run.data, path=None, negatives=None, mirror=None)
    if run.data.path is None:
        return data
    fingerprint = str(records.identity(folder)["fingerprints"].get("collection"))
    built = prepare.built(cache, fingerprint)
    if built is None:
        word = assignment("data.path", run.data.path)
        raise UserError(
            f"{folder}: its collection {run.data.name} ({fingerprint}) is not in the cache, and a"
            f" path in a stored config is not followed: add data={run.data.name} {word} to the"
            f" command, if you trust it{_from_where(run.data.path)}",
            key="stored.data_path",
        )
    return dataclasses.replace(data, path=str(built))


def _from_where(path: str) -> str:
    """Return where a stored path leads from; "" for one that leads from anywhere."""
    if Path(path).expanduser().is_absolute():
        return ""
    return " (the path leads from the folder in which the run was started)"


def check_prepared(folder: Path, config: Config) -> None:
    """Raise UserError where the collection of a run would have to be fetched, or generated at any
    size.
    """
    data = config.data
    if isinstance(data, SyntheticData):
        if data.groups > GENERATED:
            raise UserError(
                f"{folder}: its config asks for {data.groups:,} generated groups; add"
                " data=synthetic to the command",
                key="stored.generated",
            )
    elif not prepare.is_prepared(config):
        raise UserError(
            f"{folder}: its collection {data.name} is not prepared on this machine, and a stored"
            f" config fetches nothing: hybrid-sweep data prepare {data.name}",
            key="stored.data_not_prepared",
        )


def _model_path(folder: Path, run: Config) -> str | None:
    """Return the name on the hub of the pretrained model of an untrained run."""
    path = run.model.path
    if path is None or (may_be_on_the_hub(path) and not Path(path).exists()):
        return path
    raise UserError(
        f"{folder}: its model lies at a path, and a path in a stored config is not followed: add "
        f"{assignment('model.path', path)} to the command, if you trust it{_from_where(path)}",
        key="stored.model_path",
    )


def table(metrics: dict[str, Any], folder: Path) -> str:
    """Return the means of a run by setting, macro over languages or pairs, to four decimals."""
    rows = [f"{'':14}" + "".join(f"{measure:>10}" for measure in MEASURES)]
    for setting in ("monolingual", "cross-lingual", "multilingual"):
        values = [metrics.get(f"{setting}/{measure}") for measure in MEASURES]
        if any(value is not None for value in values):
            rows.append(
                f"{setting:14}"
                + "".join(
                    f"{value:10.4f}" if value is not None else f"{'-':>10}" for value in values
                )
            )
    return "\n".join(
        [*rows, f"macro over languages and pairs; per query: {folder / 'per_query.parquet'}"]
    )
