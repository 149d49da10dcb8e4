"""Memory and time of the InfoNCE of a large batch, whole and a block of queries at a time.

    python benchmarks/loss.py                       # 16,384 pairs of 384 numbers, blocks of 256
    python benchmarks/loss.py --pairs 32768 --block 512 --device cuda

Forward and backward, in a process of its own for each; the memory is what it grows by, with freed
memory given back at once (MALLOC_MMAP_THRESHOLD_, which a training on a CPU may set, too). The losses
and the gradients of both are compared.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from hybrid_sweep.runs.provenance import peak_memory
from hybrid_sweep.training.loss import info_nce, is_relevant
from hybrid_sweep.training.loss_blocks import Blocks, info_nce_in_blocks

TEMPERATURE = 0.05


def measure(args: argparse.Namespace, block: int, target: Path) -> str:
    """Compute the loss and its gradients in this process; seconds and MiB as text."""
    torch.manual_seed(0)
    draw = torch.randn(2, args.pairs, args.numbers, device=args.device)
    vectors = torch.nn.functional.normalize(draw, dim=-1).requires_grad_()
    queries, passages = vectors
    numbers = torch.arange(args.pairs, device=args.device)
    judged = numbers * args.pairs + numbers

    def masked_of(part: slice) -> torch.Tensor:
        masked = is_relevant(numbers[part], numbers, judged, args.pairs)
        masked[torch.arange(len(masked), device=args.device), numbers[part]] = False
        return masked

    before = memory(args.device)
    cpu = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    begun = time.monotonic()
    if block:
        blocks = Blocks(block, masked_of, TEMPERATURE)
        loss = info_nce_in_blocks(queries, passages, numbers, blocks)
    else:
        loss = info_nce(queries, passages, numbers, masked_of(slice(None)), TEMPERATURE)
    loss.mean().backward()
    if args.device == "cuda":
        torch.cuda.synchronize()
        seconds = time.monotonic() - begun
    else:
        seconds = resource.getrusage(resource.RUSAGE_SELF).ru_utime - cpu
    torch.save((loss.detach().cpu(), vectors.grad.cpu()), target)
    return f"{seconds:.2f} {memory(args.device) - before}"


def memory(device: str) -> int:
    """Return the peak in MiB, of the GPU where it is used."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() // 2**20
    return peak_memory()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=16_384)
    parser.add_argument("--numbers", type=int, default=384, help="of a vector")
    parser.add_argument("--block", type=int, default=256, help="queries at a time")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--target", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only is not None:
        print(measure(args, args.only, args.target))
        return 0
    results = []
    with tempfile.TemporaryDirectory() as work:
        for block in (0, args.block):
            target = Path(work) / f"{block}.pt"
            command = [sys.executable, __file__, *sys.argv[1:], "--only", str(block)]
            around = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1000000"}
            command += ["--target", str(target)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=around)
            seconds, grown = done.stdout.split()
            shown = f"{block} queries at a time" if block else "whole"
            print(f"{args.pairs} pairs, {shown}: {seconds} s, {grown} MiB", flush=True)
            results.append(torch.load(target))
    (loss, gradient), (other, other_gradient) = results
    print(f"largest difference of a loss {float((loss - other).abs().max()):.1e}")
    apart = float((gradient - other_gradient).abs().max() / gradient.abs().max())
    print(f"largest difference of a gradient {apart:.1e} of the largest")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
