"""What no collection makes valid in a config, as tables and rules; what depends on the texts, the
plan checks.
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

from hybrid_sweep.config import language_pairs, own_parts
from hybrid_sweep.config.schema import (
    LIBREOFFICE_LANGUAGES,
    Bm25Model,
    Config,
    DataConfig,
    FileData,
    FilesData,
    HfData,
    IrDatasetsData,
    LibreofficeData,
    MarcoData,
    ModelConfig,
    SweepConfig,
    SyntheticData,
    TinyModel,
)
from hybrid_sweep.utils import names, own_code
from hybrid_sweep.utils.errors import UserError, config_key

# The values that a text may have, by its key.
CHOICES = {
    "batch.budget": ("fixed_total", "fixed_monolingual"),
    "batch.partner": ("uniform", "size", "pivot"),
    "batch.groups": ("shared", "all"),
    "batch.composition": ("per_batch", "per_example", "per_language"),
    "batch.negatives_language": ("passage", "query", "mixed"),
    "loss.alignment.of": ("queries", "passages"),
    "loss.alignment.divergence": ("jensen_shannon", "kl"),
    "loss.distillation.loss": ("margin_mse", "kl"),
    "loss.distillation.over": ("hard_negatives", "batch"),
    "batch.ratio_schedule": ("constant", "rising", "falling", "cross_first", "mono_first"),
    "model.pooling": ("mean", "cls", "auto"),
    "eval.select": ("last", "best"),
    "eval.split": ("dev", "test"),
    "eval.index": ("flat", "ivf"),
    "eval.own_document": ("keep", "leave_out"),
    "trainer.accelerator": ("cpu", "gpu"),
    "eval.precision": ("trained", "32-true", "bf16-true"),
    "trainer.attention": ("sdpa", "eager"),
    "trainer.precision": ("32-true", "64-true", "bf16-mixed", "16-mixed"),
    "logger.mode": ("offline", "online", "disabled"),
    "sweep.on_failure": ("continue", "stop"),
    "sweep.until": ("planned", "settled"),
}
# The least that a whole number may be; one that is null is not looked at.
LEAST = {
    "batch.size": 2,
    "batch.micro_batch": 1,
    "batch.micro_tokens": 1,
    "loss.block": 1,
    "batch.hard_negatives": 0,
    "trainer.max_steps": 0,
    "trainer.devices": 1,
    "trainer.nodes": 1,
    "trainer.threads": 1,
    "trainer.workers": 0,
    "model.query_length": 3,
    "model.passage_length": 3,
    "model.layers": 1,
    "model.lora_rank": 0,
    "eval.batch_tokens": 1,
    "eval.dev_every": 0,
    "eval.run_depth": 0,
    "eval.ivf_lists": 0,
    "eval.ivf_probes": 1,
    "eval.ivf_depth": 100,
    "sweep.max_parallel": 1,
    "sweep.retries": 0,
    "sweep.seeds_planned": 1,
    "sweep.max_seeds": 3,
}
OF_EVERY_TABLE = ("RR@10", "nDCG@10", "R@100", "AP")  # measures that every run has by query
POSITIVE = ("trainer.lr", "model.temperature", "loss.distillation.temperature")
# Loggers of Lightning, and the package that each needs: an extra of the same name.
LOGGERS = {"csv": "", "tensorboard": "tensorboard", "mlflow": "mlflow"}
NOT_NEGATIVE = (
    "trainer.weight_decay",
    "trainer.clip",
    "batch.language_exponent",
    "loss.infonce",
    "loss.symmetric",
    "loss.alignment.weight",
    "loss.distillation.weight",
    "sweep.margin",
    "keep.checkpoint_seconds",
)
SHARES = ("batch.cross_lingual_ratio", "trainer.warmup")


def validate(config: Config) -> None:
    """Refuse a config with a value that no collection makes valid.

    Raises:
        UserError: for the first such value, with its key and the rule.
    """
    _check_values(config)
    for where, data in _collections(config):
        _check_collection(where, data, config)
    _check_names(config)
    _check_plan(config)
    _check_shares(config)
    _check_batches(config)
    language_pairs.check(config)
    language_pairs.check_code_switch(config)
    _check_training(config)
    _check_loss(config)
    _check_evaluation(config)
    _check_model(config)
    _check_generated_text(config)
    also = config.logger.also
    _need(len(set(also)) == len(also), "logger.also", also, "names a logger twice")
    for kind in also:
        rule = f"must be of {', '.join(LOGGERS)}; Weights & Biases is logger.mode"
        _need(kind in LOGGERS, "logger.also", kind, rule)


def _need(holds: bool, key: str, value: Any, rule: str) -> None:
    if not holds:
        raise UserError(f"{key}={value}: {rule}", key=config_key(key))


def _need_choice(key: str, value: str, choices: Sequence[str]) -> None:
    _need(value in choices, key, value, f"must be one of {', '.join(choices)}")


def _check_values(config: Config) -> None:
    """Check each value by itself, by the tables above."""
    for key, choices in CHOICES.items():
        _need_choice(key, attrgetter(key)(config), choices)
    for key, least in LEAST.items():
        count = attrgetter(key)(config)
        _need(count is None or count >= least, key, count, f"must be at least {least}")
    for key in POSITIVE:
        number = attrgetter(key)(config)
        _need(0 < number < math.inf, key, number, "must be a positive number")
    for key in NOT_NEGATIVE:
        number = attrgetter(key)(config)
        _need(0 <= number < math.inf, key, number, "must be 0 or more")
    for key in SHARES:
        share = attrgetter(key)(config)
        _need(0 <= share <= 1, key, share, "must be a share between 0 and 1")
    _need(0 <= config.seed < 2**32, "seed", config.seed, "must be between 0 and 2^32 - 1")
    dropout = config.model.dropout
    _need(
        dropout is None or 0 <= dropout < 1, "model.dropout", dropout, "must be from 0 to below 1"
    )


def _collections(config: Config) -> Iterator[tuple[str, DataConfig]]:
    """Give each collection of a run, with the key of its group."""
    yield "data", config.data
    for name, data in config.more.items():
        yield f"more.{name}", data
    for name, data in config.eval.also.items():
        yield f"eval.also.{name}", data


# The fields that a model or collection of a kind has no use for, and what would use them.
UNUSED: dict[type, tuple[tuple[str, ...], str]] = {
    TinyModel: (("path",), "its weights are random; model=pretrained reads a folder"),
    Bm25Model: (
        tuple(item.name for item in dataclasses.fields(ModelConfig) if item.name != "name"),
        "BM25 has no encoder",
    ),
    SyntheticData: (("path", "mirror"), "it is generated; data=files reads files"),
    FilesData: (("mirror", "revision"), "only what is fetched has one"),
    IrDatasetsData: (("mirror", "revision"), "the catalogue of ir_datasets says what is fetched"),
    FileData: (("mirror",), "only data=debian and data=libreoffice have one"),
}


def check_used(config: Config) -> None:
    """Refuse a value, of words or of a file that they name, which the chosen model or collection
    has no use for.

    A stored config is not checked: such a value never had an effect.
    """
    groups: list[tuple[str, Any]] = [("model", config.model), *_collections(config)]
    for where, group in groups:
        plain = type(group)()
        chosen = f"{where}={group.name}"
        for kind, (fields, reason) in UNUSED.items():
            for name in fields if isinstance(group, kind) else ():
                value = getattr(group, name)
                rule = f"has no effect with {chosen}: {reason}"
                _need(value == getattr(plain, name), f"{where}.{name}", value, rule)


def check_paths(config: Config) -> None:
    """Refuse a path in the home folder of a user that this machine does not know."""
    groups: list[tuple[str, Any]] = [("model", config.model), *_collections(config)]
    paths = {f"{where}.path": group.path for where, group in groups}
    paths |= {f"{where}.negatives": data.negatives for where, data in _collections(config)}
    paths["loss.distillation.path"] = config.loss.distillation.path
    paths |= {"paths.outputs": config.paths.outputs, "paths.cache": config.paths.cache}
    for key, path in paths.items():
        try:
            Path(path or "").expanduser()
        except RuntimeError:
            _need(False, key, path, "there is no such home folder; give a whole path")


def _check_translated(key: str, data: DataConfig) -> None:
    """Refuse languages that LibreOffice's help is not in, and English alone."""
    if not isinstance(data, LibreofficeData) or data.path:
        return
    languages = data.languages
    for code in languages:
        _need_choice(key, code, sorted(LIBREOFFICE_LANGUAGES))
    rule = "needs a language besides English: a group is a section and its translations"
    _need(set(languages) != {"en"}, key, languages, rule)


def _check_collection(where: str, data: DataConfig, config: Config) -> None:
    for truth, words in (("False", "no, off or false"), ("True", "yes, on or true")):
        rule = f"stands for {words} in a YAML file: put a language code in quotes there, as 'no'"
        _need(truth not in data.languages, f"{where}.languages", truth, rule)
    languages = [names.language(code, f"{where}.languages") for code in data.languages]
    _need(len(languages) >= 1, f"{where}.languages", languages, "must name at least one language")
    _need(
        len(set(languages)) == len(languages),
        f"{where}.languages",
        languages,
        "names a language twice",
    )
    _check_translated(f"{where}.languages", data)
    _need(
        all(pool > 0 for pool in data.pools),
        f"{where}.pools",
        data.pools,
        "must be numbers of 1 or more",
    )
    if data.measure is not None:
        from hybrid_sweep.retrieval.measures import FORMS, parsed  # numpy comes with it

        is_known = parsed(data.measure) is not None
        _need(is_known, f"{where}.measure", data.measure, f"must be null, or {FORMS}")
    if data.negatives_format is not None:
        forms = ["triples", "trec", "msmarco"]
        _need_choice(f"{where}.negatives_format", data.negatives_format, forms)
    rule = "needs eval.index=flat: ranks in a smaller pool are exact"
    _need(not data.pools or config.eval.index == "flat", f"{where}.pools", data.pools, rule)
    if isinstance(data, FileData):
        _need_choice(f"{where}.on_error", data.on_error, ["strict", "skip"])
    if isinstance(data, FilesData):
        _need_choice(f"{where}.format", data.format, ["auto", "beir", "jsonl", "trec", "tsv"])
    if isinstance(data, HfData):
        for code in set(data.passages) - {"*"}:
            names.language(code, f"{where}.passages")
        names.language(data.query_language, f"{where}.query_language")
        for field in ("queries", "qrels"):
            for split in getattr(data, field):
                _need_choice(f"{where}.{field}", split, ["train", "dev", "test"])
        needed = len(data.qrels_columns) == 3
        rule = "must name three: of the query's id, the passage's id and the grade"
        _need(needed, f"{where}.qrels_columns", data.qrels_columns, rule)
        rule = "'*' stands for passages whose column says the language: set lang_column"
        is_said = "*" not in data.passages or data.lang_column is not None
        _need(is_said, f"{where}.passages", "*", rule)
    if isinstance(data, IrDatasetsData):
        for field in ("ids", "dev_ids", "train_ids"):
            for code in getattr(data, field):
                names.language(code, f"{where}.{field}")
        names.language(data.query_language, f"{where}.query_language")
        for field in ("query_fields", "passage_fields"):
            chosen = getattr(data, field)
            _need(len(chosen) >= 1, f"{where}.{field}", chosen, "must name at least one field")
    if isinstance(data, MarcoData):
        _need_choice(f"{where}.qrels", data.qrels, ["dev.small", "dev", "dl19", "dl20"])
        rule = "must be a share from 0 to below 1"
        _need(0 <= data.dev_share < 1, f"{where}.dev_share", data.dev_share, rule)
        is_plain = names.is_folder_name(data.translation)
        _need(is_plain, f"{where}.translation", data.translation, "must be a plain name")


def _check_names(config: Config) -> None:
    """Check the names of the sweep and of the further collections."""
    sweep = config.sweep.name
    main = config.data.name
    _need(names.is_folder_name(sweep), "sweep.name", sweep, "must be a plain folder name")
    taken = "is the name of the main collection; take another"
    for name in config.more:
        _need(names.is_folder_name(name), "more", names.shown(name), "must be a plain name")
    _need(main not in config.more, "more", main, taken)
    for name in config.eval.also:
        names.collection(name, "eval.also")
        _need(name != main, "eval.also", name, taken)
        rule = "such names are of pools (data.pools); take another"
        _need(re.search(r"(^|_)pool_\d+$", name) is None, "eval.also", name, rule)
        rule = "such names are of centred vectors (sweep.centred); take another"
        _need(re.search(r"(^|_)centred$", name) is None, "eval.also", name, rule)


def _check_plan(config: Config) -> None:
    """Check that the primary measure will be there, that the number of seeds is stated once, and
    that rounds of seeds can be added.
    """
    sweep = config.sweep
    asked = [*OF_EVERY_TABLE, *config.eval.measures]
    if config.eval.measures:
        from hybrid_sweep.retrieval.measures import OF_LANGUAGES  # numpy comes with it

        asked = [name for name in asked if name not in OF_LANGUAGES]
    rule = (
        f"must be {', '.join(OF_EVERY_TABLE)}, or one of eval.measures, which names others that"
        " each language has"
    )
    _need(sweep.primary in asked, "sweep.primary", sweep.primary, rule)
    if not sweep.is_sequential:
        rule = "has no effect without sweep.until=settled; sweep.seeds_planned states the seeds"
        _need(sweep.max_seeds == SweepConfig().max_seeds, "sweep.max_seeds", sweep.max_seeds, rule)
        return
    planned = sweep.seeds_planned
    rule = "sweep.until=settled plans sweep.max_seeds; leave one of the two out"
    _need(planned in (None, sweep.max_seeds), "sweep.seeds_planned", planned, rule)
    rule = "its ratios follow from batch.added; sweep.until=settled needs batch=hybrid"
    _need(config.batch.budget == "fixed_total", "batch.budget", config.batch.budget, rule)


def _check_shares(config: Config) -> None:
    """Check how the training collections share the steps: all have a share, or none."""
    shares: Mapping[str, float | None] = {
        "data": config.data.share,
        **{f"more.{name}": data.share for name, data in config.more.items()},
    }
    for where, share in shares.items():
        is_positive = share is None or 0 < share < math.inf
        _need(is_positive, f"{where}.share", share, "must be a positive number")
        rule = "the other training collections have a share; give each one"
        _need(share is not None or not any(shares.values()), f"{where}.share", share, rule)


def _check_batches(config: Config) -> None:
    batch = config.batch
    languages = config.data.languages
    ratio = config.batch.cross_lingual_ratio
    if batch.budget == "fixed_monolingual":
        rule = (
            "under batch.budget=fixed_monolingual, give batch.added (0 or more) or a ratio below 1"
        )
        is_stated = batch.added is not None and 0 <= batch.added < math.inf
        _need(is_stated, "batch.added", batch.added, rule)
    else:
        _need(
            batch.added is None, "batch.added", batch.added, "needs batch.budget=fixed_monolingual"
        )
    rule = (
        f"cross-lingual steps need two languages, but data.languages={languages}; add one or set"
        " the ratio to 0"
    )
    _need(ratio == 0 or len(languages) > 1, "batch.cross_lingual_ratio", ratio, rule)
    if batch.partner == "pivot":
        _need(
            batch.pivot in languages,
            "batch.pivot",
            batch.pivot,
            f"must be one of data.languages {languages}",
        )
    if batch.composition != "per_batch":
        rule = f"composition={batch.composition} needs groups in two languages; take shared"
        _need(batch.groups == "shared", "batch.groups", batch.groups, rule)
    if batch.composition == "per_language":
        rule = f"per_language needs two languages, but data.languages={languages}; add one"
        _need(len(languages) > 1, "batch.composition", batch.composition, rule)
        rule = "composition=per_language gives each question each of its languages once: no sizes"
        _need(batch.partner != "size", "batch.partner", batch.partner, rule)
    if batch.hard_negatives:
        rule = "needs a file of negatives: data.negatives"
        _need(config.data.negatives is not None, "batch.hard_negatives", batch.hard_negatives, rule)
    rule = "has no effect without batch.hard_negatives; leave it out"
    is_used = batch.hard_negatives > 0 or batch.negatives_language == "passage"
    _need(is_used, "batch.negatives_language", batch.negatives_language, rule)
    if batch.micro_tokens is not None:
        longest = max(config.model.query_length, config.model.passage_length)
        rule = f"must hold the longest text, of {longest} tokens (model.passage_length)"
        _need(batch.micro_tokens >= longest, "batch.micro_tokens", batch.micro_tokens, rule)
        rule = "has no effect with batch.micro_batch; leave one of the two out"
        _need(batch.micro_batch is None, "batch.micro_tokens", batch.micro_tokens, rule)
        rule = "needs trainer.length_buckets=true, which cuts a batch by the lengths of its texts"
        has_buckets = config.trainer.length_buckets
        _need(has_buckets, "batch.micro_tokens", batch.micro_tokens, rule)
    # Without training there is no batch to share.
    ranks = 1
    if config.trainer.max_steps:
        ranks = config.trainer.devices * config.trainer.nodes
    rule = f"must be divisible by the {ranks} processes that share it"
    _need(batch.size % ranks == 0, "batch.size", batch.size, rule)


def _check_training(config: Config) -> None:
    trainer = config.trainer
    dev_every = config.eval.dev_every
    # Lightning would take bf16-mixed instead, and say so only in a warning.
    half = trainer.precision == "16-mixed" and trainer.accelerator == "cpu"
    _need(
        not half,
        "trainer.precision",
        "16-mixed",
        "needs a GPU; on a CPU take bf16-mixed or 32-true",
    )
    if trainer.max_steps:
        rule = "needs eval.dev_every: without evaluations on dev the last weights are the only ones"
        _need(not config.keep.other_model or dev_every > 0, "keep.other_model", True, rule)
    for field, name in own_parts.named(trainer):
        _need(own_code.NAME.fullmatch(name) is not None, field, names.shown(name), own_code.RULE)
    leased = config.sweep.gpus_per_run
    rule = f"must be at least trainer.devices={trainer.devices}, which a point uses"
    _need(leased is None or leased >= trainer.devices, "sweep.gpus_per_run", leased, rule)


def _check_loss(config: Config) -> None:
    loss = config.loss
    weights = (loss.infonce, loss.symmetric, loss.alignment.weight, loss.distillation.weight)
    rule = "the weights of all terms are 0: nothing would be trained; give one"
    _need(any(weights), "loss.infonce", loss.infonce, rule)
    rule = "stands in the place of InfoNCE, which has weight 0; leave one of the two out"
    is_used = config.trainer.loss is None or loss.infonce > 0
    _need(is_used, "trainer.loss", config.trainer.loss, rule)
    languages = config.data.languages
    rule = f"needs two language versions of a text, but data.languages={languages}; add one"
    is_possible = not loss.alignment.weight or len(languages) > 1
    _need(is_possible, "loss.alignment.weight", loss.alignment.weight, rule)
    if loss.distillation.weight:
        _check_distillation(config)
    is_plain = not any(weights[1:]) and config.trainer.loss is None
    rule = "is of InfoNCE alone: other terms hold all scores of a batch in memory; leave it out"
    _need(loss.block is None or is_plain, "loss.block", loss.block, rule)


def _check_distillation(config: Config) -> None:
    asked = config.loss.distillation
    rule = "needs the teacher's scores: loss.distillation.path"
    _need(bool(asked.path), "loss.distillation.weight", asked.weight, rule)
    rule = (
        "needs batch.hard_negatives, whose scores are learned; loss.distillation.over=batch learns"
        " those of all passages of the batch"
    )
    is_possible = asked.over == "batch" or config.batch.hard_negatives > 0
    _need(is_possible, "loss.distillation.over", asked.over, rule)
    rule = f"one file scores one collection, and more trains on {', '.join(config.more)} too"
    _need(not config.more, "loss.distillation.weight", asked.weight, rule)


def _check_evaluation(config: Config) -> None:
    asked = config.eval
    has_pools = any(data.pools for data in (config.data, *asked.also.values()))
    if asked.measures:
        from hybrid_sweep.retrieval.measures import check, needs_all_judged  # numpy comes with it

        check(asked.measures)
        is_known = not (has_pools and needs_all_judged(asked.measures))
        rule = "Judged@k needs no pools: a smaller pool lacks passages that are judged not relevant"
        _need(is_known, "eval.measures", asked.measures, rule)
    is_whole = asked.index == "flat" and not asked.run_depth and not has_pools
    rule = "needs eval.index=flat, eval.run_depth=0 and no pools: they hold the own documents too"
    _need(is_whole or asked.own_document == "keep", "eval.own_document", asked.own_document, rule)
    rule = "needs eval.dev_every, the steps between evaluations on dev"
    _need(config.eval.select != "best" or config.eval.dev_every > 0, "eval.select", "best", rule)


def _check_model(config: Config) -> None:
    model = config.model
    if isinstance(model, TinyModel):
        divides = model.heads > 0 and model.hidden_size % model.heads == 0
        _need(
            divides,
            "model.heads",
            model.heads,
            f"must divide model.hidden_size={model.hidden_size}",
        )
        _need(model.depth >= 1, "model.depth", model.depth, "must be at least 1")
        _need(model.vocabulary >= 300, "model.vocabulary", model.vocabulary, "must be at least 300")
    if isinstance(model, Bm25Model):
        _need(0 <= model.k1 < math.inf, "model.k1", model.k1, "must be 0 or more")
        _need(0 <= model.b <= 1, "model.b", model.b, "must be between 0 and 1")


def _check_generated_text(config: Config) -> None:
    data = config.data
    if isinstance(data, SyntheticData):
        _need(data.groups >= 20, "data.groups", data.groups, "must be at least 20")
        _need(data.concepts >= 40, "data.concepts", data.concepts, "must be at least 40")
        _need(0 <= data.shared <= 1, "data.shared", data.shared, "must be a share between 0 and 1")
        _need(0 <= data.noise <= 1, "data.noise", data.noise, "must be a share between 0 and 1")
