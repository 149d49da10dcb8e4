"""Points that differ in numbers alone are composed once, and are what each would be by itself."""

import pytest

from hybrid_sweep.config import compose
from tests.refused import refused

DATA = "data=synthetic"


def composed(monkeypatch, *words):
    """The points of some words, and how many of them were converted from what was composed."""
    asked, real = [], compose.typed
    monkeypatch.setattr(compose, "typed", lambda node: asked.append(node) or real(node))
    return compose.points([DATA, *words], multirun=True), len(asked)


@pytest.mark.parametrize("seeds", [2, 40])
def test_the_number_of_compositions_does_not_grow_with_the_points(monkeypatch, seeds):
    words = [f"seed={','.join(map(str, range(seeds)))}", "batch.cross_lingual_ratio=0,0.25,1"]
    points, times = composed(monkeypatch, *words, "model=tiny,me5_small")
    assert len(points) == 2 * 3 * seeds and times == 2


@pytest.mark.parametrize(
    "words",
    [
        ("seed=0,1,2", "batch.cross_lingual_ratio=0,1"),  # a whole number for a share
        ("batch.budget=fixed_monolingual", "batch.cross_lingual_ratio=0,0.5,0.9"),
        ("sweep.name=r${batch.cross_lingual_ratio}", "batch.cross_lingual_ratio=0,0.5", "seed=1,2"),
        ("trainer.max_steps=3", "seed=0,1", "trainer.max_steps=4"),
        ("model.layers=1,null,2", "seed=3,4"),
        ("data.groups=300,400", "trainer.lr=1e-3,2e-3"),
    ],
)
def test_each_point_is_what_it_is_alone(monkeypatch, words):
    points, _ = composed(monkeypatch, *words)
    assert len(points) > 1
    for job, config in points:
        monkeypatch.setattr(compose.Varied, "like", lambda *_: None)
        ((_, alone),) = compose.points(job, multirun=False)
        assert config == alone and type(config.data) is type(alone.data)


def test_the_points_share_nothing_that_can_change():
    points = compose.points([DATA, "seed=0,1,2", "data.languages=[xa,xb]"], multirun=True)
    points[0][1].data.languages.append("xc")
    assert len(points) > 2 and all(c.data.languages == ["xa", "xb"] for _, c in points[1:])


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("batch.cross_lingual_ratio=0,0.5,1.5", "config.batch.cross_lingual_ratio"),
        ("trainer.max_steps=10,20,1.5", "config.trainer.max_steps"),
        ("seed=0,1,-1", "config.seed"),
    ],
)
def test_a_later_number_is_refused_as_the_first_one_would_be(word, key):
    with refused(key):
        compose.points([DATA, word], multirun=True)
