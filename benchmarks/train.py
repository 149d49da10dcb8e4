"""Seconds per training step beside sentence-transformers, on the same pairs in the same order: make
bench, or

    python benchmarks/train.py --model tiny
    python benchmarks/train.py --model DIR --layers 4        (DIR: a Hugging Face folder of multilingual-e5-small)

Debian's pairs (en de fr it ja), half of the steps cross-lingual, 32 pairs a step, at most 32 and
128 tokens, dropout 0, float32, AdamW. Each contestant runs in a process of its own, in turn, so
that the noise of the machine meets all of them; the losses of all must agree. The limit is the time
that the matrix products of the texts' own tokens would take at the speed of a large matrix product,
measured beside.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

# name, and what is changed in the config: each trick is taken away alone, to show what it brings.
OURS = {
    "hybrid-sweep": [],
    "without length buckets": ["trainer.length_buckets=false"],
    "without vocabulary compaction": ["trainer.compact_vocabulary=false"],
    "without either": ["trainer.length_buckets=false", "trainer.compact_vocabulary=false"],
}
PEER = "sentence-transformers"
WARM = 3  # steps that are not timed


def config_of(args: argparse.Namespace, changes: list[str]):
    from hybrid_sweep.config import compose

    words = [
        "data=debian",
        f"data.path={args.work / 'collection'}",
        "batch.size=32",
        "batch.cross_lingual_ratio=0.5",
        f"trainer.max_steps={args.steps}",
        f"trainer.threads={args.threads}",
        "trainer.lr=5e-5",
        "trainer.warmup=0",
        "trainer.weight_decay=0",
        "model.query_length=32",
        "model.passage_length=128",
        "model.temperature=0.05",
        "model.dropout=0",
        "logger=disabled",
        f"paths.cache={args.work / 'cache'}",
        f"trainer.accelerator={'gpu' if args.device == 'cuda' else 'cpu'}",
        f"trainer.precision={args.precision}",
    ]
    model = (
        ["model=tiny"] if args.model == "tiny" else ["model=me5_small", f"model.path={args.model}"]
    )
    layers = [f"model.layers={args.layers}"] if args.layers else []
    [(_, config)] = compose.points([*words, *model, *layers, *changes], multirun=False)
    return config


def make_inputs(args: argparse.Namespace) -> None:
    """The collection (questions of at most 32 tokens, since the peer has one length for both
    sides), the pairs in the order of the plan, and the model before training, all in the work
    folder."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from tokenizers import Tokenizer

    from hybrid_sweep.config import compose
    from hybrid_sweep.data import collection as collections
    from hybrid_sweep.inputs import prepare
    from hybrid_sweep.inputs.plan import plan_of
    from hybrid_sweep.models import loading

    [(_, config)] = compose.points(["data=debian", *args.data], multirun=False)
    whole = prepare.collection_of(config, lambda line: print(line, file=sys.stderr))
    folder = prepare.prepare(config).model if args.model == "tiny" else Path(args.model)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    texts = ["query: " + text for text in whole.queries["text"].to_pylist()]
    long = np.array([len(one.ids) > 32 for one in tokenizer.encode_batch_fast(texts)])
    groups = pc.unique(whole.queries["group"].filter(pa.array(long)))
    queries, passages = (
        table.filter(pc.invert(pc.is_in(table["group"], value_set=groups)))
        for table in (whole.queries, whole.passages)
    )
    known = [
        pc.is_in(whole.qrels[side], value_set=groups) for side in ("query_group", "passage_group")
    ]
    qrels = whole.qrels.filter(pc.invert(pc.or_(*known)))
    collections.save(
        collections.make("debian", queries, passages, qrels, {}), args.work / "collection"
    )
    config = config_of(args, [])
    prepared = prepare.prepare(config)
    source, plan = prepared.sources[0], plan_of(config, prepared.all_pairs)
    asked, answered, tokens = [], [], []
    for step in range(len(plan)):
        batch = plan.batch(step)
        rows = source.pairs.query[batch.query_language, batch.groups]
        asked += [
            config.model.query_prompt + text
            for text in source.collection.queries["text"].take(rows).to_pylist()
        ]
        lengths = [source.queries.lengths[rows]]
        rows = source.pairs.passage[batch.passage_language, batch.groups]
        answered += [
            config.model.passage_prompt + text
            for text in source.collection.passages["text"].take(rows).to_pylist()
        ]
        tokens.append([*lengths, source.passages.lengths[rows]])
    encoder = loading.build_encoder(config.model, prepared.model, config.seed)
    shape = encoder.transformer.config
    (args.work / "pairs.json").write_text(
        json.dumps(
            {
                "queries": asked,
                "passages": answered,
                "lengths": [[side.tolist() for side in sides] for sides in tokens],
                "shape": [shape.num_hidden_layers, shape.hidden_size, shape.intermediate_size],
            }
        )
    )
    loading.save_encoder(encoder, config.model, prepared.model, args.work / "model")


def run_ours(args: argparse.Namespace, changes: list[str]) -> dict:
    import torch

    from hybrid_sweep.inputs.plan import plan_of
    from hybrid_sweep.inputs.prepare import prepare
    from hybrid_sweep.models.loading import build_encoder
    from hybrid_sweep.training.batches import HybridData
    from hybrid_sweep.training.lightning_module import Retriever, make_trainer

    torch.set_num_threads(args.threads)
    config = config_of(args, changes)
    prepared = prepare(config)
    plan = plan_of(config, prepared.all_pairs)
    module = Retriever(build_encoder(config.model, prepared.model, config.seed), config, prepared)
    code = module.vocabulary.code if module.vocabulary else None
    make_trainer(config, []).fit(module, datamodule=HybridData(prepared, plan, config, 0, code))
    return {
        "losses": [row["loss"] for row in module.record],
        "seconds": np.diff([row["seconds"] for row in module.record])[WARM:].tolist(),
    }


def run_peer(args: argparse.Namespace) -> dict:
    import torch
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
        losses,
        sampler,
    )
    from torch.utils.data import SequentialSampler
    from transformers import TrainerCallback

    torch.set_num_threads(args.threads)
    pairs = json.loads((args.work / "pairs.json").read_text())
    model = SentenceTransformer(str(args.work / "model"), local_files_only=True, device=args.device)
    model.max_seq_length = 128
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    times: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_, **__) -> None:
            times.append(time.perf_counter())

    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir=str(args.work / "peer"),
            max_steps=args.steps,
            per_device_train_batch_size=32,
            batch_sampler=lambda dataset, batch_size, drop_last, **_: sampler.DefaultBatchSampler(
                SequentialSampler(dataset), batch_size=batch_size, drop_last=drop_last
            ),
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=args.device == "cpu",
            bf16=args.precision == "bf16-mixed",
        ),
        train_dataset=Dataset.from_dict(
            {"anchor": pairs["queries"], "positive": pairs["passages"]}
        ),
        loss=losses.MultipleNegativesRankingLoss(model),
        callbacks=[Clock()],
    )
    trainer.train()
    found = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    return {"losses": found, "seconds": np.diff(times)[WARM:].tolist()}


def peak(args: argparse.Namespace) -> float:
    """Floating-point operations per second of a large matrix product."""
    import torch

    torch.set_num_threads(args.threads)
    kind = torch.bfloat16 if args.precision == "bf16-mixed" else torch.float32
    a, b = torch.randn(2, 3072, 3072, device=args.device, dtype=kind)
    best = np.inf
    for _ in range(6):
        began = time.perf_counter()
        product = a @ b
        product[0, 0].item()  # of a GPU: until it is done
        best = min(best, time.perf_counter() - began)
    return 2 * 3072**3 / best


def operations(lengths: list, shape: list[int]) -> float:
    """Operations of a step's matrix products, forward and backward, on the texts' own tokens
    alone.
    """
    layers, width, inner = shape
    tokens = np.concatenate([np.asarray(side, float) for side in lengths])
    forward = layers * (2 * tokens * (4 * width**2 + 2 * width * inner) + 4 * tokens**2 * width)
    return float(3 * forward.sum())


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", default="tiny", help="tiny, or a folder of multilingual-e5-small"
    )
    parser.add_argument("--layers", type=int, help="keep the first n layers")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument(
        "--precision", default="32-true", choices=["32-true", "bf16-mixed"], help="of both"
    )
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2, help="turns of each contestant")
    parser.add_argument(
        "--threads", type=int, help="default: all cores; for tiny 1, as its points run side by side"
    )
    parser.add_argument(
        "--data", nargs="*", default=[], help="more words of the config, such as data.mirror=..."
    )
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.threads = args.threads or (1 if args.model == "tiny" else os.cpu_count() or 1)
    if args.only == "inputs":
        make_inputs(args)
    elif args.only == "peak":
        print(json.dumps(peak(args)))
    elif args.only:
        print(json.dumps(run_peer(args) if args.only == PEER else run_ours(args, OURS[args.only])))
    if args.only:
        return 0
    with tempfile.TemporaryDirectory() as work:
        return compare(args, Path(work))


def compare(args: argparse.Namespace, work: Path) -> int:
    words = sys.argv[1:]

    def child(name: str) -> str:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(args.threads),
            "TOKENIZERS_PARALLELISM": "false",
        }
        command = [sys.executable, __file__, "--only", name, "--work", str(work), *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{name} failed:\n{done.stderr[-3000:]}")
        return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""

    child("inputs")
    pairs = json.loads((work / "pairs.json").read_text())
    results: dict[str, list[dict]] = {}
    peaks = []
    for turn in range(args.rounds):
        for name in (PEER, *OURS):
            print(f"round {turn + 1} of {args.rounds}: {name}", file=sys.stderr, flush=True)
            peaks.append(json.loads(child("peak")))
            results.setdefault(name, []).append(json.loads(child(name)))
    seconds = {
        name: float(np.median([time for run in runs for time in run["seconds"]]))
        for name, runs in results.items()
    }
    apart = max(
        float(np.abs(np.array(run["losses"]) - results[PEER][0]["losses"]).max())
        for runs in results.values()
        for run in runs
    )
    work_of = np.mean(
        [operations(lengths, pairs["shape"]) for lengths in pairs["lengths"][WARM + 1 :]]
    )
    limit = work_of / max(peaks)
    shown = "tiny" if args.model == "tiny" else f"multilingual-e5-small, {pairs['shape'][0]} layers"
    print(
        f"model {shown}; {args.steps} steps of 32 pairs, {args.threads} threads, medians of"
        f" {args.rounds} rounds"
    )
    print(f"{'':32} {'s/step':>8} {'x peer':>7} {'of the limit':>13}")
    for name, value in {**seconds, "limit: useful tokens at peak": limit}.items():
        print(f"{name:32} {value:8.3f} {seconds[PEER] / value:7.2f} {limit / value:12.0%}")
    print(
        f"matrix products at peak: {max(peaks) / 1e9:.0f} GFLOP/s; losses of all within {apart:.1e}"
        f" over {args.steps} steps"
    )
    most = 1e-3 if args.precision == "32-true" else 0.1
    if apart > most:
        print(
            f"error: the losses differ by more than {most:g}: the contestants did not do the same work",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
