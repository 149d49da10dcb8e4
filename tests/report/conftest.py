"""Folders of runs and sweeps with known effects, written as the worker writes them."""

import atexit
import itertools
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hybrid_sweep.utils import plan_log

LANGUAGES = ("de", "en", "fr")
SETTINGS = ("cross-lingual", "monolingual", "multilingual")


@dataclass(frozen=True)
class World:
    """Questions with a difficulty each, in several languages (not every question in every one), and
    what a ratio does.
    """

    questions: int = 40
    languages: tuple[str, ...] = LANGUAGES
    # shift of the mean reciprocal rank
    mono: Callable[[float], float] = lambda ratio: -0.02 * ratio**4
    cross: Callable[[float], float] = lambda ratio: 0.09 * ratio**0.6
    bias: Callable[[float], float] = lambda ratio: -0.13 * ratio**0.7
    seed_sd: float = 0.004
    noise: float = 0.15
    seed: int = 0
    # share of the questions that a language has; 1 unless named
    has: dict[str, float] = field(default_factory=dict)
    # the languages that the runs say they were trained on; all unless named
    trained: tuple[str, ...] = ()


def _reciprocal_rank(values: np.ndarray) -> np.ndarray:
    """Ranks whose reciprocals are near the wanted values."""
    return np.maximum(1, np.rint(1 / np.clip(values, 0.004, 1))).astype(np.int64)


def per_query(
    world: World, run_id: str, ratio: float, seed: int, kind: str = "trained"
) -> pd.DataFrame:
    """The per-query table of one run; question and seed effects are the same at every ratio, noise
    is not.
    """
    fixed = np.random.default_rng([world.seed, 1])
    easy = fixed.beta(0.5, 0.45, size=world.questions)
    exists = {
        lang: np.arange(world.questions) * 37 % 97 < 97 * world.has.get(lang, 1.0)
        for lang in world.languages
    }
    run = np.random.default_rng([world.seed, 2, seed, round(ratio * 1e6), kind == "trained"])
    common = np.random.default_rng([world.seed, 3, seed]).normal(0, world.seed_sd)
    shift = common + run.normal(0, world.seed_sd / 2)
    indices = {lang: np.flatnonzero(exists[lang]) for lang in world.languages}
    several = np.stack([exists[lang] for lang in world.languages]).sum(axis=0)
    names = np.array([f"g{i:05d}" for i in range(world.questions)], dtype=object)
    parts: list[dict[str, Any]] = []
    for setting in SETTINGS:
        targets = {
            "monolingual": None,
            "multilingual": ["*"],
            "cross-lingual": list(world.languages),
        }[setting]
        for query_lang in world.languages:
            for passage_lang in targets or [query_lang]:
                if setting == "cross-lingual" and passage_lang == query_lang:
                    continue
                index = indices[query_lang]
                index = index[exists[passage_lang][index]] if passage_lang in exists else index
                effect = world.mono(ratio) if setting == "monolingual" else world.cross(ratio) - 0.3
                quality = easy[index] + shift + effect + run.normal(0, world.noise, len(index))
                if kind == "untrained":
                    quality = run.beta(0.2, 8, len(index))
                if kind == "bm25":  # words match within a language, and hardly across
                    quality = easy[index] - (0.1 if setting == "monolingual" else 0.6)
                rank = _reciprocal_rank(quality)
                spread = run.geometric(
                    np.clip(0.02 - 0.05 * world.bias(ratio), 0.01, 1), len(index)
                )
                same = 0.44 + world.bias(ratio) + run.normal(0, 0.15, len(index))
                is_multilingual = setting == "multilingual"
                parts.append(
                    {
                        "setting": np.full(len(index), setting, dtype=object),
                        "query_lang": np.full(len(index), query_lang, dtype=object),
                        "passage_lang": np.full(len(index), passage_lang, dtype=object),
                        "group_id": names[index],
                        "query_id": names[index] + f".{query_lang}",
                        "n_relevant": several[index] if is_multilingual else np.ones(len(index)),
                        "rank_min": rank,
                        "spread": spread,
                        "same@10": np.clip(same, 0, 1).round(1)
                        if is_multilingual
                        else np.full(len(index), np.nan),
                    }
                )
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return _frame({"run_id": run_id, "ratio": ratio, "seed": seed, "collection": "toy"}, columns)


def _frame(of_run: dict[str, Any], columns: dict[str, np.ndarray]) -> pd.DataFrame:
    """The per-query table of a run from the columns that `per_query` draws, in its order."""
    rank, n_relevant = columns["rank_min"], columns["n_relevant"]
    multilingual = columns["setting"] == "multilingual"
    columns |= {
        "n_relevant": n_relevant.astype(np.int32),
        "rank_max": np.where(n_relevant > 1, rank + columns["spread"], rank),
        "RR@10": np.where(rank <= 10, 1 / rank, 0.0),
        "AP": np.where(multilingual, 0.8 / rank, 1 / rank),
        "nDCG@10": np.where(rank <= 10, 1 / np.log2(rank + 1), 0.0),
        "R@100": (rank <= 100).astype(float),
    }
    order = [
        *("setting", "query_lang", "passage_lang", "group_id", "query_id", "n_relevant"),
        *("rank_min", "rank_max", "RR@10", "AP", "nDCG@10", "R@100", "same@10"),
    ]
    frame = pd.DataFrame({name: columns[name] for name in order})
    for place, (name, value) in enumerate(of_run.items()):
        frame.insert(place, name, value)
    return frame.sort_values(
        ["setting", "query_lang", "passage_lang", "query_id"], ignore_index=True
    )


def write_run(root: Path, world: World, point: dict[str, Any], **changes: Any) -> Path:
    """One finished run folder; `changes` go into its provenance.

    BM25 names itself as its model, as the worker does.
    """
    if point["kind"] == "bm25":
        changes = {"fingerprints": {"collection": "c0ffee", "model": "words"}} | changes
    run_dir = root / "runs" / point["run_id"]
    run_dir.mkdir(parents=True, exist_ok=True)
    frame = per_query(world, point["run_id"], point["ratio"], point["seed"], point["kind"])
    frame.to_parquet(run_dir / "per_query.parquet", index=False)
    steps = 200 if point["kind"] == "trained" else 0
    crossed = round(point["ratio"] * steps)
    languages = "".join(f"\n  - {lang}" for lang in world.trained or world.languages)
    (run_dir / "config.yaml").write_text(
        f"data:\n  name: toy\n  languages:{languages}\nmodel:\n  name: tiny\nbatch:\n  size: 64\n "
        f" cross_lingual_ratio: {point['ratio']}\ntrainer:\n  max_steps: {steps}\nseed:"
        f" {point['seed']}\n"
    )
    provenance = {
        "versions": {"numpy": "2.4.6", "torch": "2.13.0"},
        "git": {"commit": "0123456789abcdef", "dirty": False},
        "fingerprints": {"collection": "c0ffee", "model": "feed"},
        "hardware": {"cpu": "some"},
        "times": {"train": 1.5},
    } | changes
    (run_dir / "provenance.json").write_text(json.dumps(provenance))
    examples = {
        "examples_monolingual": 64 * (steps - crossed),
        "examples_cross_lingual": 64 * crossed,
    }
    (run_dir / "metrics.json").write_text(
        json.dumps({"run_id": point["run_id"], "summary": {}} | examples)
    )
    return run_dir


def write_sweep(
    root: Path,
    world: World | None = None,
    ratios: Sequence[float] = (0.0, 0.5, 1.0),
    seeds: Sequence[int] = (0, 1, 2),
    untrained: Sequence[int] = (0,),
    margin: float = 0.01,
    name: str = "toy",
    bm25: bool = False,
) -> Path:
    """A finished sweep: its folder, with points.json, and the folders of its runs."""
    world = world or World()
    grid = [("trained", ratio, seed) for ratio, seed in itertools.product(ratios, seeds)]
    grid += [("untrained", 0.0, seed) for seed in untrained]
    grid += [("bm25", 0.0, 0)] * bm25
    points = [
        {
            "run_id": f"{kind[0]}{round(ratio * 100):03d}s{seed}",
            "ratio": ratio,
            "seed": seed,
            "kind": kind,
            "overrides": [],
        }
        for kind, ratio, seed in grid
    ]
    for point in points:
        write_run(root, world, point)
    sweep_dir = root / "sweeps" / name
    sweep_dir.mkdir(parents=True)
    plan = {"name": name, "margin": margin, "command": "hybrid-sweep run -m", "points": points}
    (sweep_dir / "points.json").write_text(json.dumps(plan))
    plan_log.add(sweep_dir, logged(plan))
    return sweep_dir


def logged(
    plan: dict[str, Any],
    finished: int = 0,
    seeds_planned: int | None = None,
    primary: str = "RR@10",
) -> dict[str, Any]:
    """The line of plan.jsonl of a sweep's points.json."""
    own = [point for point in plan["points"] if point["kind"] == "trained"]
    return {
        "primary": plan_log.PRIMARY.format(primary),
        "margin": plan["margin"],
        "ratios": sorted({point["ratio"] for point in own}),
        "seeds": sorted({point["seed"] for point in own}),
        "collections": ["toy"],
        "points": [point["run_id"] for point in plan["points"]],
        "finished": finished,
        "replaced": [],
        "seeds_planned": seeds_planned,
    }


@pytest.fixture
def world() -> type[World]:
    return World


@pytest.fixture
def make_sweep(tmp_path: Path) -> Callable[..., Path]:
    """`write_sweep` in the test's own folder; each call with another name has its own runs."""

    def make(world: World | None = None, **changes: Any) -> Path:
        world = world or World()
        root = tmp_path / changes.get("name", "toy")
        return _copied(
            root, _key(world, changes), lambda folder: write_sweep(folder, world, **changes)
        )

    return make


def _copied(root: Path, key: str | None, write: Callable[[Path], Path]) -> Path:
    """What `write` makes in a folder, copied to `root` where this process has made it already; its
    path.
    """
    if key is None:
        return write(root)
    if key not in _written:
        folder = Path(tempfile.mkdtemp(prefix="hybrid-sweep-test-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _written[key] = folder / "sweep", write(folder / "sweep").relative_to(folder / "sweep")
    template, made = _written[key]
    shutil.copytree(template, root, dirs_exist_ok=True)
    return root / made


# sweeps that were made already, which each test gets a copy of
_written: dict[str, tuple[Path, Path]] = {}


def _key(world: World, changes: Mapping[str, Any]) -> str | None:
    """What a sweep is made of; None where that is a function of the test's own."""
    values = []
    for each in fields(World):
        value = getattr(world, each.name)
        if callable(value) and value is not each.default:
            return None
        values.append("default" if callable(value) else value)
    return repr((values, sorted(changes.items())))


@pytest.fixture
def sweep_dir(make_sweep: Callable[..., Path]) -> Path:
    """3 ratios x 3 seeds and one untrained encoder; some questions have two languages, some only
    English.
    """
    return make_sweep(World(has={"de": 0.6, "fr": 0.8}))


@pytest.fixture
def make(tmp_path: Path, world: Any) -> Callable[..., Path]:
    """A sweep of a small world whose runs have ids of their own: its name comes first in them."""

    from tests.report.comparison.pairs_of_sweeps import renamed

    def made(name: str, **changes: Any) -> Path:
        parts = {
            key: changes.pop(key) for key in list(changes) if key in world.__dataclass_fields__
        }
        its = world(**({"questions": 30} | parts))
        key = _key(its, changes)

        def write(folder: Path) -> Path:
            return renamed(write_sweep(folder, its, name=name, **changes), name)

        return _copied(tmp_path / name, None if key is None else f"{name} {key}", write)

    return made


@pytest.fixture
def two(make: Callable[..., Path]) -> tuple[Path, Path]:
    """Two sweeps with the same tables whose models have other sizes."""
    from tests.report.comparison.pairs_of_sweeps import configured

    return make("a"), configured(make("b"), "name: tiny", "name: tiny\n  hidden_size: 256")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the figures of a report, which take most of its time."""
    from hybrid_sweep.report import publish, report_files

    def save_all(figures: Mapping[str, str], folder: Path) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            (folder / f"{name}.png").write_text(figure)
        return [folder / f"{name}.png" for name in figures]

    monkeypatch.setattr(report_files, "drawn", lambda *args: {"curve": args[-1], "training": None})
    monkeypatch.setattr(report_files, "main_figure", lambda *args: {"curve": args[-1]})
    monkeypatch.setattr(report_files, "save_all", save_all)
    monkeypatch.setattr(publish, "lighten", lambda path: None)


@pytest.fixture
def interpolated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Interpolate the critical values, as the other simulations do: half of the time is theirs."""
    from benchmarks.calibration import half_widths
    from hybrid_sweep.report import statistics

    monkeypatch.setattr(statistics, "half_width", half_widths)
