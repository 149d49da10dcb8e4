"""What is kept of a point can be used again: vectors are scored, the optimiser's state is loaded,
nothing is unpickled.
"""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from hybrid_sweep.inputs import splits
from hybrid_sweep.inputs.prepare import prepare
from hybrid_sweep.models.encoder import encode
from hybrid_sweep.models.loading import build_encoder
from hybrid_sweep.models.tokens import pad_id
from hybrid_sweep.retrieval import means, per_query
from hybrid_sweep.retrieval.ranking import Dense
from hybrid_sweep.runs import retention


@pytest.fixture
def encoded(config):
    made = config()
    prepared = prepare(made)
    encoder = build_encoder(made.model, prepared.model, 0)
    split = splits.split_of(prepared, "test")
    pad, tokens = pad_id(prepared.model), made.eval.batch_tokens
    vectors = Dense(
        encode(encoder, prepared.queries, split.query_rows, pad=pad, batch_tokens=tokens),
        encode(encoder, prepared.passages, split.passage_rows, pad=pad, batch_tokens=tokens),
    )
    return prepared.collection, split, vectors


def test_kept_vectors_are_scored_again_from_their_folder_alone(encoded, tmp_path, monkeypatch):
    collection, split, found = encoded
    monkeypatch.setattr(retention, "BLOCK", 7)
    retention.save_vectors(tmp_path / "vectors", split, found, collection)
    folder = tmp_path / "vectors"
    texts = [pq.read_table(folder / f"{name}.parquet") for name in ("queries", "passages", "qrels")]
    vectors = [np.load(folder / f"{name}.npy") for name in ("queries", "passages")]
    assert all(part.dtype == np.float16 for part in vectors)
    for kept, given in zip(vectors, (found.query_vectors, found.passage_vectors), strict=True):
        assert np.abs(kept.astype(np.float32) - given).max() < 1e-3
    again, _ = per_query.evaluate(*texts, Dense(*(part.astype(np.float32) for part in vectors)))
    first, _ = per_query.evaluate(split.queries, split.passages, collection.qrels, found)
    assert (again["query_id"] == first["query_id"]).all()
    assert means.macro(again) == pytest.approx(means.macro(first), abs=0.02)
    # Only the judgements that count here: those of the other splits may be many millions.
    assert len(texts[2]) < len(collection.qrels)


def test_rows_of_vectors_are_rows_of_texts(encoded):
    collection, split, found = encoded
    assert len(split.queries) == len(found.query_vectors) and len(split.passages) == len(
        found.passage_vectors
    )
    assert (
        split.passages["id"].to_pylist()
        == collection.passages["id"].take(split.passage_rows).to_pylist()
    )
    splits = dict(
        zip(
            collection.queries["id"].to_pylist(),
            collection.queries["split"].to_pylist(),
            strict=True,
        )
    )
    assert {splits[name] for name in split.queries["id"].to_pylist()} == {"test"}


@pytest.mark.slow
def test_the_optimiser_goes_on_from_its_file(run, config):
    """The state of a finished run, loaded into a fresh optimiser over weights of the same names and
    sizes.
    """
    from hybrid_sweep.training.lightning_module import Retriever

    words = ("keep.optimizer=true", "keep.vectors=true")
    folder = run(*words)
    kept = torch.load(folder / "optimizer.pt", weights_only=True)
    made = config(*words)
    prepared = prepare(made)
    module = Retriever(build_encoder(made.model, prepared.model, 0), made, prepared)
    weights = dict(module.named_parameters())
    optimizer = module.configure_optimizers()["optimizer"]
    optimizer.load_state_dict(kept["state"])
    ordered = [weight for group in optimizer.param_groups for weight in group["params"]]
    assert kept["step"] == 12 and [id(weights[name]) for name in kept["names"]] == [
        id(weight) for weight in ordered
    ]
    for weight in ordered:
        state = optimizer.state[weight]
        assert state["exp_avg"].shape == weight.shape and int(state["step"]) == 12
    assert torch.equal(kept["rows"], module.vocabulary.used)
    # The vectors are those of the table.
    texts = pq.read_table(folder / "vectors" / "queries.parquet")
    assert set(texts["id"].to_pylist()) == set(
        pd.read_parquet(folder / "per_query.parquet")["query_id"]
    )
