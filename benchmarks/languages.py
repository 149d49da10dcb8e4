"""What a sweep of many languages and many points takes to report, to probe and to plan:

    python benchmarks/languages.py                          (120 languages, 3 seeds, 8 ratios)
    python benchmarks/languages.py --languages 30 60 120    (how it grows)
    python benchmarks/languages.py --work DIR --keep        (leaves the sweep there)

The per-query tables of a finished sweep are generated: each question in every language, asked of
the passages of its own language, of each other one and of all together. `report` and `probe` then
read them in processes of their own, and `plan` lists the points of a sweep of the tiny model.
Printed are wall and CPU seconds, the peak of the resident memory, and the sizes of the pages.
Aims: the report under 60 s and its page under 2.5 MB, the probe under 120 s and 1 GB, 2,401 points
planned in under 10 s.
"""

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hybrid_sweep.runs import finished
from hybrid_sweep.utils.files import write_json

MARGIN = 0.01
MOST_RANK = 500


@dataclass(frozen=True)
class Size:
    """How large a sweep is: so many languages, questions in each, ratios and seeds."""

    languages: int
    questions: int
    ratios: int
    seeds: int

    @property
    def codes(self) -> list[str]:
        """Return the codes of the languages, sorted; English is among them."""
        letters = "abcdefghijklmnopqrstuvwxyz"
        pairs = ["".join(pair) for pair in itertools.product(letters, letters)]
        apart = pairs[:: len(pairs) // self.languages][: self.languages - 1]
        return sorted({"en", *apart} | set(pairs[: self.languages - len({"en", *apart})]))


def cells(size: Size) -> list[tuple[str, str, str]]:
    """Return setting, query language and passage language of each cell, sorted."""
    codes = size.codes
    crossed = [("cross-lingual", one, other) for one, other in itertools.permutations(codes, 2)]
    own = [("monolingual", code, code) for code in codes]
    return [*crossed, *own, *[("multilingual", code, "*") for code in codes]]


def table(size: Size, run_id: str, ratio: float, seed: int) -> pa.Table:
    """Return the per-query table of a run: questions of unlike difficulty, a loss in the own
    language and a gain across languages that grow with the ratio.
    """
    names = cells(size)
    draw = np.random.default_rng([seed, round(ratio * 1e6)])
    hard = np.random.default_rng(7).gamma(0.7, 6.0, size.questions)
    moved = [1 + 0.3 * ratio if name == "monolingual" else 2 - ratio for name, _, _ in names]
    ranks = 1 + np.outer(moved, hard) * draw.gamma(4.0, 0.25, (len(names), size.questions))
    best = np.minimum(ranks, MOST_RANK).astype(np.int64).ravel()
    everywhere = np.repeat([name == "multilingual" for name, _, _ in names], size.questions)
    last = np.where(everywhere, best + draw.integers(1, 90, len(best)), best)
    same = draw.integers(0, 11, len(best)) / 10
    rows = len(best)
    groups = [f"g{number:05d}" for number in range(size.questions)]
    text = {
        "run_id": [run_id] * rows,
        "collection": ["generated"] * rows,
        "setting": np.repeat([name for name, _, _ in names], size.questions),
        "query_lang": np.repeat([one for _, one, _ in names], size.questions),
        "passage_lang": np.repeat([other for _, _, other in names], size.questions),
        "group_id": groups * len(names),
        "query_id": [f"{group}.{one}" for _, one, _ in names for group in groups],
    }
    numbers = {
        "ratio": np.full(rows, ratio),
        "seed": np.full(rows, seed),
        "n_relevant": np.where(everywhere, size.languages, 1),
        "rank_min": best,
        "rank_max": last,
        "RR@10": np.where(best <= 10, 1 / best, 0.0),
        "AP": 1 / best,
        "nDCG@10": np.where(best <= 10, 1 / np.log2(best + 1), 0.0),
        "R@100": (best <= 100).astype(np.float64),
        "same@10": np.where(everywhere, same, np.nan),
    }
    return pa.table({name: pa.array(values) for name, values in {**text, **numbers}.items()})


def generate(size: Size, root: Path) -> Path:
    """Write the finished runs of a sweep; return the folder of the sweep."""
    ratios = [round(each, 3) for each in np.linspace(0, 1, size.ratios).tolist()]
    points = []
    for ratio, seed in itertools.product(ratios, range(size.seeds)):
        run_id = f"t{round(ratio * 1000):04d}s{seed}"
        folder = root / "runs" / run_id
        folder.mkdir(parents=True)
        pq.write_table(table(size, run_id, ratio, seed), folder / finished.TABLE)
        config = {
            "data": {"name": "generated", "languages": size.codes},
            "model": {"name": "tiny"},
            "batch": {"size": 64, "cross_lingual_ratio": ratio},
            "trainer": {"max_steps": 200},
            "seed": seed,
        }
        made = {"fingerprints": {"collection": "c0ffee", "model": "feed"}}
        write_json(folder / "config.yaml", config)
        write_json(folder / "provenance.json", made)
        metrics = {"run_id": run_id, "summary": {}}
        write_json(folder / "metrics.json", finished.sealed(folder, metrics))
        points.append(
            {"run_id": run_id, "ratio": ratio, "seed": seed, "kind": "trained", "overrides": []}
        )
    plan = {"name": "generated", "margin": MARGIN, "command": "", "points": points}
    (root / "sweeps" / "generated").mkdir(parents=True)
    write_json(root / "sweeps" / "generated" / "points.json", plan)
    return root / "sweeps" / "generated"


def child(words: list[str]) -> None:
    """Run a verb in this process and print, as the last line, its seconds and its peak memory."""
    from hybrid_sweep.commands.cli import main as verb

    begun = time.perf_counter()
    try:
        code = verb(words)
    except SystemExit as error:
        code = error.code
    spent = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = {
        "code": code,
        "wall": time.perf_counter() - begun,
        "cpu": spent.ru_utime + spent.ru_stime + children.ru_utime + children.ru_stime,
        "peak": max(spent.ru_maxrss, children.ru_maxrss) / 1e6,  # GB: Linux counts in kB
    }
    print(json.dumps(found))


def timed(words: list[str]) -> dict[str, float]:
    """Return what a verb takes in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "WANDB_MODE": "disabled"},
    )
    if done.returncode:
        sys.exit(done.stderr[-3000:] + done.stdout[-3000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if found["code"] not in (0, None):
        sys.exit(done.stderr[-3000:] + done.stdout[-3000:])
    return found


def say(name: str, found: dict[str, float], more: str = "") -> None:
    print(
        f"  {name}: {found['wall']:.1f} s, of CPU time {found['cpu']:.1f} s, at most"
        f" {found['peak']:.2f} GB{more}",
        flush=True,
    )


def measure(size: Size, work: Path, only: list[str]) -> None:
    """Generate a sweep, and print what its report and its probe take."""
    folder = work / "sweeps" / "generated"
    if not folder.is_dir():
        folder = generate(size, work)
    rows = pq.read_metadata(work / "runs" / "t0000s0" / finished.TABLE).num_rows
    runs = size.ratios * size.seeds
    print(
        f"{size.languages} languages, {size.questions} questions, {size.ratios} ratios x"
        f" {size.seeds} seeds: {rows * runs:,} rows",
        flush=True,
    )
    if "report" in only:
        found = timed(["report", str(folder)])
        page = (folder / "report.html").stat().st_size / 1e6
        say("report", found, f"; report.html {page:.2f} MB")
    if "probe" in only:
        say("probe", timed(["probe", str(folder), "--no-texts"]))


def plan(points: int, work: Path) -> None:
    """Print what `plan` takes for a sweep of `points` points."""
    ratios = sorted({round(each / 48, 4) for each in range(49)})
    seeds = ",".join(map(str, range(points // len(ratios))))
    words = [
        *("plan", "-m", "data=synthetic", "model=tiny", "sweep.name=many"),
        f"batch.cross_lingual_ratio={','.join(map(str, ratios))}",
        *(f"seed={seeds}", "sweep.untrained=false"),
        *(f"paths.cache={work / 'cache'}", f"paths.outputs={work / 'outputs'}"),
    ]
    timed([*words[:4], "sweep.name=few", *words[7:]])  # what is built once is there
    say(f"plan of {points:,} points", timed(words))


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--languages", type=int, nargs="+", default=[120])
    parser.add_argument("--questions", type=int, default=10)
    parser.add_argument("--ratios", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--points", type=int, default=2401, help="of the plan")
    parser.add_argument("--only", nargs="+", default=["report", "probe", "plan"])
    parser.add_argument("--work", type=Path, help="folder for the files; default: a temporary one")
    parser.add_argument("--keep", action="store_true", help="leave the files in --work")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="languages-") as temporary:
        work = args.work if args.work and args.keep else Path(temporary)
        for languages in args.languages:
            size = Size(languages, args.questions, args.ratios, args.seeds)
            if {"report", "probe"} & set(args.only):
                name = f"{languages}x{args.questions}x{args.ratios}x{args.seeds}"
                measure(size, work / name, args.only)
        if "plan" in args.only:
            plan(args.points, work / "plan")


if __name__ == "__main__":
    main()
