"""From raw values to a checked, typed config: what no collection makes valid is refused in one clear line."""

import copy
import dataclasses
import difflib
import functools
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hybrid_sweep import names, records, redaction
from hybrid_sweep.config import (
    SCHEMAS,
    Bm25Model,
    Config,
    DataConfig,
    FileData,
    FilesData,
    MarcoData,
    ModelConfig,
    SyntheticData,
    TinyModel,
)
from hybrid_sweep.errors import UserError, config_key

# What no stored config decides, and the field of the model that it is: to run a folder's code, and to use the network.
PERMISSIONS = {"model.remote_code": "remote_code", "model.local_files_only": "local_files_only"}


def stored(run_dir: Path) -> Config:
    """Return the typed config of a run, as data: nothing in it is interpolated, and it gives no permission.

    A permission (`PERMISSIONS`) comes from the words of the user's own command alone: see `permitted`.

    Raises:
        UserError: where config.yaml is absent, broken, holds an interpolation, or has a value that is refused.
    """
    from omegaconf import OmegaConf

    found = records.config(run_dir)
    if not found:
        raise UserError(f"{run_dir}: no run there (no config.yaml)", key="run.missing")
    try:
        config = typed(OmegaConf.create(found))
    except UserError as error:
        raise UserError(f"{run_dir / 'config.yaml'}: {error}", key=error.key) from error
    model = dataclasses.replace(config.model, remote_code=False, local_files_only=True)
    return dataclasses.replace(config, model=model)


def check_stored(config: Config) -> None:
    """Raise UserError where a config could not be stored and read again as it is, or holds a secret."""
    records.data(dataclasses.asdict(config), "config", complete=False)
    validate(config)
    redaction.check(config)


def permitted(config: Config, words: Sequence[str]) -> Config:
    """Return a stored config with the permissions that the words of a command give: PERMISSION=true or =false each.

    Raises:
        UserError: for another word.
    """
    given: dict[str, Any] = {}
    for word in words:
        key, _, value = word.partition("=")
        if key not in PERMISSIONS or value not in ("true", "false"):
            raise UserError(
                f"{word}: must be one of {', '.join(f'{name}=true' for name in PERMISSIONS)}, or =false",
                key="option.permission",
            )
        given[PERMISSIONS[key]] = value == "true"
    return dataclasses.replace(config, model=dataclasses.replace(config.model, **given))


def permissions(config: Config) -> list[str]:
    """Return the words by which a driver passes on what its own command permits; see `permitted`."""
    found = []
    for key, field in PERMISSIONS.items():
        if getattr(config.model, field) != getattr(ModelConfig(), field):
            found.append(f"{key}={str(getattr(config.model, field)).lower()}")
    return found


def typed(node: Any) -> Config:
    """A checked `Config` from a composed or stored OmegaConf node; raises UserError for what `validate` refuses."""
    from omegaconf import OmegaConf
    from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

    try:
        container = OmegaConf.to_container(node, resolve=True)
        assert isinstance(container, dict)
        # What is left of an escaped interpolation would be resolved by the next merge, and by every reader.
        records.data(container, "config", complete=False)
        parts = {str(key): value for key, value in container.items()}
        further: dict[str, dict[Any, Any]] = {"more": parts.pop("more", None) or {}}
        if isinstance(parts.get("eval"), dict):
            parts["eval"] = dict(parts["eval"])
            further["also"] = parts["eval"].pop("also", None) or {}
        config = _converted(parts)
        for kind, collections in further.items():
            for name, value in collections.items():
                data = OmegaConf.to_object(_in_its_type("data", value))
                assert isinstance(data, DataConfig)
                (config.more if kind == "more" else config.eval.also)[str(name)] = data
    except OmegaConfBaseException as error:
        unknown = isinstance(error, ConfigAttributeError | ConfigKeyError)
        raise UserError(
            f"config: {str(error).splitlines()[0]} ({error.full_key or 'unknown key'})",
            key="config.unknown_key" if unknown else "config.type",
        ) from error
    except (
        AttributeError,
        TypeError,
        ValueError,
        OverflowError,
    ) as error:  # a group that is no mapping, a name that is no text
        raise UserError(f"config: a value of another type ({str(error).splitlines()[0]})", key="config.type") from error
    check_stored(config)
    return config


_known: dict[tuple[str, str], Any] = {}  # what the values of a group became, by its name and their repr
MOST_KNOWN = 1000


def _converted(parts: dict[str, Any]) -> Config:
    """Return the config of the values of each group.

    The points of a sweep differ in few groups; each value of a group is converted once.
    """
    from omegaconf import OmegaConf

    keys = {field.name: (field.name, "absent") for field in dataclasses.fields(Config)}
    keys |= {name: (name, repr(value)) for name, value in parts.items()}
    fresh = [name for name, key in keys.items() if key not in _known]
    if len(_known) > MOST_KNOWN and fresh:
        _known.clear()
        fresh = list(keys)
    if fresh:
        given = {name: parts[name] for name in fresh if name in parts}
        merged: Any = OmegaConf.merge(
            _schema(Config),
            {name: _in_its_type(name, value) if name in SCHEMAS else value for name, value in given.items()},
        )
        for name in fresh:
            value = merged[name]
            _known[keys[name]] = OmegaConf.to_object(value) if OmegaConf.is_config(value) else value
    return Config(**{name: copy.deepcopy(_known[key]) for name, key in keys.items()})


@functools.cache
def _schema(kind: type) -> Any:
    """Return the OmegaConf node of a dataclass; a merge into it makes a new one."""
    from omegaconf import OmegaConf

    return OmegaConf.structured(kind)


def _in_its_type(group: str, value: dict[str, Any]) -> Any:
    """A group's values under its schema, known by the group's name: a stored config comes back in its own type."""
    from omegaconf import OmegaConf

    schema = SCHEMAS[group]
    kind = schema.get(value.get("name", ""), schema.get("pretrained", DataConfig))
    return OmegaConf.merge(_schema(kind), value)


def nearest(name: str, known: list[str]) -> str:
    """A hint for an unknown name: the nearest known ones, and all of them."""
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    return (f"did you mean {' or '.join(near)}? " if near else "") + f"there are: {', '.join(known)}"


def validate(config: Config) -> None:
    """Raise UserError for values that no collection makes valid; the plan checks what depends on the texts."""

    def need(holds: bool, key: str, value: Any, rule: str) -> None:
        if not holds:
            raise UserError(f"{key}={value}: {rule}", key=config_key(key))

    def choice(key: str, value: str, known: list[str]) -> None:
        need(value in known, key, value, f"must be one of {', '.join(known)}")

    data, model, batch, trainer = config.data, config.model, config.batch, config.trainer
    ratio = batch.cross_lingual_ratio
    choice("batch.budget", batch.budget, ["fixed_total", "fixed_monolingual"])
    if batch.budget == "fixed_monolingual":
        rule = "under batch.budget=fixed_monolingual, give batch.added (0 or more) or a ratio below 1"
        need(batch.added is not None and 0 <= batch.added < math.inf, "batch.added", batch.added, rule)
    else:
        need(batch.added is None, "batch.added", batch.added, "needs batch.budget=fixed_monolingual")
    need(0 <= ratio <= 1, "batch.cross_lingual_ratio", ratio, "must be a share between 0 and 1")
    further = {f"more.{name}": each for name, each in config.more.items()}
    further |= {f"eval.also.{name}": each for name, each in config.eval.also.items()}
    for where, each in {"data": data, **further}.items():
        named = [names.language(code, f"{where}.languages") for code in each.languages]
        need(len(named) >= 1, f"{where}.languages", named, "must name at least one language")
        need(len(set(named)) == len(named), f"{where}.languages", named, "names a language twice")
        need(all(pool > 0 for pool in each.pools), f"{where}.pools", each.pools, "must be numbers of 1 or more")
        rule = "needs eval.index=flat: ranks in a smaller pool are exact"
        need(not each.pools or config.eval.index == "flat", f"{where}.pools", each.pools, rule)
        if isinstance(each, FileData):
            choice(f"{where}.on_error", each.on_error, ["strict", "skip"])
        if isinstance(each, FilesData):
            choice(f"{where}.format", each.format, ["auto", "beir", "jsonl", "trec", "tsv"])
        if isinstance(each, MarcoData):
            choice(f"{where}.qrels", each.qrels, ["dev.small", "dev", "dl19", "dl20"])
            need(0 <= each.dev_share < 1, f"{where}.dev_share", each.dev_share, "must be a share from 0 to below 1")
            need(
                names.is_folder_name(each.translation), f"{where}.translation", each.translation, "must be a plain name"
            )
    if len(data.languages) == 1:
        need(
            ratio == 0,
            "batch.cross_lingual_ratio",
            ratio,
            f"cross-lingual steps need two languages, but data.languages={data.languages}; add one or set the ratio to 0",
        )
    need(0 <= config.seed < 2**32, "seed", config.seed, "must be between 0 and 2^32 - 1")
    for key, count, least in (
        ("batch.size", batch.size, 2),
        ("trainer.max_steps", trainer.max_steps, 0),
        ("trainer.devices", trainer.devices, 1),
        ("trainer.nodes", trainer.nodes, 1),
        ("trainer.threads", trainer.threads, 1),
        ("sweep.max_parallel", config.sweep.max_parallel, 1),
        ("sweep.retries", config.sweep.retries, 0),
        ("eval.batch_tokens", config.eval.batch_tokens, 1),
        ("model.query_length", model.query_length, 3),
        ("model.passage_length", model.passage_length, 3),
        ("model.layers", model.layers if model.layers is not None else 1, 1),
        ("model.lora_rank", model.lora_rank, 0),
        ("batch.hard_negatives", batch.hard_negatives, 0),
        ("batch.micro_batch", batch.micro_batch if batch.micro_batch is not None else 1, 1),
        ("trainer.workers", trainer.workers, 0),
        ("eval.dev_every", config.eval.dev_every, 0),
        ("eval.run_depth", config.eval.run_depth, 0),
        ("eval.ivf_lists", config.eval.ivf_lists, 0),
        ("eval.ivf_probes", config.eval.ivf_probes, 1),
        ("eval.ivf_depth", config.eval.ivf_depth, 100),
    ):
        need(count >= least, key, count, f"must be at least {least}")
    for key, number in (("trainer.lr", trainer.lr), ("model.temperature", model.temperature)):
        need(0 < number < math.inf, key, number, "must be a positive number")
    for key, number in (
        ("trainer.weight_decay", trainer.weight_decay),
        ("trainer.clip", trainer.clip),
        ("batch.language_exponent", batch.language_exponent),
        ("sweep.margin", config.sweep.margin),
        ("keep.checkpoint_seconds", config.keep.checkpoint_seconds),
    ):
        need(0 <= number < math.inf, key, number, "must be 0 or more")
    need(0 <= trainer.warmup <= 1, "trainer.warmup", trainer.warmup, "must be a share between 0 and 1")
    need(model.dropout is None or 0 <= model.dropout < 1, "model.dropout", model.dropout, "must be from 0 to below 1")
    choice("batch.partner", batch.partner, ["uniform", "size", "pivot"])
    choice("batch.groups", batch.groups, ["shared", "all"])
    choice("batch.composition", batch.composition, ["per_batch", "per_example"])
    choice("model.pooling", model.pooling, ["mean", "cls", "auto"])
    choice("eval.select", config.eval.select, ["last", "best"])
    choice("trainer.accelerator", trainer.accelerator, ["cpu", "gpu"])
    choice("trainer.precision", trainer.precision, ["32-true", "64-true", "bf16-mixed", "16-mixed"])
    # Lightning would take bf16-mixed instead, and say so only in a warning.
    half = trainer.precision == "16-mixed" and trainer.accelerator == "cpu"
    need(not half, "trainer.precision", "16-mixed", "needs a GPU; on a CPU take bf16-mixed or 32-true")
    choice("eval.split", config.eval.split, ["dev", "test"])
    choice("eval.index", config.eval.index, ["flat", "ivf"])
    if config.eval.measures:
        from hybrid_sweep.measures import check  # numpy comes with it

        check(config.eval.measures)
    choice("logger.mode", config.logger.mode, ["offline", "online", "disabled"])
    choice("sweep.on_failure", config.sweep.on_failure, ["continue", "stop"])
    leased = config.sweep.gpus_per_run
    rule = f"must be at least trainer.devices={trainer.devices}, which a point uses"
    need(leased is None or leased >= trainer.devices, "sweep.gpus_per_run", leased, rule)
    if batch.partner == "pivot":
        need(
            batch.pivot in data.languages, "batch.pivot", batch.pivot, f"must be one of data.languages {data.languages}"
        )
    if batch.composition == "per_example":
        rule = "with composition=per_example every group must stand in two languages; take shared"
        need(batch.groups == "shared", "batch.groups", batch.groups, rule)
    if config.eval.select == "best":
        need(
            config.eval.dev_every > 0,
            "eval.select",
            "best",
            "needs eval.dev_every, the steps between evaluations on dev",
        )
    if trainer.max_steps:
        rule = "needs eval.dev_every: without evaluations on dev the last weights are the only ones"
        need(not config.keep.other_model or config.eval.dev_every > 0, "keep.other_model", True, rule)
    if batch.hard_negatives:
        rule = "needs a file of negatives: data.negatives"
        need(data.negatives is not None, "batch.hard_negatives", batch.hard_negatives, rule)
    shares = {"data": data.share, **{f"more.{name}": each.share for name, each in config.more.items()}}
    for where, share in shares.items():
        need(share is None or 0 < share < math.inf, f"{where}.share", share, "must be a positive number")
        rule = "the other training collections have a share; give each one"
        need(share is not None or not any(shares.values()), f"{where}.share", share, rule)
    for name in config.more:
        need(names.is_folder_name(name), "more", names.shown(name), "must be a plain name")
    need(data.name not in config.more, "more", data.name, "is the name of the main collection; take another")
    ranks = trainer.devices * trainer.nodes if trainer.max_steps else 1  # without training there is no batch to share
    need(batch.size % ranks == 0, "batch.size", batch.size, f"must be divisible by the {ranks} processes that share it")
    need(names.is_folder_name(config.sweep.name), "sweep.name", config.sweep.name, "must be a plain folder name")
    if isinstance(model, TinyModel):
        need(
            model.heads > 0 and model.hidden_size % model.heads == 0,
            "model.heads",
            model.heads,
            f"must divide model.hidden_size={model.hidden_size}",
        )
        need(model.depth >= 1, "model.depth", model.depth, "must be at least 1")
        need(model.vocabulary >= 300, "model.vocabulary", model.vocabulary, "must be at least 300")
    if isinstance(data, SyntheticData):
        need(data.groups >= 20, "data.groups", data.groups, "must be at least 20")
        need(data.concepts >= 40, "data.concepts", data.concepts, "must be at least 40")
        for key, share in (("data.shared", data.shared), ("data.noise", data.noise)):
            need(0 <= share <= 1, key, share, "must be a share between 0 and 1")
    for name in config.eval.also:
        names.collection(name, "eval.also")
        need(name != data.name, "eval.also", name, "is the name of the main collection; take another")
        rule = "such names are of pools (data.pools); take another"
        need(re.search(r"(^|_)pool_\d+$", name) is None, "eval.also", name, rule)
    if isinstance(model, Bm25Model):
        need(0 <= model.k1 < math.inf, "model.k1", model.k1, "must be 0 or more")
        need(0 <= model.b <= 1, "model.b", model.b, "must be between 0 and 1")
