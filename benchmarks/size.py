"""Memory, disk and time of preparing a large collection, and what they come to for all of mMARCO:

    python benchmarks/size.py                                       (0.25, 0.5, 1 and 4 M passages: a minute and 6 GB of disk)
    python benchmarks/size.py --passages 250000 1000000 --work DIR

Files in mMARCO's layout are generated, a quarter of the passages in each of four languages, with as
many bytes of text as a passage of MS MARCO has. `hybrid-sweep data prepare` then reads, checks,
sorts and hashes them in a process of its own. What is reported is the peak of RssAnon, memory that
only this process holds (mapped files are the page cache, and given back when memory is short); the
most bytes on disk at a time, the source's own files not counted, and those that stay; and seconds.
The line through the sizes gives the figures of 8,841,823 passages in 14 languages. Its memory is
that of the slope: what grows with a language's passages (their numbers) and with the number of all
of them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from memory import Peak

LANGUAGES = {"de": "german", "en": "english", "es": "spanish", "fr": "french"}
MARCO, ALL = 8_841_823, 14  # passages of a language; languages
LENGTH = 380  # bytes of a line of english_collection.tsv on average
QUESTIONS = 1000
BLOCK = 50_000


def generate(passages: int, folder: Path) -> None:
    """Files in mMARCO's layout: words at random, the passages in the order of their numbers, as
    there.
    """
    draw = np.random.default_rng(0)
    syllables = np.array([a + b for a in "bdfgklmnprstvz" for b in "aeiou"])
    words = np.array(["".join(draw.choice(syllables, 3)) for _ in range(5000)], dtype=object)
    each = LENGTH // 7
    for name in LANGUAGES.values():
        for part in ("collections", "queries/train", "queries/dev"):
            (folder / "google" / part).mkdir(parents=True, exist_ok=True)
        with open(folder / f"google/collections/{name}_collection.tsv", "w") as file:
            for start in range(0, passages // len(LANGUAGES), BLOCK):
                numbers = range(start, min(start + BLOCK, passages // len(LANGUAGES)))
                rows = words[draw.integers(0, len(words), (len(numbers), each))]
                file.writelines(
                    f"{n}\t{' '.join(row)}\n" for n, row in zip(numbers, rows, strict=True)
                )
        for part, first in (("train", 0), ("dev.small", QUESTIONS)):
            path = folder / f"google/queries/{part.partition('.')[0]}/{name}_queries.{part}.tsv"
            path.write_text(
                "".join(f"{n}\tquestion {n}\n" for n in range(first, first + QUESTIONS))
            )
            judged = "".join(f"{n}\t0\t{n}\t1\n" for n in range(first, first + QUESTIONS))
            (folder / f"qrels.{part}.tsv").write_text(judged)


class Disk:
    """The most bytes that the files in a folder took since it was made."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.value = folder, 0
        threading.Thread(target=self._watch, daemon=True).start()

    def now(self) -> int:
        found = 0
        for path in self.folder.rglob("*"):
            try:
                found += path.stat().st_size
            except OSError:  # gone by now
                continue
        return found

    def _watch(self) -> None:
        while True:
            self.value = max(self.value, self.now())
            time.sleep(0.2)


def preparing(work: Path) -> dict[str, float]:
    """What `hybrid-sweep data prepare` does; MB and seconds."""
    from hybrid_sweep.config import compose
    from hybrid_sweep.inputs import prepare

    words = ["data=mmarco", f"data.path={work / 'files'}", f"paths.cache={work / 'cache'}"]
    ((_, config),) = compose.points(
        [*words, f"data.languages=[{','.join(LANGUAGES)}]"], multirun=False
    )
    (work / "cache").mkdir()
    peak, disk, started = Peak(), Disk(work / "cache"), time.monotonic()
    found = prepare.whole_collection(config)
    seconds = time.monotonic() - started
    passages = float(len(found.passages))
    return {
        "passages": passages,
        "memory": peak.value,
        "disk": disk.value / 1e6,
        "kept": disk.now() / 1e6,
        "seconds": seconds,
    }


def measure(passages: int, work: Path) -> dict[str, float]:
    generate(passages, work / "files")
    command = [sys.executable, __file__, "--stage", str(work)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(
        f"{found['passages']:>11,.0f} passages: {found['memory']:,.0f} MB of private memory at the"
        f" peak, {found['disk']:,.0f} MB of disk at the peak and {found['kept']:,.0f} MB kept,"
        f" {found['seconds']:,.0f} s",
        flush=True,
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--passages",
        type=int,
        nargs="+",
        default=[250_000, 500_000, 1_000_000, 4_000_000],
        help="sizes",
    )
    parser.add_argument(
        "--work", type=Path, default=None, help="folder for the files; default: a temporary one"
    )
    parser.add_argument("--stage", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.stage:
        print(json.dumps(preparing(args.stage)))
        return
    sizes = []
    for passages in args.passages:
        with tempfile.TemporaryDirectory(prefix="size-", dir=args.work) as folder:
            sizes.append(measure(passages, Path(folder)))
    if len(sizes) < 2:
        return
    whole = MARCO * ALL
    print(
        f"by the line through these sizes, {MARCO:,} passages x {ALL} languages = {whole:,}"
        " come to:"
    )
    for name, unit, scale in (
        ("memory", "GB of private memory at the peak", 1e3),
        ("disk", "GB of disk at the peak", 1e3),
        ("kept", "GB of disk kept", 1e3),
        ("seconds", "hours", 3600),
    ):
        slope, start = np.polyfit(
            [each["passages"] for each in sizes], [each[name] for each in sizes], 1
        )
        per_million = f"{slope * 1e6:,.1f} {'s' if name == 'seconds' else 'MB'} per million"
        print(f"  {(start + slope * whole) / scale:8.1f} {unit}  ({per_million})")


if __name__ == "__main__":
    main()
