"""What the words of a search mean: keys that are searched, keys that are averaged over, refusals."""

from typing import Any

import pytest

from hybrid_sweep.config import compose
from hybrid_sweep.sweeps.search_space import ALONE, NumberRange, Search, ValueList, search_of
from tests.refused import refused

LR = "trainer.lr=tag(log,interval(1e-4,1e-2))"


def search(*words: str) -> Search:
    return search_of(*compose.searched(["hydra/sweeper=optuna", "data=synthetic", *words]))


def test_ranges_choices_and_what_is_averaged() -> None:
    one = search(
        LR, "batch.size=int(interval(8,64))", "seed=0,1", "model.dropout=0,0.1", "model=tiny"
    )
    assert one.space == {
        "batch.cross_lingual_ratio": ValueList(("0", "0.1", "0.25", "0.5", "0.75", "0.9", "1")),
        "trainer.lr": NumberRange(1e-4, 1e-2, is_log=True, is_whole=False),
        "batch.size": NumberRange(8, 64, is_log=False, is_whole=True),
        "model.dropout": ValueList(("0", "0.1")),
    }
    assert one.averaged == {"seed": ValueList(("0", "1"))}
    assert one.words == ("data=synthetic", "model=tiny")
    runs = one.words_of({"trainer.lr": "0.001"})
    assert runs == [
        ("data=synthetic", "model=tiny", "trainer.lr=0.001", f"seed={seed}", *ALONE)
        for seed in (0, 1)
    ]


def test_the_last_word_of_a_key_counts() -> None:
    """The parameters of the sweeper come first: here the ratios of conf/config.yaml."""
    one = search(LR, "batch.cross_lingual_ratio=0.5")
    assert list(one.space) == ["trainer.lr"]
    assert "batch.cross_lingual_ratio=0.5" in one.words


@pytest.mark.parametrize("word", ["++trainer.lr=0.002", "trainer.lr=0.002"])
def test_a_later_word_for_the_same_key_counts_however_it_is_written(word: str) -> None:
    one = search(LR, "batch.cross_lingual_ratio=0,1", word)
    assert list(one.space) == ["batch.cross_lingual_ratio"]
    assert word in one.words


def test_a_trial_can_be_the_mean_over_ratios_and_seeds() -> None:
    keys = "hydra.sweeper.average_over=[batch.cross_lingual_ratio,seed]"
    one = search(LR, keys, "batch.cross_lingual_ratio=0,1", "seed=range(2)")
    assert list(one.space) == ["trainer.lr"]
    runs = [words[2:4] for words in one.words_of({"trainer.lr": "0.001"})]
    assert len(set(runs)) == 4
    assert set(runs) == {
        (f"batch.cross_lingual_ratio={ratio}", f"seed={seed}") for ratio in "01" for seed in "01"
    }


def test_the_corners_have_each_end_and_each_choice() -> None:
    corners = search(LR, "batch.cross_lingual_ratio=0,0.5,1").corners()
    assert {corner["trainer.lr"] for corner in corners} == {"0.0001", "0.01"}
    assert [corner["batch.cross_lingual_ratio"] for corner in corners] == ["0", "0.5", "1"]


@pytest.mark.parametrize("drawn", [1e-4, 0.00123456, 0.00999999, 1e-2])
def test_a_number_has_few_digits_and_stays_inside(drawn: float) -> None:
    interval = NumberRange(1e-4, 1e-2, is_log=True, is_whole=False)
    written = interval.value(drawn)
    assert 1e-4 <= float(written) <= 1e-2
    assert float(written) == pytest.approx(drawn, rel=5e-4)
    assert len(written.replace("0.", "").lstrip("0")) <= 4
    assert (
        NumberRange(0.00012345, 1, is_log=False, is_whole=False).value(0.00012345) == "0.00012345"
    )


@pytest.mark.parametrize(
    "words, key, fact",
    [
        (["batch.cross_lingual_ratio=0.5"], "search.nothing", "trainer.lr"),
        (["batch.cross_lingual_ratio=0", "seed=0,1"], "search.nothing", "trainer.lr"),
        (["trainer.lr=interval(2,1)"], "search.interval", "interval(2,1)"),
        (["trainer.lr=interval(1,1)"], "search.interval", "interval(1,1)"),
        (["trainer.lr=tag(log,interval(0,1))"], "search.interval", "above 0"),
        (["trainer.lr=tag(cubic,interval(0,1))"], "search.tag", "cubic"),
        ([LR, "sweep.untrained=true"], "search.baseline", "sweep.untrained"),
        ([LR, "sweep.bm25=True"], "search.baseline", "sweep.bm25"),
        (["seed=interval(0,9)"], "search.averaged", "seed=0,1"),
        ([LR, "hydra.sweeper.n_trials=0"], "config.hydra.sweeper.n_trials", "n_trials=0"),
        ([LR, "hydra.sweeper.n_jobs=1.5"], "config.hydra.sweeper.n_jobs", "1.5"),
        ([LR, "hydra.sweeper.seed=-1"], "config.hydra.sweeper.seed", "-1"),
        ([LR, "hydra.sweeper.sampler=grid"], "config.hydra.sweeper.sampler", "tpe or random"),
        ([LR, "hydra.sweeper.average_over=seed"], "config.hydra.sweeper.average_over", "[seed]"),
        ([LR, "hydra.sweeper.average_over=[seeds]"], "search.averaged", "seeds"),
        ([LR, "hydra.sweeper.trials=3"], "config.unknown_key", "hydra.sweeper.trials"),
    ],
)
def test_what_cannot_be_searched_is_refused(words: list[str], key: str, fact: Any) -> None:
    with refused(key, fact):
        search(*words)
