"""The schema: what is identity, what is refused, and that a stored config comes back as it was."""

import dataclasses
from dataclasses import fields
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from hybrid_sweep.config import rules, schema, validate
from hybrid_sweep.config.compose import points
from hybrid_sweep.config.schema import (
    BatchConfig,
    Config,
    DataConfig,
    ModelConfig,
    SyntheticData,
    TinyModel,
)
from hybrid_sweep.sweeps.processes import write_config
from tests.refused import refused

MARKS = {"collection": "c", "model": "m"}

# Every field is decided here by hand, apart from the schema: a new one must be put in its place on
# purpose.
IDENTITY = set(
    """
    seed
    data.name data.languages data.share data.groups data.concepts data.shared data.noise data.seed
    model.name model.layers model.pooling model.query_prompt model.passage_prompt model.query_length
    model.passage_length model.temperature model.dropout model.hidden_size model.depth model.heads
    model.intermediate_size model.vocabulary model.lora_rank model.lora_alpha model.lora_targets
    more batch.composition batch.budget batch.added batch.hard_negatives batch.micro_batch
    batch.cross_lingual_ratio batch.size batch.language_exponent batch.partner batch.pivot batch.groups
    trainer.max_steps trainer.lr trainer.warmup trainer.weight_decay trainer.clip trainer.accelerator trainer.devices
    trainer.nodes trainer.precision trainer.threads trainer.length_buckets trainer.compact_vocabulary
    trainer.gradient_checkpointing trainer.compile eval.dev_every eval.dev_metric eval.select
    eval.split eval.batch_tokens
    model.remote_code eval.index eval.ivf_lists eval.ivf_probes eval.ivf_depth eval.own_document
    trainer.loss trainer.callbacks loss.infonce loss.symmetric loss.alignment.weight loss.alignment.of
    loss.alignment.divergence loss.distillation.weight loss.distillation.loss loss.distillation.over
    loss.distillation.temperature trainer.attention eval.precision
    batch.micro_tokens loss.block
    trainer.loss trainer.callbacks batch.pairs batch.query_languages batch.passage_languages
    batch.negatives_language batch.code_switch.share
    trainer.loss trainer.callbacks batch.pairs batch.ratio_schedule batch.query_languages batch.passage_languages
    """.split()
)
ASIDE = set(
    """
    data.path data.pools data.mirror data.measure data.negatives data.negatives_format trainer.workers model.path model.local_files_only
    logger.mode logger.project logger.entity logger.also
    sweep.name sweep.max_parallel sweep.margin sweep.untrained sweep.bm25 sweep.centred
    sweep.on_failure
    sweep.retries sweep.gpus_per_run sweep.seeds_planned sweep.until sweep.max_seeds sweep.primary
    eval.also eval.measures eval.run_depth loss.distillation.path
    batch.code_switch.lexicon
    keep.model keep.other_model keep.optimizer keep.vectors keep.checkpoint_seconds paths.outputs paths.cache
    """.split()
)


def small(**more):
    made = Config(
        data=SyntheticData(name="synthetic", languages=["xa", "xb"]), model=TinyModel(name="tiny")
    )
    for key, value in more.items():
        *groups, name = key.split("__")
        node = made
        for group in groups:
            node = getattr(node, group)
        setattr(node, name, value)
    return made


def leaves(node, prefix=""):
    for item in fields(node):
        value = getattr(node, item.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{prefix}{item.name}.")
        else:
            yield prefix + item.name, value


def changed(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2 + 0.01
    if isinstance(value, dict):
        return {"zz": 2.0}
    return ["zz"] if isinstance(value, list) else "other"


def test_every_field_is_decided():
    assert {name for name, _ in leaves(small())} == IDENTITY | ASIDE


@pytest.mark.parametrize("name", sorted(IDENTITY | ASIDE))
def test_what_can_change_the_numbers_changes_the_id_and_nothing_else_does(name):
    made = small()
    before = schema.run_id(made, MARKS)
    *groups, last = name.split(".")
    node = made
    for group in groups:
        node = getattr(node, group)
    setattr(
        node,
        last,
        {"zz": DataConfig(name="other")} if name == "more" else changed(getattr(node, last)),
    )
    assert (schema.run_id(made, MARKS) != before) == (name in IDENTITY)


def test_fields_that_came_later_are_identity_only_where_they_are_set():
    """The ids of runs that were published before these fields existed must stay."""
    found = schema.identity(small())
    assert not {"loss", "callbacks"} & found["trainer"].keys()
    assert schema.identity(small(trainer__callbacks=["a:B"]))["trainer"]["callbacks"] == ["a:B"]
    assert "remote_code" not in found["model"] and not {
        name for name in found["eval"] if name.startswith(("index", "ivf"))
    }
    assert schema.identity(small(eval__index="ivf"))["eval"]["index"] == "ivf"
    for name in ("neuclir", "hc4"):
        ratio = "batch.cross_lingual_ratio=1"
        [(_, made)] = points([f"data={name}", ratio], multirun=False)
        assert "parallel" not in schema.identity(made)["data"]


def test_content_and_recipe_are_identity(monkeypatch):
    before = schema.run_id(small(), MARKS)
    assert (
        schema.run_id(small(), {**MARKS, "collection": "d"})
        != before
        != schema.run_id(small(), {**MARKS, "model": "n"})
    )
    assert schema.run_id(small(), {"model": "m", "collection": "c"}) == before and len(before) == 12
    monkeypatch.setattr(schema, "RECIPE_VERSION", schema.RECIPE_VERSION + 1)
    assert schema.run_id(small(), MARKS) != before


def test_a_changed_default_is_a_new_id():
    """The whole config is hashed, not what was typed: what a new version changes by itself is
    seen.
    """
    found = schema.identity(small())
    assert (
        found["trainer"]["lr"] == small().trainer.lr
        and found["batch"]["size"] == small().batch.size
    )


@given(ratio=st.floats(0, 1), scale=st.sampled_from([1, 3, 7, 10]))
def test_all_spellings_of_a_ratio_are_one(ratio, scale):
    one, other = (
        BatchConfig(cross_lingual_ratio=ratio),
        BatchConfig(cross_lingual_ratio=ratio * scale / scale + 1e-9),
    )
    rounded = BatchConfig(cross_lingual_ratio=round(ratio, 6))
    assert one == rounded and abs(one.cross_lingual_ratio - ratio) <= 5e-7
    assert abs(other.cross_lingual_ratio - one.cross_lingual_ratio) <= 1.1e-6
    assert str(BatchConfig(cross_lingual_ratio=-0.0).cross_lingual_ratio) == "0.0"


def test_spellings_through_the_command_line(config):
    made = [
        config(f"batch.cross_lingual_ratio={word}")
        for word in ("0.7", "7e-1", ".7", "0.7000000000000001")
    ]
    assert len({schema.run_id(each, MARKS) for each in made}) == 1
    whole = [config(f"batch.cross_lingual_ratio={word}") for word in ("0", "0.0", "-0.0", "0e0")]
    assert len({schema.run_id(each, MARKS) for each in whole}) == 1


def test_a_stored_config_comes_back_in_its_own_types(tmp_path, config):
    for made in (
        config(),
        schema.untrained(config("seed=3")),
        small(batch__cross_lingual_ratio=0.25, trainer__lr=1e-5),
    ):
        write_config(tmp_path, made)
        again = validate.stored(tmp_path)
        assert (
            again == made
            and type(again.data) is type(made.data)
            and type(again.model) is type(made.model)
        )
        assert schema.run_id(again, MARKS) == schema.run_id(made, MARKS)


def test_a_stored_config_with_an_unknown_key_is_refused(tmp_path):
    found = schema.to_dict(small())
    found["batch"]["colour"] = "red"
    OmegaConf.save(OmegaConf.create(found), tmp_path / "config.yaml")
    with refused("config.unknown_key", "colour"):
        validate.stored(tmp_path)


def test_the_untrained_point_depends_on_what_the_untrained_encoder_depends_on():
    def floor(**more):
        return schema.run_id(schema.untrained(small(**more)), MARKS)

    for key, value in {
        "batch__cross_lingual_ratio": 0.9,
        "batch__size": 8,
        "trainer__lr": 0.5,
        "trainer__max_steps": 7,
        "trainer__devices": 2,
        "batch__partner": "size",
    }.items():
        assert floor(**{key: value}) == floor(), key
    for key, value in {
        "seed": 1,
        "model__hidden_size": 64,
        "model__pooling": "cls",
        "eval__split": "dev",
        "trainer__precision": "64-true",
        "trainer__threads": 2,
        "data__noise": 0.5,
    }.items():
        assert floor(**{key: value}) != floor(), key
    pretrained = ModelConfig(name="pretrained", path="folder")
    assert floor(model=pretrained, seed=1) == floor(model=pretrained) != floor()
    assert schema.untrained(small()).trainer.max_steps == 0
    # They share the encoding, whose result they cannot change.
    assert schema.untrained(small(trainer__devices=3)).trainer.devices == 3
    assert schema.run_id(small(trainer__devices=2), MARKS) != schema.run_id(small(), MARKS)
    rules.validate(schema.untrained(small(trainer__devices=3, batch__size=3)))


REFUSED = {
    "batch__cross_lingual_ratio": [1.2, -0.1, nan, inf],
    "data__share": [0.0, -1.0, nan],
    "data__languages": [[], ["xa", "xa"], ["xa"]],
    "seed": [-1, 2**32],
    "batch__size": [1, 0],
    "trainer__max_steps": [-1],
    "trainer__devices": [0],
    "trainer__nodes": [0],
    "trainer__threads": [0],
    "sweep__max_parallel": [0],
    "eval__batch_tokens": [0],
    "model__query_length": [2],
    "model__passage_length": [0],
    "model__layers": [0],
    "trainer__lr": [0.0, nan, inf],
    "model__temperature": [0.0, -1.0],
    "trainer__weight_decay": [-0.1],
    "trainer__clip": [nan],
    "batch__language_exponent": [-1.0],
    "sweep__margin": [-0.01],
    "trainer__warmup": [1.1],
    "model__dropout": [1.0],
    "batch__partner": ["random"],
    "batch__groups": ["some"],
    "batch__ratio_schedule": ["linear"],
    "model__pooling": ["max"],
    "trainer__accelerator": ["tpu"],
    "trainer__precision": ["8", "16-mixed"],
    "eval__split": ["train"],
    "logger__mode": ["loud"],
    "logger__also": [["wandb"], ["csv", "tensor board"]],
    "sweep__on_failure": ["ignore"],
    "sweep__name": ["a/b", "", ".."],
    "model__heads": [3, 0],
    "model__depth": [0],
    "model__vocabulary": [10],
    "data__groups": [5],
    "data__concepts": [5],
    "data__shared": [1.5],
    "data__noise": [-0.5],
    "data__measure": ["MRR@10"],
}


@pytest.mark.parametrize(
    "key, value", [(key, value) for key, values in REFUSED.items() for value in values]
)
def test_values_that_nothing_makes_valid_are_refused_by_name(key, value):
    rules.validate(small())
    # With one language the mixture is what cannot be.
    field = key.replace("__", ".") if value != ["xa"] else "batch.cross_lingual_ratio"
    with refused(f"config.{field}", field) as refusal:
        rules.validate(small(**{key: value}))
    assert "\n" not in refusal.message


def test_the_processes_of_a_run_share_the_batch_evenly():
    rules.validate(small(trainer__devices=2, trainer__nodes=4))
    with refused("config.batch.size", "batch.size=64", 3):
        rules.validate(small(trainer__devices=3))


def test_a_measure_of_languages_is_asked_for_but_not_what_verdicts_are_on():
    config = small(eval__measures=["LPR", "Max@R", "AWRF@10"])
    rules.validate(config)
    config.sweep.primary = "LPR"
    with refused("config.sweep.primary", "LPR"):
        rules.validate(config)
    with refused("config.eval.measures", "AWRF@5"):
        rules.validate(small(eval__measures=["AWRF@5"]))


def test_smaller_pools_have_no_share_of_judged_passages():
    config = small(data__pools=[10], eval__measures=["P@5"])
    rules.validate(config)
    config.eval.measures = ["P@5", "Judged@5"]
    with refused("config.eval.measures", "Judged@k", "pools"):
        rules.validate(config)


def test_a_logger_is_named_once():
    rules.validate(small(logger__also=["csv", "tensorboard"]))
    with refused("config.logger.also", "csv"):
        rules.validate(small(logger__also=["csv", "csv"]))


@pytest.mark.parametrize("languages", ["en", "en,de,sk", "de,xx"])
def test_languages_that_the_help_of_libreoffice_is_not_in_are_refused(languages):
    with refused("config.data.languages"):
        points(["data=libreoffice", f"data.languages=[{languages}]"], multirun=False)


@pytest.mark.parametrize(
    "words, measure",
    [
        (["data=miracl"], "nDCG@10"),
        (["data=msmarco"], "RR@10"),
        (["data=mmarco", "data.qrels=dl20"], "nDCG@10"),
        (["data=mmarco", "data.qrels=dl20", "data.measure=RR@10"], "RR@10"),
        (["data=xquad_r_context"], "AP"),
        (["data=files", "data.languages=[xa]"], None),
    ],
)
def test_a_collection_has_a_measure_that_papers_report(words, measure):
    ((_, config),) = points([*words, "batch.cross_lingual_ratio=0"], multirun=False)
    assert schema.own_measure(config.data) == measure


def test_a_pivot_must_be_one_of_the_languages():
    rules.validate(small(batch__partner="pivot", batch__pivot="xb"))
    for pivot in (None, "zz"):
        with refused("config.batch.pivot", "batch.pivot"):
            rules.validate(small(batch__partner="pivot", batch__pivot=pivot))


def test_one_language_is_fine_without_cross_lingual_steps():
    rules.validate(small(data__languages=["xa"], batch__cross_lingual_ratio=0.0))


def test_the_cache_is_where_it_is_said_to_be(monkeypatch, tmp_path):
    made = small()
    monkeypatch.setenv("HYBRID_SWEEP_CACHE", str(tmp_path / "a"))
    assert schema.cache_dir(made) == tmp_path / "a"
    made.paths.cache = str(tmp_path / "b")
    assert schema.cache_dir(made) == tmp_path / "b"
    made.paths.cache = None
    monkeypatch.delenv("HYBRID_SWEEP_CACHE")
    assert schema.cache_dir(made).parts[-2:] == (".cache", "hybrid-sweep")


def test_conf_is_found():
    assert (schema.config_dir() / "config.yaml").is_file()


def test_near_names_are_offered():
    assert validate.nearest("debain", ["debian", "synthetic"]).startswith("did you mean debian?")
    assert validate.nearest("x", ["debian", "synthetic"]) == "there are: debian, synthetic"


def test_the_schemas_are_those_of_the_groups():
    assert all(issubclass(kind, DataConfig) for kind in schema.SCHEMAS["data"].values())
    assert all(issubclass(kind, ModelConfig) for kind in schema.SCHEMAS["model"].values())


def test_a_share_for_one_collection_asks_for_all():
    other = SyntheticData(name="synthetic", languages=["xa", "xb"])
    rules.validate(small(more={"other": other}))
    rules.validate(small(more={"other": dataclasses.replace(other, share=3.0)}, data__share=1.0))
    with refused("config.data.share", "data.share=None"):
        rules.validate(small(more={"other": dataclasses.replace(other, share=3.0)}))
    with refused("config.more", "more=synthetic"):
        rules.validate(small(more={"synthetic": other}))
    alone = schema.untrained(
        small(more={"other": dataclasses.replace(other, share=3.0)}, data__share=1.0)
    )
    assert alone == schema.untrained(small(more={"other": other}))


def test_the_two_names_of_a_point_of_the_other_budget_are_one():
    """The ratio is c/(1+c): whichever is given, the point is the same, and its steps are counted
    exactly.
    """
    by_ratio = BatchConfig(budget="fixed_monolingual", cross_lingual_ratio=0.75)
    by_added = BatchConfig(budget="fixed_monolingual", added=3.0, cross_lingual_ratio=0.1)
    assert by_ratio == by_added and by_added.cross_lingual_ratio == 0.75
    third = small(batch=BatchConfig(budget="fixed_monolingual", added=0.33), trainer__max_steps=400)
    rules.validate(third)
    assert schema.steps_of(third) == 532 and schema.steps_of(small(trainer__max_steps=400)) == 400
    for batch, fact in (
        (
            BatchConfig(budget="fixed_monolingual", cross_lingual_ratio=1.0),
            "batch.budget=fixed_monolingual",
        ),
        (BatchConfig(added=1.0), "batch.added=1.0"),
        (BatchConfig(budget="fixed_monolingual", added=-1.0), "batch.added=-1.0"),
    ):
        with refused("config.batch.added", fact):
            rules.validate(small(batch=batch))


def test_of_two_models_there_is_one_without_evaluations_on_dev():
    rules.validate(small(keep__other_model=True, eval__dev_every=5))
    rules.validate(small(keep__other_model=True, trainer__max_steps=0))
    with refused("config.keep.other_model", "keep.other_model=True", "eval.dev_every"):
        rules.validate(small(keep__other_model=True))


@pytest.mark.parametrize("code", ["macro", "trained", "unseen", "*", "a>b", "a b", ""])
def test_languages_that_would_be_taken_for_means_are_refused_everywhere(code):
    key = "names.language_reserved" if code in ("macro", "trained", "unseen") else "names.language"
    other = SyntheticData(name="synthetic", languages=["xa", code])
    for place, made in (
        ("data", small(data__languages=["xa", code])),
        ("more.x", dataclasses.replace(small(), more={"x": other})),
        (
            "eval.also.x",
            dataclasses.replace(small(), eval=dataclasses.replace(small().eval, also={"x": other})),
        ),
    ):
        with refused(key, f"{place}.languages: "):
            rules.validate(made)


HOSTILE_NAMES = ["a/b", "..", ".a", "-a", "a\nb", "a\x1b[31m", "a\u202eb", "", " "]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_that_are_no_plain_names_are_refused(name):
    other = SyntheticData(name="synthetic", languages=["xa", "xb"])
    also = dataclasses.replace(small(), eval=dataclasses.replace(small().eval, also={name: other}))
    for key, field, made in (
        ("config.sweep.name", "sweep.name=", small(sweep__name=name)),
        ("config.more", "more=", dataclasses.replace(small(), more={name: other})),
        ("names.collection", "eval.also: ", also),
    ):
        with refused(key, field):
            rules.validate(made)


def test_a_name_of_an_evaluation_has_no_backslash_that_of_a_folder_may():
    other = SyntheticData(name="synthetic", languages=["xa", "xb"])
    with refused("names.collection", "eval.also: "):
        rules.validate(
            dataclasses.replace(
                small(), eval=dataclasses.replace(small().eval, also={"a\\b": other})
            )
        )
    rules.validate(small(sweep__name="a\\b"))


@pytest.mark.parametrize("name", ["données", "my data", "a+b", "x_1.0"])
def test_plain_names_of_training_collections_work(name):
    other = SyntheticData(name="synthetic", languages=["xa", "xb"])
    rules.validate(dataclasses.replace(small(sweep__name=name), more={name: other}))


def test_the_primary_measure_is_one_that_every_run_will_have():
    from hybrid_sweep.config.rules import OF_EVERY_TABLE
    from hybrid_sweep.runs.finished import STORED

    assert {*OF_EVERY_TABLE, "same@10"} == set(STORED)
    base = ["experiment=smoke", "batch.cross_lingual_ratio=0", "seed=0"]
    for words in (["sweep.primary=nDCG@10"], ["sweep.primary=RR@5", "eval.measures=[RR@5]"]):
        [(_, config)] = points([*base, *words], multirun=True)
        assert config.sweep.primary == words[0].partition("=")[2]
    with refused("config.sweep.primary"):
        points([*base, "sweep.primary=RR@5"], multirun=True)
