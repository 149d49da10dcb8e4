"""The pairs of languages that the batches are told to have: what is read, and what is refused."""

from math import inf, nan

import pytest

from hybrid_sweep.config import language_pairs, rules, schema
from hybrid_sweep.config.compose import points
from hybrid_sweep.config.schema import BatchConfig, Config, SyntheticData, TinyModel
from tests.refused import refused


def three(**batch) -> Config:
    data = SyntheticData(name="synthetic", languages=["xa", "xb", "xc"])
    return Config(data=data, model=TinyModel(name="tiny"), batch=BatchConfig(**batch))


def test_pairs_are_read_by_the_languages_that_are_there():
    """A code may have hyphens, so that no place in a name is the one that parts it."""
    batch = BatchConfig(pairs={"zh-Hans-en": 2, "en-zh-Hans": 0.5, "en-no": 0})
    languages = ["en", "no", "zh-Hans"]
    pairs = language_pairs.weights(batch, languages)
    assert pairs == {("zh-Hans", "en"): 2.0, ("en", "zh-Hans"): 0.5}
    with refused("config.batch.pairs", "a-b-c", "two pairs"):
        language_pairs.weights(BatchConfig(pairs={"a-b-c": 1}), ["a", "a-b", "b-c", "c"])


REFUSED = {
    "unknown": ({"pairs": {"xa-xz": 1}}, "pairs", "xa-xz"),
    "no pair": ({"pairs": {"xa": 1}}, "pairs", "'xa'"),
    "one language": ({"pairs": {"xa-xa": 1}}, "pairs", "xa-xa"),
    "nothing": ({"pairs": {"xa-xb": 0, "xb-xa": 0}}, "pairs", "0"),
    "negative": ({"pairs": {"xa-xb": -1}}, "pairs", "-1"),
    "no number": ({"pairs": {"xa-xb": nan}}, "pairs", "nan"),
    "infinite": ({"pairs": {"xa-xb": inf}}, "pairs", "inf"),
    "may not ask": ({"pairs": {"xa-xb": 1}, "query_languages": ["xb", "xc"]}, "pairs", "xa-xb"),
    "may not answer": ({"pairs": {"xa-xb": 1}, "passage_languages": ["xa"]}, "pairs", "xa-xb"),
    "unknown query": ({"query_languages": ["xz"]}, "query_languages", "xz"),
    "unknown passage": ({"passage_languages": ["xa", "xz"]}, "passage_languages", "xz"),
    "twice": ({"query_languages": ["xa", "xa"]}, "query_languages", "twice"),
    "alone": ({"query_languages": ["xa"], "passage_languages": ["xa"]}, "query_languages", "xa"),
    "partner": ({"pairs": {"xa-xb": 1}, "partner": "size"}, "partner", "size"),
    "exponent": ({"pairs": {"xa-xb": 1}, "language_exponent": 1.0}, "language_exponent", "1.0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_pairs_that_nothing_makes_valid_are_refused_in_one_line(name):
    batch, field, sign = REFUSED[name]
    with refused(f"config.batch.{field}", f"batch.{field}", sign) as refusal:
        rules.validate(three(**batch))
    assert "\n" not in refusal.message


def test_languages_of_any_training_collection_may_be_named():
    config = three(query_languages=["xd"])
    config.more["other"] = SyntheticData(name="synthetic", languages=["xa", "xd"])
    rules.validate(config)


def test_all_spellings_of_pairs_are_one_run_and_none_leaves_the_identity_as_it_was():
    plain = schema.identity(three())["batch"]
    later = {"pairs", "query_languages", "passage_languages", "ratio_schedule"}
    assert not later & plain.keys()
    words = ["data=synthetic", "data.languages=[xa,xb,xc]"]
    spellings = [
        ["batch.pairs={xa-xb:2,xb-xa:1}", "batch.query_languages=[xa,xb]"],
        ["batch.pairs={xb-xa:1.0,xa-xb:2e0}", "batch.query_languages=[xb,xa]"],
    ]
    made = []
    for spelling in spellings:
        ((_, config),) = points([*words, *spelling], multirun=False)
        made.append(schema.identity(config)["batch"])
    assert made[0] == made[1]
    assert made[0]["pairs"] == {"xa-xb": 2.0, "xb-xa": 1.0}
    assert list(made[0]["pairs"]) == list(made[1]["pairs"])
