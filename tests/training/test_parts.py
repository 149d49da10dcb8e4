"""A loss and callbacks of the user's own: the same path as the shipped ones, and what is refused."""

import sys

import pytest
import torch

from hybrid_sweep.config import own_parts
from hybrid_sweep.training.loss import info_nce
from hybrid_sweep.training.parts import Parts, parts_of
from tests.refused import refused
from tests.training.test_lightning_module import fit

LOSSES = """
import torch

def same(queries, passages, positive, masked, temperature):
    scores = (queries / temperature) @ passages.T
    scores = scores.masked_fill(masked, float("-inf"))
    return torch.nn.functional.cross_entropy(scores, positive, reduction="none")

def margin(*, queries, passages, positive, masked, margin=0.2, **_):
    scores = queries @ passages.T
    own = scores.gather(1, positive[:, None])
    return (scores - own + margin).clamp(min=0).masked_fill(masked, 0).sum(dim=1)

def mean(**given):
    return same(**given).mean()

def other_names(q, p, positive, masked, temperature): ...
def one_more(queries, passages, positive, masked, temperature, more): ...
class Kind: ...
number = 3
pairs = lambda **given: given["queries"] @ given["passages"].T
apart = lambda **given: given["queries"].detach().sum(dim=1)
"""
CALLBACKS = """
import pytorch_lightning as pl

class Counts(pl.Callback):
    steps = []
    def on_train_batch_end(self, trainer, pl_module, *_):
        self.steps.append(pl_module.record[-1]["step"])

class Asks(pl.Callback):
    def __init__(self, path): ...

class Plain: ...
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with losses and callbacks to stand in, whose modules are forgotten afterwards."""
    (tmp_path / "own_losses.py").write_text(LOSSES)
    (tmp_path / "own_callbacks.py").write_text(CALLBACKS)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("own_losses", "own_callbacks"):
        sys.modules.pop(name, None)


def parts(made) -> Parts:
    return parts_of(own_parts.sources(made.trainer))


def weights(module) -> list[torch.Tensor]:
    return [parameter.detach() for parameter in module.parameters()]


def trained(config, *words):
    made = config("model.dropout=0.2", "batch.cross_lingual_ratio=0.5", *words)
    module, _ = fit(made, loss=parts(made).loss)
    return [row["loss"] for row in module.record], weights(module)


@pytest.mark.slow
@pytest.mark.parametrize("words", [(), ("batch.micro_batch=4",)], ids=["whole", "gradient cache"])
def test_the_formula_of_the_shipped_loss_gives_the_same_bits(config, own, words):
    losses, wanted = trained(config, *words)
    for name in ("same", "mean"):
        again, found = trained(config, f"trainer.loss=own_losses:{name}", *words)
        equal = all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
        assert equal and again == losses
    other, found = trained(config, "trainer.loss=own_losses:margin", *words)
    assert not all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert other != losses


def test_without_a_name_the_parts_are_those_of_this_program(config):
    assert parts(config()) == Parts(info_nce, [])


def test_callbacks_are_classes_in_their_order(config, own):
    made = config("trainer.callbacks=[own_callbacks:Counts]")
    (kind,) = parts(made).callbacks
    assert isinstance(kind(), sys.modules["own_callbacks"].Counts)


@pytest.mark.parametrize(
    ("word", "fact"),
    [
        ("trainer.loss=own_losses:other_names", "by these names"),
        ("trainer.loss=own_losses:one_more", "more"),
        ("trainer.loss=own_losses:Kind", "must be a function"),
        ("trainer.loss=own_losses:number", "must be a function"),
        ("trainer.loss=own_losses:absent", "has no absent"),
        ("trainer.callbacks=[own_callbacks:Plain]", "pytorch_lightning.Callback"),
        ("trainer.callbacks=[own_losses:same]", "pytorch_lightning.Callback"),
        ("trainer.callbacks=[own_callbacks:Asks]", "path"),
    ],
)
def test_what_a_training_cannot_use_is_refused(config, own, word, fact):
    key = "config." + word.partition("=")[0]
    with refused(key, word.partition("=")[2].strip("[]"), fact):
        parts(config(word))


@pytest.mark.parametrize("name", ["pairs", "apart"])
def test_a_result_that_is_no_loss_is_refused_at_the_first_step(config, own, name):
    made = config(f"trainer.loss=own_losses:{name}")
    with refused("config.trainer.loss", f"own_losses:{name}"):
        fit(made, loss=parts(made).loss)


@pytest.mark.parametrize(
    "word",
    ["trainer.loss=margin", "trainer.loss=a/b:c", "trainer.callbacks=[a:B,c]", "trainer.loss=''"],
)
def test_what_is_no_name_is_refused_when_it_is_composed(config, word):
    with refused("config." + word.partition("=")[0], "module:name"):
        config(word)
