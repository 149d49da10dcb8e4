"""The dev curve: names known beforehand, the best step, whether the curve still rises."""

import pandas as pd
import pytest

from hybrid_sweep.data.collection import select
from hybrid_sweep.inputs.prepare import collection_of
from hybrid_sweep.training import dev_history
from tests.refused import refused


def history(*values, every=10):
    found = dev_history.History("m")
    for place, value in enumerate(values, start=1):
        found.add(place * every, {"m": value, "other": -value})
    return found


def test_the_best_step_is_the_earliest_of_the_largest():
    assert history().best is None
    assert history(0.1, 0.3, 0.2, 0.3).best == 20
    assert history(-0.3, -0.1).best == 20
    added = dev_history.History("m")
    assert [
        added.add(step, {"m": value}) for step, value in ((1, 0.2), (2, 0.1), (3, 0.2), (4, 0.4))
    ] == [
        True,
        False,
        False,
        True,
    ]


def test_the_gain_of_the_last_quarter():
    # 40 steps: the latest evaluation at or before step 30.
    assert dev_history.report(history(0.1, 0.2, 0.5, 0.6), 40)["dev"][
        "still_rising"
    ] == pytest.approx(0.1)
    # 39 steps: step 30 lies after 29.25.
    assert dev_history.report(history(0.1, 0.2, 0.5, 0.6), 39)["dev"][
        "still_rising"
    ] == pytest.approx(0.4)
    assert dev_history.report(history(0.6), 10)["dev"]["still_rising"] is None
    assert dev_history.report(history(), 10) == {}


def test_what_metrics_say_of_a_curve():
    assert dev_history.report(history(0.1, 0.3, 0.2), 30)["dev"] == {
        "metric": "m",
        "best_step": 20,
        "best": 0.3,
        "last": 0.2,
        "steps": [10, 20, 30],
        "values": [0.1, 0.3, 0.2],
        "still_rising": pytest.approx(-0.1),
    }


def test_a_history_comes_back_from_its_file(tmp_path):
    made = history(0.1, 0.3, 0.2)
    made.write(tmp_path / "dev.parquet")
    assert dev_history.read(tmp_path / "dev.parquet", "m") == made
    assert list(pd.read_parquet(tmp_path / "dev.parquet").columns) == ["step", "m", "other"]
    assert dev_history.read(tmp_path / "none.parquet", "m").rows == []


def test_an_unknown_metric_is_refused_with_the_known_ones(config):
    made = config("eval.dev_every=5", "eval.dev_metric=monolingual/RR@100")
    with refused(
        "config.eval.dev_metric", "eval.dev_metric=monolingual/RR@100", "monolingual/xd/RR@10"
    ):
        dev_history.check(made, collection_of(made))
    dev_history.check(
        config("eval.dev_metric=monolingual/RR@100"), collection_of(made)
    )  # never looked at


def test_one_language_has_no_cross_lingual_metric(config):
    words = ("data.languages=[xa]", "batch.cross_lingual_ratio=0", "eval.dev_every=5")
    made = config(*words, "eval.dev_metric=cross-lingual/RR@10")
    with refused("config.eval.dev_metric", made.eval.dev_metric):
        dev_history.check(made, collection_of(made))
    dev_history.check(config(*words), collection_of(made))


def test_validation_needs_a_split_dev(config):
    import dataclasses

    import pyarrow.compute as pc

    made = config("eval.dev_every=5")
    whole = select(collection_of(made), ["xa", "xb"])
    dev_history.check(made, whole)
    without = dataclasses.replace(
        whole, queries=whole.queries.filter(pc.not_equal(whole.queries["split"], "dev"))
    )
    with refused("data.split_missing", "eval.dev_every=5", "data=synthetic", "split dev"):
        dev_history.check(made, without)
    dev_history.check(config(), without)
