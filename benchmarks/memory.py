"""Private memory of a training process, and of preparing, at two sizes of the collection:

    python benchmarks/memory.py                                      (10 k and 1 M pairs of texts, five languages)
    python benchmarks/memory.py --groups 2000 1000000 --negatives 20

A group is a question and its passage in five languages, so that 200,000 groups are 1 M pairs. Each
size is generated as a prepared collection, prepared in one process, and trained on for 20 steps in
a fresh one, as a worker does. What is reported is RssAnon of /proc/self/status: memory that only
this process holds. Mapped files are not part of it: they are the page cache, shared by all
processes and given back when memory is short. The peak is sampled 50 times a second.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

LANGUAGES = ("de", "en", "fr", "it", "ja")
BLOCK = 10_000  # groups generated at a time
WORDS, NEGATIVES = 5000, 8


def anonymous() -> float:
    """RssAnon of this process, MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


class Peak:
    """The largest private memory since it was made, MB."""

    def __init__(self) -> None:
        self.value = anonymous()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.value = max(self.value, anonymous())
            time.sleep(0.02)


def generate(groups: int, folder: Path) -> None:
    """A collection as `collection.save` writes it: words at random, all of the split train, a block
    at a time.
    """
    from hybrid_sweep.data.collection import QRELS, TEXTS, make, save

    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    syllables = np.array([a + b for a in "bdfgklmnprstvz" for b in "aeiou"])
    words = np.array(["".join(draw.choice(syllables, 3)) for _ in range(WORDS)], dtype=object)
    tables = []
    for name, schema, batches in (
        ("queries", TEXTS, _texts(groups, words, "q", 5)),
        ("passages", TEXTS, _texts(groups, words, "p", 15)),
        ("qrels", QRELS, _qrels(groups)),
    ):
        with pa.ipc.new_file(str(folder / name), schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        tables.append(pa.ipc.open_file(pa.memory_map(str(folder / name))).read_all())
    save(make("debian", *tables, {}), folder)


def _texts(groups: int, words: np.ndarray, kind: str, length: int) -> Iterator[pa.RecordBatch]:
    from hybrid_sweep.data.collection import TEXTS

    for start in range(0, groups, BLOCK):
        draw = np.random.default_rng([start, length])
        names = [
            f"{number:08d}"
            for number in range(start, min(groups, start + BLOCK))
            for _ in LANGUAGES
        ]
        codes = list(LANGUAGES) * (len(names) // len(LANGUAGES))
        ids = [f"{name}@{code}:{kind}" for name, code in zip(names, codes, strict=True)]
        texts = [
            " ".join(row)
            for row in words[(draw.random((len(names), length)) ** 2 * len(words)).astype(int)]
        ]
        yield pa.record_batch(
            [ids, names, codes, ["train"] * len(names), texts], names=TEXTS.names
        ).cast(TEXTS)


def _qrels(groups: int) -> Iterator[pa.RecordBatch]:
    from hybrid_sweep.data.collection import QRELS

    for start in range(0, groups, BLOCK):
        names = [f"{number:08d}" for number in range(start, min(groups, start + BLOCK))]
        yield pa.record_batch([names, names, [1] * len(names)], names=QRELS.names).cast(QRELS)


def write_negatives(groups: int, each: int, path: Path) -> None:
    """A TREC run with `each` passages for each question."""
    draw = np.random.default_rng(1)
    with open(path, "w") as file:
        for query in range(groups):
            for rank, passage in enumerate(draw.integers(0, groups, each).tolist(), 1):
                file.write(f"{query:08d} Q0 {passage:08d} {rank} {-rank} x\n")


def config_of(work: Path, negatives: bool):
    from hybrid_sweep.config import compose

    words = [
        "data=debian",
        f"data.path={work / 'collection'}",
        f"paths.cache={work / 'cache'}",
        "logger=disabled",
        "batch.size=64",
        "trainer.max_steps=20",
    ]
    if negatives:
        words += [f"data.negatives={work / 'run.trec'}", f"batch.hard_negatives={NEGATIVES}"]
    ((_, config),) = compose.points(words, multirun=False)
    return config


def preparing(work: Path, negatives: bool) -> dict[str, float]:
    """What the first process of a sweep does: tokenizer, tokens, pairs; MB before and at the peak,
    and seconds.
    """
    from hybrid_sweep.inputs import prepare

    config, before, started = config_of(work, negatives), anonymous(), time.monotonic()
    peak = Peak()
    prepare.prepare(config)
    return {"before": before, "peak": peak.value, "seconds": time.monotonic() - started}


def training(work: Path, negatives: bool) -> dict[str, float]:
    """What a worker does up to its 20th step; MB at each stage."""
    import torch

    from hybrid_sweep.inputs import prepare
    from hybrid_sweep.inputs.plan import plan_of
    from hybrid_sweep.models.loading import build_encoder
    from hybrid_sweep.training.batches import HybridData
    from hybrid_sweep.training.lightning_module import Retriever, make_trainer

    config = config_of(work, negatives)
    torch.set_num_threads(config.trainer.threads)
    stages = {"before": anonymous()}
    peak = Peak()
    prepared = prepare.prepare(config)
    stages["prepared"] = anonymous()
    plan = plan_of(config, prepared.all_pairs)
    stages["planned"] = anonymous()
    module = Retriever(build_encoder(config.model, prepared.model, config.seed), config, prepared)
    module.train()
    code = module.vocabulary.code if module.vocabulary else None
    make_trainer(config, []).fit(module, datamodule=HybridData(prepared, plan, config, code=code))
    assert len(module.record) == 20
    stages |= {
        "trained": anonymous(),
        "peak": peak.value,
        "pairs": len(prepared.pairs) * len(LANGUAGES),
    }
    return stages


def measure(groups: int, negatives: int, work: Path) -> dict[str, dict[str, float]]:
    """Both, each in a process of its own."""
    generate(groups, work / "collection")
    if negatives:
        write_negatives(groups, negatives, work / "run.trec")
    found = {}
    for stage in ("preparing", "training"):
        command = [
            sys.executable,
            __file__,
            "--stage",
            stage,
            "--work",
            str(work),
            "--negatives",
            str(negatives),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr[-3000:])
        found[stage] = json.loads(done.stdout.splitlines()[-1])
        print(
            f"{groups:>9,} groups, {stage}: "
            + ", ".join(f"{name} {value:,.0f}" for name, value in found[stage].items())
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--groups",
        type=int,
        nargs="+",
        default=[2000, 200_000],
        help="sizes, the first is the base",
    )
    parser.add_argument(
        "--negatives", type=int, default=0, help="hard negatives in the file for each question"
    )
    parser.add_argument(
        "--work", type=Path, default=None, help="folder for the files; default: a temporary one"
    )
    parser.add_argument("--stage", choices=["preparing", "training"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.stage:
        print(
            json.dumps(
                {"preparing": preparing, "training": training}[args.stage](
                    args.work, bool(args.negatives)
                )
            )
        )
        return
    sizes = []
    for groups in args.groups:
        with tempfile.TemporaryDirectory(prefix="memory-", dir=args.work) as folder:
            sizes.append(measure(groups, args.negatives, Path(folder)))
    for groups, found in zip(args.groups[1:], sizes[1:], strict=True):
        for stage, key in (("training", "trained"), ("training", "peak"), ("preparing", "peak")):
            growth = found[stage][key] - sizes[0][stage][key]
            print(
                f"{args.groups[0]:,} to {groups:,} groups: {stage}, {key}: {growth:+,.0f} MB of"
                " private memory"
            )


if __name__ == "__main__":
    main()
