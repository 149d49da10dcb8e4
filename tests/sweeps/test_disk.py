"""What a point costs on disk, said before it runs, against what then lies there."""

import dataclasses
import struct
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hybrid_sweep.config.schema import ModelConfig
from hybrid_sweep.inputs import splits
from hybrid_sweep.inputs.prepare import plan_of, prepare
from hybrid_sweep.models.encoder import encode
from hybrid_sweep.models.loading import build_encoder, prepare_for_training, save_encoder
from hybrid_sweep.models.tokens import pad_id
from hybrid_sweep.retrieval import run_files
from hybrid_sweep.retrieval.ranking import Dense
from hybrid_sweep.runs import retention
from hybrid_sweep.sweeps import disk
from hybrid_sweep.sweeps.disk import Cost
from hybrid_sweep.training import checkpoints, dev_evaluation, dev_history
from hybrid_sweep.training.batches import HybridData
from hybrid_sweep.training.lightning_module import Retriever, make_trainer
from tests.refused import refused

# Large enough that weights outweigh the headers of files.
WORDS = (
    "model.hidden_size=96",
    "model.heads=4",
    "model.intermediate_size=200",
    "model.vocabulary=900",
)
ALL = ("keep.other_model=true", "keep.optimizer=true", "keep.vectors=true", "eval.dev_every=5")


def size(path):
    return (
        sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        if path.is_dir()
        else path.stat().st_size
    )


def near(path, share=0.02):
    return pytest.approx(size(path), rel=share)


@pytest.mark.parametrize(
    "words", [(), ("model.layers=1",), ("model.depth=3", "model.query_length=70")]
)
def test_the_tiny_model_by_its_formula(config, tmp_path, words):
    made = config(*WORDS, *words)
    prepared = prepare(made)
    save_encoder(
        build_encoder(made.model, prepared.model, 0), made.model, prepared.model, tmp_path / "model"
    )
    found = disk.cost(made, prepared).kept["model"]
    assert found == near(tmp_path / "model")
    assert disk._count(disk.shapes_of(made.model, prepared.model)) * 4 == near(
        tmp_path / "model" / "model.safetensors"
    )


@pytest.fixture
def pretrained(config, tmp_path):
    """Makes the config of a small XLM-R from a folder as the hub has it: with a pooler or the head
    of its pre-training.
    """
    from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM, XLMRobertaModel

    def make(*words, kind=XLMRobertaForMaskedLM, pieces=False, **model):
        made = config(*WORDS, *words)
        tiny = prepare(made).model
        shape = XLMRobertaConfig(
            vocab_size=900,
            hidden_size=96,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=200,
            max_position_embeddings=80,
            pad_token_id=0,
        )
        folder = tmp_path / "pretrained"
        kinds = {True: XLMRobertaModel, False: kind}
        kinds[pieces](shape).save_pretrained(folder, max_shard_size="200KB" if pieces else "1GB")
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (folder / name).write_bytes((tiny / name).read_bytes())
        given = {"name": "pretrained", "path": str(folder), "passage_length": 64} | model
        return dataclasses.replace(made, model=ModelConfig(**given))

    return make


@pytest.mark.parametrize(
    "given",
    [{}, {"layers": 2}, {"pieces": True}, {"lora_rank": 4}],
    ids=["whole", "layers", "several files", "adapters"],
)
def test_a_pretrained_model_by_the_header_of_its_file(pretrained, tmp_path, given):
    made = pretrained(**given)
    prepared = prepare(made)
    save_encoder(
        build_encoder(made.model, prepared.model, 0), made.model, prepared.model, tmp_path / "model"
    )
    assert disk.cost(made, prepared).kept["model"] == near(tmp_path / "model")


def test_a_head_counts(pretrained, tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Dense, Pooling, Transformer

    folder = pretrained().model.path
    modules = [Transformer(folder, max_seq_length=64), Pooling(96, "cls"), Dense(96, 300)]
    SentenceTransformer(modules=modules, device="cpu").save(str(tmp_path / "headed"))
    model = ModelConfig(
        name="pretrained", path=str(tmp_path / "headed"), pooling="auto", passage_length=64
    )
    save_encoder(
        build_encoder(model, tmp_path / "headed", 0), model, tmp_path / "headed", tmp_path / "model"
    )
    weights = sum(file.stat().st_size for file in (tmp_path / "model").rglob("*.safetensors"))
    assert disk._count(disk.shapes_of(model, tmp_path / "headed")) * 4 == pytest.approx(
        weights, rel=0.02
    )
    assert disk._width(model, tmp_path / "headed") == 300


def test_weights_of_any_type_are_read_and_a_file_that_is_cut_short_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(
        {"a": torch.zeros(3, 5, dtype=torch.bfloat16), "b": torch.zeros(())}, path, {"format": "pt"}
    )
    assert disk.header(path) == {"a": (3, 5), "b": ()}
    path.write_bytes(path.read_bytes()[:-1])
    with refused("model.weights_damaged", path):
        disk.header(path)


def test_a_file_that_is_no_safetensors_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    for content in (
        b"",
        b"short",
        struct.pack("<Q", 10**12) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        b"\xff" * 40,
    ):
        path.write_bytes(content)
        with refused("model.weights_damaged", path):
            disk.header(path)


def trained(config, folder):
    """The files of a training that was stopped after its last step, and of what is kept of it."""
    torch.set_num_threads(1)
    prepared = prepare(config)
    plan = plan_of(config, prepared.all_pairs)
    module = Retriever(build_encoder(config.model, prepared.model, 0), config, prepared)
    prepare_for_training(module.encoder, config.trainer)
    history = dev_history.History(config.eval.dev_metric)
    keeper = checkpoints.Checkpointing(folder / "checkpoints", "run", 0.0, None, history)
    callbacks = [dev_evaluation.Validation(config, prepared, history, folder, len(plan)), keeper]
    trainer = make_trainer(config, callbacks, None)
    code = module.vocabulary.code if module.vocabulary else None
    trainer.fit(module, datamodule=HybridData(prepared, plan, config, 0, code))
    optimizer = checkpoints.optimizer_state(module, trainer.optimizers[0])
    retention.save_optimizer(folder / "optimizer.pt", optimizer, len(plan))
    retention.save_models(config, prepared, module, history.best, folder)
    split, pad = splits.split_of(prepared, config.eval.split), pad_id(prepared.model)
    sides = (prepared.queries, split.query_rows), (prepared.passages, split.passage_rows)
    encoder = module.whole_encoder()
    vectors = [
        encode(encoder, *side, pad=pad, batch_tokens=config.eval.batch_tokens) for side in sides
    ]
    retention.save_vectors(folder / "vectors", split, Dense(*vectors), prepared.collection)
    return disk.cost(config, prepared)


@pytest.mark.parametrize(
    "words", [(), ("trainer.precision=64-true",), ("trainer.compact_vocabulary=false",)]
)
def test_every_kind_against_the_files_of_a_training(config, tmp_path, words):
    found = trained(config(*WORDS, *ALL, *words), tmp_path)
    assert list(found.kept) == ["model", "other model", "optimizer", "vectors", "tables"]
    assert found.kept["model"] == near(tmp_path / "model") and found.kept["other model"] == near(
        tmp_path / "model-best"
    )
    assert found.kept["optimizer"] == near(tmp_path / "optimizer.pt", 0.04)
    assert found.kept["vectors"] == near(tmp_path / "vectors", 0.15)
    # The bound is with one more checkpoint, which is written before the oldest goes, and with more
    # best weights.
    (least,) = {
        size(path)
        for path in (tmp_path / "checkpoints").glob("step-*.pt")
        if path.stem.endswith("12")
    }
    assert (
        3 * least <= found.training * 1.02
        and size(tmp_path / "checkpoints") <= found.training <= 5 * least
    )


def test_a_pretrained_training_with_adapters(pretrained, tmp_path):
    found = trained(pretrained(*ALL, lora_rank=8), tmp_path)
    # so small that its names weigh
    assert found.kept["optimizer"] == near(tmp_path / "optimizer.pt", 0.2)
    assert found.kept["model"] == near(tmp_path / "model")
    best = next((tmp_path / "checkpoints").glob("best-*.pt"))
    assert found.training >= 3 * size(best) and found.training < 7.5 * size(best)


def test_what_is_not_kept_costs_nothing(config):
    prepared = prepare(config(*WORDS))
    assert list(disk.cost(config(*WORDS), prepared).kept) == ["model", "tables"]
    assert list(disk.cost(config(*WORDS, "keep.model=false"), prepared).kept) == ["tables"]
    untrained = disk.cost(config(*WORDS, *ALL, "trainer.max_steps=0"), prepared)
    assert list(untrained.kept) == ["vectors", "tables"] and untrained.training == 0


def test_further_collections_run_files_and_the_vectors_of_an_evaluation_count(config, tmp_path):
    words = ["trainer.max_steps=0", "batch.cross_lingual_ratio=0", *WORDS]
    also = [
        "+data@eval.also.other=synthetic",
        "eval.also.other.seed=9",
        "eval.also.other.groups=400",
    ]
    [one, deep, both, ranks] = disk.costs(
        [
            config(*words),
            config(*words, "eval.run_depth=20"),
            config(*words, *also),
            config(*words, *also, "trainer.devices=2"),
        ]
    )
    made = config(*words)
    split = splits.split_of(prepare(made), "test")
    assert one.encoding == (len(split.queries) + len(split.passages)) * 96 * 4
    assert (
        both.kept["tables"] > 1.9 * one.kept["tables"]
        and one.encoding < both.encoding < ranks.encoding
    )
    vectors = (
        np.random.default_rng(0)
        .normal(size=(len(split.queries) + len(split.passages), 8))
        .astype(np.float32)
    )
    ranker = Dense(vectors[: len(split.queries)], vectors[len(split.queries) :])
    texts = (split.queries, split.passages, prepare(made).collection.qrels)
    run_files.write_runs(tmp_path / "runs", texts, ranker, 20, "0123456789ab")
    lists = sum(file.stat().st_size for file in (tmp_path / "runs").glob("m*.trec"))
    lists += sum(file.stat().st_size for file in (tmp_path / "runs").glob("cross*.trec"))
    assert deep.kept["run files"] == pytest.approx(lists, rel=0.25)


def test_the_costs_of_points_open_what_they_share_once(config, monkeypatch):
    opened = []
    monkeypatch.setattr(disk, "prepare", lambda made: opened.append(made) or prepare(made))
    points = [
        config(f"seed={seed}", f"batch.cross_lingual_ratio={ratio}")
        for seed in (0, 1)
        for ratio in (0, 1)
    ]
    assert len(disk.costs([*points, config("model.hidden_size=64")])) == 5 and len(opened) == 2


def test_torch_is_not_imported():
    program = (
        "import sys, hybrid_sweep.sweeps.disk; sys.exit('torch' in sys.modules or 'transformers' in"
        " sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_lines_name_kinds_sizes_and_the_sum():
    large, small = (
        Cost({"model": 6_100_000, "tables": 100_000}, 55_000_000),
        Cost({"tables": 50_000}, 0),
    )
    assert (
        disk.line([small, large, large])
        == "disk: 6.2 MB a point (model 6.1 MB, tables 0.1 MB), 3 points 12 MB; while it trains a"
        " point needs up to 55 MB more"
    )
    assert disk.line([Cost({"tables": 50_000}, 0, 2_000_000)]).endswith(
        "; while it evaluates up to 2.0 MB"
    )
    assert disk.line([small]) == "disk: 0.1 MB a point (tables 0.1 MB)"
    assert disk._words(2_250_000_000) == "2.2 GB" and disk._words(999_400_000) == "999 MB"
    assert disk._words(999_600_000) == "1.0 GB"
