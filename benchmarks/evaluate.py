"""A whole evaluation beside encoding alone: what ranking every setting adds to encoding the texts
once. make bench, or

    python benchmarks/evaluate.py --model DIR --data DIR      (multilingual-e5-small, LAReQA's folder xquad-r)

XQuAD-R zero-shot, at most 128 tokens, float32: 11 monolingual, 110 cross-lingual, 11 multilingual
settings, every rank exact, language bias, the table and run files written. In turn, in this
process: the texts encoded once, batch after batch, and what a worker does for its stage, from
tokens to metrics.json. sentence-transformers' `encode` of the same texts stands beside.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--languages", default="[ar,de,el,en,es,hi,ru,th,tr,vi,zh]")
    parser.add_argument("--no-peer", action="store_true")
    args = parser.parse_args()

    import torch

    torch.set_num_threads(args.threads)
    from omegaconf import OmegaConf

    from hybrid_sweep.commands.evaluate import config_of
    from hybrid_sweep.config import schema
    from hybrid_sweep.inputs import prepare, splits
    from hybrid_sweep.models.encoder import encode
    from hybrid_sweep.models.loading import build_encoder
    from hybrid_sweep.models.tokens import pad_id
    from hybrid_sweep.runs import execute
    from hybrid_sweep.utils.files import read_json, write_json

    with tempfile.TemporaryDirectory() as work:
        # Those of the documented command, hybrid-sweep evaluate model.path=DIR data=xquad_r
        # data.path=DIR; and what is aside.
        words = [
            f"model.path={args.model}",
            "data=xquad_r",
            f"data.path={args.data}",
            f"data.languages={args.languages}",
        ]
        words += [
            "logger=disabled",
            "eval.run_depth=100",
            f"trainer.threads={args.threads}",
            f"paths.cache={work}/cache",
        ]
        config = config_of(words)
        marks = prepare.fingerprints(config)
        prepared = prepare.prepare(config)
        split = splits.split_of(prepared, "test")
        sides = [(prepared.queries, split.query_rows), (prepared.passages, split.passage_rows)]
        tokens = sum(int(store.lengths[rows].sum()) for store, rows in sides)
        print(
            f"{len(split.queries)} queries, {len(split.passages)} passages, {tokens} tokens,"
            f" {args.threads} threads"
        )
        seconds: dict[str, list[float]] = {
            "encoding once": [],
            "whole evaluation": [],
            "sentence-transformers": [],
        }
        for number in range(args.rounds):
            encoder = build_encoder(config.model, prepared.model, 0)
            begun = time.perf_counter()
            for store, rows in sides:
                encode(
                    encoder,
                    store,
                    rows,
                    pad=pad_id(prepared.model),
                    batch_tokens=config.eval.batch_tokens,
                )
            seconds["encoding once"].append(time.perf_counter() - begun)
            folder = Path(work) / f"runs{number}" / schema.run_id(config, marks)
            folder.mkdir(parents=True)
            OmegaConf.save(OmegaConf.create(schema.to_dict(config)), folder / "config.yaml")
            write_json(folder / "identity.json", {"run_id": folder.name, "fingerprints": marks})
            execute.execute(folder)
            seconds["whole evaluation"].append(
                read_json(folder / "provenance.json")["times"]["evaluate_seconds"]
            )
            if not args.no_peer:
                seconds["sentence-transformers"].append(_peer(args.model, prepared, split))
        found = read_json(folder / "metrics.json")
        settings = [
            name
            for name in ("monolingual", "cross-lingual", "multilingual")
            if f"{name}/AP" in found
        ]
        print(", ".join(f"{name} mAP {found[f'{name}/AP']:.4f}" for name in settings))
    typical = {name: statistics.median(values) for name, values in seconds.items() if values}
    for name, value in typical.items():
        print(f"{name:24}{value:9.1f} s")
    ratio = typical["whole evaluation"] / typical["encoding once"]
    print(f"the whole evaluation costs {ratio:.3f} x encoding the texts once (aim: at most 1.15)")
    sys.exit(0 if ratio <= 1.15 else 1)


def _peer(model: Path, prepared, split) -> float:
    """Seconds in which sentence-transformers encodes the same texts."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    transformer = Transformer(str(model), max_seq_length=128)
    both = SentenceTransformer(
        modules=[transformer, Pooling(transformer.get_embedding_dimension(), pooling_mode="mean")],
        device="cpu",
    )
    collection = prepared.collection
    begun = time.perf_counter()
    for prompt, table, rows in (
        ("query: ", collection.queries, split.query_rows),
        ("passage: ", collection.passages, split.passage_rows),
    ):
        texts = table["text"].take(np.asarray(rows)).to_pylist()
        both.encode(texts, prompt=prompt, batch_size=32, normalize_embeddings=True)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
