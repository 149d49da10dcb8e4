"""A flipped bit, a cut, a link or another type in any file of any store of the cache: made again,
with the same result.
"""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from hybrid_sweep.config.compose import points
from hybrid_sweep.config.schema import Config
from hybrid_sweep.inputs import prepare
from hybrid_sweep.models.folder import TINY
from hybrid_sweep.utils.files import digest

ARRAYS = ("query", "passage", "question", "answer", "judged")
NEGATIVES = ("start", "member", "number", "passage")
COLLECTION = ("queries.arrow", "passages.arrow", "qrels.arrow", "info.json")
FILES = [
    *(f"tokens/*/{name}" for name in ("ids.npy", "starts.npy", "used.npy", "info.json")),
    *(f"pairs/*/{name}.npy" for name in ARRAYS),
    *(f"pairs/*/negatives/{name}.npy" for name in NEGATIVES),
    "pairs/*/ids.arrow",
    "pairs/*/info.json",
    *(f"collections/*/{name}" for name in COLLECTION),
    *(f"selections/*/{name}" for name in COLLECTION),
    *(f"models/tiny-*/{name}" for name in (*TINY, "info.json")),
]
DAMAGES = (
    "a flipped bit",
    "a flipped bit with the old time",
    "cut",
    "gone",
    "a link",
    "another type",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The config of a run with hard negatives in two of four languages, and its cache."""
    root = tmp_path_factory.mktemp("stores")
    words = [
        "data=synthetic",
        "data.groups=60",
        "data.languages=[xa,xb]",
        "model.vocabulary=400",
        "logger=disabled",
    ]
    words += [
        "trainer.max_steps=2",
        "batch.size=4",
        "batch.hard_negatives=1",
        f"paths.cache={root / 'cache'}",
    ]
    ((_, made),) = points([*words, f"data.negatives={root / 'negatives.tsv'}"], multirun=False)
    collection = prepare.whole_collection(made)
    questions, passages = (
        table["id"].to_pylist() for table in (collection.queries, collection.passages)
    )
    lines = [
        f"{query}\t{passages[-1]}\t{passage}"
        for query, passage in zip(questions, passages[40:], strict=False)
    ]
    (root / "negatives.tsv").write_text("\n".join(lines) + "\n")
    return made, root / "cache"


def read(config: Config, cache: Path) -> str:
    """The digest of all that a run reads from the stores of a cache."""
    made = dataclasses.replace(config, paths=dataclasses.replace(config.paths, cache=str(cache)))
    found = prepare.prepare(made)
    pairs, negatives = found.pairs, found.pairs.negatives
    arrays = [
        getattr(tokens, name)
        for tokens in (found.queries, found.passages)
        for name in ("ids", "starts", "used")
    ]
    arrays += [getattr(pairs, name) for name in ARRAYS] + [
        getattr(negatives, name) for name in NEGATIVES
    ]
    tables = [found.collection.queries, found.collection.passages, found.collection.qrels]
    return digest(
        [
            [np.asarray(array).tolist() for array in arrays],
            [pairs.width, pairs.ids.to_pylist(), found.collection.name],
            [table.to_pydict() for table in tables],
            [(found.model / name).read_text() for name in TINY],
            prepare.fingerprints_of(made, found),
        ]
    )


@pytest.fixture(scope="module")
def wanted(whole):
    return read(*whole)


def spoil(path: Path, damage: str, away: Path) -> None:
    stat, content = path.stat(), path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "another type":
        path.write_text(json.dumps([3, {"files": 7}]))
    elif damage == "a link":
        away.write_bytes(content)
        path.unlink()
        path.symlink_to(away)
    else:
        place = len(content) - max(1, len(content) // 5)
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
    if damage == "a flipped bit with the old time":
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("name", FILES)
def test_damage_to_any_file_changes_nothing_that_a_run_reads(whole, wanted, name, tmp_path):
    config, cache = whole
    for number, damage in enumerate(DAMAGES):
        copy = tmp_path / str(number)
        shutil.copytree(cache, copy)
        paths = sorted(copy.glob(name))
        assert paths, f"no store has the file {name}"
        for path in paths:
            spoil(path, damage, tmp_path / f"{number}-{path.parent.name}-away")
        before = {path: path.read_bytes() for path in tmp_path.glob("*-away")}
        assert read(config, copy) == wanted, damage
        assert {path: path.read_bytes() for path in before} == before, "a link was followed"
        assert not [path for path in paths if path.is_symlink()]
        shutil.rmtree(copy)
