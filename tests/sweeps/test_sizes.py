"""The sizes of models and collections, at hand and as published."""

import dataclasses

import pytest

from hybrid_sweep.config.compose import points
from hybrid_sweep.config.schema import ModelConfig
from hybrid_sweep.inputs import splits
from hybrid_sweep.inputs.prepare import prepare
from hybrid_sweep.sweeps import sizes
from hybrid_sweep.sweeps.sizes import Shape
from hybrid_sweep.utils.files import write_json

SIZES = sizes.published()


@pytest.mark.parametrize("name, millions", [("xlmr_base", 278), ("labse", 471), ("me5_small", 118)])
def test_listed_models_have_the_weights_that_their_pages_say(name, millions):
    weights = sizes.shape_of(ModelConfig(name=name), SIZES["models"]).weights
    assert weights / 1e6 == pytest.approx(millions, rel=0.01)


def test_a_model_at_hand_is_read_and_layers_are_cut(tmp_path):
    shape = {"num_hidden_layers": 6, "hidden_size": 96, "vocab_size": 900}
    write_json(tmp_path / "config.json", shape | {"intermediate_size": "wide"})
    model = ModelConfig(name="pretrained", path=str(tmp_path))
    assert sizes.shape_of(model, SIZES["models"]) == Shape(6, 96, 3072, 900)
    cut = dataclasses.replace(model, layers=2)
    assert sizes.shape_of(cut, SIZES["models"]) == Shape(2, 96, 3072, 900)


def test_a_built_collection_is_counted_and_another_taken_as_published(config):
    made = config("data.languages=[xa,xb]")
    split = splits.split_of(prepare(made), "test")
    found = sizes.texts_of(made, SIZES["collections"], {})
    assert (found.questions, found.passages) == (len(split.queries), len(split.passages))
    assert found.fetched == 0
    ((_, marco),) = points(["data=mmarco", "data.languages=[en,de]"], multirun=False)
    found = sizes.texts_of(marco, SIZES["collections"], {})
    assert (found.questions, found.passages) == (2 * 6_980, 2 * 8_841_823)
    ((_, miracl),) = points(["data=miracl", "data.languages=[sw,te]"], multirun=False)
    assert sizes.texts_of(miracl, SIZES["collections"], {}).passages == 131_924 + 518_079
    ((_, lareqa),) = points(["data=xquad_r"], multirun=False)
    found = sizes.texts_of(lareqa, SIZES["collections"], {})
    assert found.passages == pytest.approx(13_014, rel=0.001)
