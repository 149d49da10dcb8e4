"""The experiment files mean the points that their headers promise, each once."""

import dataclasses
import re
from collections import Counter

import pytest

from hybrid_sweep.config import schema
from hybrid_sweep.config.compose import points
from hybrid_sweep.config.schema import BatchConfig, identity, steps_of

SEEDS = (0, 1, 2)


def configs(*words):
    return [config for _, config in points(list(words), multirun=False)]


def test_the_experiment_of_the_other_budget_is_five_points_for_each_seed():
    """The ratios of conf/config.yaml, which every job would replace by c/(1+c), must not repeat
    them.
    """
    found = Counter(
        (made.batch.added, made.batch.cross_lingual_ratio, made.seed, steps_of(made))
        for made in configs("experiment=fixed_monolingual")
    )
    curve = [
        (0.0, 0.0, 400),
        (0.1, 0.090909, 440),
        (0.33, 0.24812, 532),
        (1.0, 0.5, 800),
        (3.0, 0.75, 1600),
    ]
    assert found == Counter(
        (added, ratio, seed, steps) for added, ratio, steps in curve for seed in SEEDS
    )


def test_the_experiment_of_composition_is_four_cells_in_two_curves():
    found = [
        (made.sweep.name, made.batch.composition, made.batch.cross_lingual_ratio, made.seed)
        for made in configs("experiment=composition")
    ]
    cells = [(kind, ratio) for kind in ("per_batch", "per_example") for ratio in (0.0, 1.0)]
    assert sorted(found) == [
        (f"composition-{kind}", kind, ratio, seed) for kind, ratio in cells for seed in SEEDS
    ]


def test_the_experiment_of_transfer_is_that_of_the_shape_scored_on_one_more_collection():
    shape, transfer = configs("experiment=shape"), configs("experiment=transfer")
    ratios = (0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1)
    assert Counter((made.batch.cross_lingual_ratio, made.seed) for made in shape) == Counter(
        (ratio, seed) for ratio in ratios for seed in range(5)
    )
    assert [identity(made) for made in shape] == [identity(made) for made in transfer]
    assert {tuple(made.eval.also) for made in transfer} == {("xquad_r",)} and not shape[0].eval.also


@pytest.mark.slow
def test_the_experiments_beside_the_shape_are_its_points_but_for_what_they_ask():
    """Same model, steps and seeds: what else differs would stand in the comparison."""
    [first, *_], added, mixed, pools = (
        configs(f"experiment={name}") for name in ("shape", "added", "mixed", "pools")
    )
    ratios = [0.0, 0.1, 0.25, 0.5, 0.75]
    found = Counter((made.batch.cross_lingual_ratio, steps_of(made), made.seed) for made in added)
    steps = [120, 133, 160, 240, 480]
    assert found == Counter(
        (*place, seed) for place in zip(ratios, steps, strict=True) for seed in range(5)
    )
    for made in added:
        made.batch = first.batch
    assert {made.batch.cross_lingual_ratio for made in mixed} == {
        0.0,
        0.25,
        0.5,
        0.75,
        1.0,
    } and len(mixed) == 25
    assert {made.batch.composition for made in mixed} == {"per_example"}
    for made in mixed:
        made.batch.composition, made.batch.cross_lingual_ratio = "per_batch", 0.0
    for made in [*added, *mixed]:
        made.seed = first.seed
        assert identity(made) == identity(first) and made.sweep.margin == first.sweep.margin
    shape = [identity(made) for made in configs("experiment=shape")]
    assert len(pools) == 15 and all(identity(made) in shape for made in pools)
    assert {tuple(made.eval.also["whole"].pools) for made in pools} == {(100, 1000)} and not pools[
        0
    ].data.pools


@pytest.mark.parametrize("name", ["fixed_monolingual", "composition"])
def test_all_else_is_as_in_reproduce(name):
    [first, *_], [other, *_] = configs("experiment=reproduce"), configs(f"experiment={name}")
    for made in (first, other):
        made.batch = BatchConfig(size=made.batch.size)
    assert identity(first) == identity(other) and first.sweep.margin == other.sweep.margin


def test_the_other_budget_of_a_single_run():
    [made] = configs("data=synthetic", "batch=fixed_monolingual")
    assert (made.batch.budget, made.batch.added, made.batch.cross_lingual_ratio) == (
        "fixed_monolingual",
        1.0,
        0.5,
    )


# The files in which the fields of a class are explained: of a folder of conf/, or config.yaml.
EXPLAINED = {
    schema.BatchConfig: "batch",
    schema.CodeSwitchConfig: "batch",
    schema.TrainerConfig: "trainer",
    schema.EvalConfig: "eval",
    schema.LoggerConfig: "logger",
    schema.SweepConfig: "config.yaml",
    schema.KeepConfig: "config.yaml",
    schema.PathsConfig: "config.yaml",
    **{kind: "data" for kind in schema.SCHEMAS["data"].values()},
    **{kind: "model" for kind in schema.SCHEMAS["model"].values()},
}


@pytest.mark.parametrize("kind", EXPLAINED, ids=lambda kind: kind.__name__)
def test_every_field_is_explained_beside_its_value_in_conf(kind):
    """There, and nowhere else: what stands twice drifts apart."""
    place = schema.config_dir() / EXPLAINED[kind]
    files = [place] if place.is_file() else sorted(place.glob("*.yaml"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    explained = set(re.findall(r"^\s*(\w+):[^#\n]*# \S", text, re.MULTILINE))
    # a group of fields is explained field by field
    fields = {
        field.name
        for field in dataclasses.fields(kind)
        if not dataclasses.is_dataclass(field.default_factory)
    } - {"name"}
    assert fields - explained == set()


def test_the_schema_explains_no_field_a_second_time():
    text = (schema.config_dir().parent / "hybrid_sweep/config/schema.py").read_text("utf-8")
    assert re.findall(r"^    \w+: .*#", text, re.MULTILINE) == []
