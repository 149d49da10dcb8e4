"""What eval.own_document reaches: the evaluation, on dev too, the identity of a run, and BM25."""

import types

import pytest

from hybrid_sweep.config import schema
from hybrid_sweep.config.compose import points
from hybrid_sweep.inputs import splits
from tests.refused import refused

LEAVE_OUT = "eval.own_document=leave_out"


def config_of(*words):
    ((_, made),) = points(["data=synthetic", *words], multirun=False)
    return made


@pytest.mark.parametrize("words", [[], [LEAVE_OUT]])
def test_an_evaluation_does_what_the_config_says(monkeypatch, words):
    seen = []
    monkeypatch.setattr(splits.per_query, "evaluate", lambda *_, **named: seen.append(named))
    prepared = types.SimpleNamespace(collection=types.SimpleNamespace(qrels=None))
    split = types.SimpleNamespace(queries=None, passages=None)
    splits.score(config_of(*words), prepared, split, None)
    assert [named["without_own"] for named in seen] == [bool(words)]


def test_the_default_names_runs_as_before_and_the_other_choice_names_others():
    keep, leave_out = config_of(), config_of(LEAVE_OUT)
    for kind in (lambda made: made, schema.untrained, schema.bm25):
        assert "own_document" not in schema.identity(kind(keep))["eval"]
        assert schema.identity(kind(leave_out))["eval"]["own_document"] == "leave_out"


@pytest.mark.parametrize(
    "word", ["eval.run_depth=10", "eval.index=ivf", "data.pools=[10]", "eval.own_document=x"]
)
def test_what_would_hold_own_documents_is_refused_beside_it(word):
    with refused("config.eval.own_document", "eval.own_document"):
        config_of(LEAVE_OUT, word)
