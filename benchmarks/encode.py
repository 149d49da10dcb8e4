"""Texts encoded a second, beside sentence-transformers, by the same weights.

    python benchmarks/encode.py --model FOLDER                        # of multilingual-e5-small
    python benchmarks/encode.py --model FOLDER --device cuda --precision bf16-true

Texts of 5 to 120 random words; both cut at 128 tokens. The time of sentence-transformers includes its
tokenizer, ours does not: here texts become tokens once for all runs.
"""

import argparse
import time
from pathlib import Path

import numpy as np

WORDS = "one two three four sun moon river house garden water light stone"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--precision", default="32-true", choices=["32-true", "bf16-true"])
    args = parser.parse_args()
    import torch
    from sentence_transformers import SentenceTransformer

    from hybrid_sweep.config.schema import ModelConfig
    from hybrid_sweep.models.encoder import encode, in_precision
    from hybrid_sweep.models.loading import build_encoder
    from hybrid_sweep.models.tokens import load_tokenizer, pad_id, tokenized

    torch.set_num_threads(args.threads)
    draw = np.random.default_rng(0)
    sizes = draw.integers(5, 120, args.texts)
    texts = [" ".join(draw.choice(WORDS.split(), size)) for size in sizes]
    model = ModelConfig(name="pretrained", path=str(args.model))
    encoder = in_precision(build_encoder(model, args.model, 0).to(args.device), args.precision)
    tokens = tokenized(load_tokenizer(args.model), texts, "", 128)
    peer = SentenceTransformer(
        str(args.model),
        local_files_only=True,
        device=args.device,
        model_kwargs={"add_pooling_layer": False},
    )
    peer.max_seq_length = 128
    if args.precision == "bf16-true":
        peer.bfloat16()
    seconds: dict[str, list[float]] = {"hybrid-sweep": [], "sentence-transformers": []}
    for _ in range(args.rounds):
        began = time.perf_counter()
        rows = np.arange(len(texts))
        ours = encode(encoder, tokens, rows, pad=pad_id(args.model), batch_tokens=8192)
        seconds["hybrid-sweep"].append(time.perf_counter() - began)
        began = time.perf_counter()
        theirs = peer.encode(texts, batch_size=64, normalize_embeddings=True)
        seconds["sentence-transformers"].append(time.perf_counter() - began)
    medians = {name: float(np.median(times)) for name, times in seconds.items()}
    for name, median in medians.items():
        ratio = medians["sentence-transformers"] / median
        print(f"{name:24} {args.precision:10} {median:8.3f} s {ratio:6.2f} x peer")
    least = float((ours * np.asarray(theirs, np.float32)).sum(axis=1).min())
    print(f"least cosine of the two {least:.6f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
