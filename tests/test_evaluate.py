"""A saved model scored again gives the numbers of its run; folders bring their own pooling and prompts."""

import pytest

from hybrid_sweep.errors import UserError
from hybrid_sweep.evaluate import evaluate_words, table
from hybrid_sweep.store import read_json


def test_a_run_evaluated_again_has_its_own_numbers_and_another_split_has_others(run, tmp_path):
    folder = run("batch.cross_lingual_ratio=0.5", "model.query_prompt='q: '")
    outputs = f"paths.outputs={tmp_path / 'out'}"
    metrics = read_json(folder / "metrics.json")
    again = evaluate_words([str(folder), outputs, "logger=disabled"])
    assert again.splitlines()[:4] == table(metrics, folder).splitlines()[:4]
    data = ["data=synthetic", "data.groups=300", "model.query_length=32", "model.passage_length=64"]
    by_path = evaluate_words([f"model.path={folder / 'model'}", *data, outputs, "logger=disabled"])
    assert by_path.splitlines()[:4] == again.splitlines()[:4]
    other = evaluate_words([str(folder), outputs, "logger=disabled", "eval.split=dev"])
    assert other.splitlines()[1:4] != again.splitlines()[1:4]


def test_a_run_without_a_model_is_refused(planned, tmp_path):
    folder = planned("batch.cross_lingual_ratio=0.5")
    with pytest.raises(UserError, match="not kept"):
        evaluate_words([str(folder)])
    with pytest.raises(UserError, match="no run there"):
        evaluate_words([str(tmp_path)])
