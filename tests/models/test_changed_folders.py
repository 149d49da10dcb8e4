"""A model folder that was changed is refused, or gives the vectors that sentence-transformers gives of
it, or what is done otherwise is said: never a traceback, never other numbers without a word.
"""

import copy
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hybrid_sweep.commands.evaluate import config_of
from hybrid_sweep.models import trial
from hybrid_sweep.models.encoder import encode
from hybrid_sweep.models.folder import model_folder
from hybrid_sweep.models.loading import build_encoder
from hybrid_sweep.models.tokens import load_tokenizer, pad_id, tokenized
from hybrid_sweep.utils.errors import UserError
from tests.models.folders import TEXTS, bert_folder, sentence_transformer

Change = Callable[[Path], None]
MANY = 60  # of all changes, drawn with a fixed seed
VALUES = (None, True, 0, -1, 8, 3.5, "x", "dot", [], ["cls"], {}, {"x": 1})


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A folder that sentence-transformers has saved, with all kinds of modules, and no note to make."""
    root = tmp_path_factory.mktemp("models")
    bert_folder(root / "bert", positions=128)
    sentence_transformer(root / "bert", root / "st", (24, "Tanh", True), pooling="mean")
    return root / "st"


def changes(folder: Path) -> Iterator[tuple[str, Change]]:
    """Every file left out or cut, every value of a JSON file left out or another, every tensor left
    out or renamed.
    """
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name == "README.md":
            continue
        file = str(path.relative_to(folder))
        yield f"{file} is not there", lambda root, file=file: (root / file).unlink()
        yield f"{file} is cut", _cut(file)
        if path.suffix == ".safetensors":
            for name in load_file(path):
                yield f"{file}: {name} left out", _tensor(file, name, None)
                yield f"{file}: {name} renamed", _tensor(file, name, f"model.{name}")
        elif path.name != "tokenizer.json":
            for place in _places(json.loads(path.read_text())):
                yield f"{file}: {place} left out", _set(file, place)
                for value in VALUES:
                    yield f"{file}: {place} is {value!r}", _set(file, place, value)


def _places(node: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value, as the keys that lead to it."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        yield (*above, key)
        if isinstance(value, dict | list):
            yield from _places(value, (*above, key))


def _cut(file: str) -> Change:
    def change(root: Path) -> None:
        content = (root / file).read_bytes()
        (root / file).write_bytes(content[: len(content) // 2])

    return change


def _set(file: str, place: tuple[Any, ...], *value: Any) -> Change:
    """Set a value, or leave it out where none is given."""

    def change(root: Path) -> None:
        content = json.loads((root / file).read_text())
        node = content
        for key in place[:-1]:
            node = node[key]
        if value:
            node[place[-1]] = copy.deepcopy(value[0])
        else:
            del node[place[-1]]
        (root / file).write_text(json.dumps(content))

    return change


def _tensor(file: str, name: str, new: str | None) -> Change:
    def change(root: Path) -> None:
        weights = load_file(root / file)
        value = weights.pop(name)
        if new is not None:
            weights[new] = value
        save_file(weights, root / file, {"format": "pt"})

    return change


def scores(folder: Path, cache: Path, say: Callable[[str], None]) -> np.ndarray:
    """The cosines of some texts by the encoder of a folder, as `evaluate` reads it."""
    config = config_of([f"model.path={folder}", "data=synthetic", "logger=disabled"])
    place = model_folder(config, [])
    trial.check(config.model, place, cache, say)
    encoder = build_encoder(config.model, place, 0)
    tokens = tokenized(
        load_tokenizer(place), TEXTS, config.model.passage_prompt, config.model.passage_length
    )
    rows = np.arange(len(TEXTS))
    vectors = encode(encoder, tokens, rows, pad=pad_id(place), batch_tokens=512)
    return vectors @ vectors.T


def theirs(folder: Path) -> np.ndarray | None:
    """The same by sentence-transformers; None where it cannot load the folder."""
    from sentence_transformers import SentenceTransformer

    try:
        model = SentenceTransformer(str(folder), device="cpu")
        vectors = model.encode_document(TEXTS, convert_to_tensor=True)
        return model.similarity(vectors, vectors).numpy()
    except Exception:  # whatever it raises
        return None


def outcome(folder: Path, cache: Path, control: np.ndarray, told: Callable[[], str]) -> str:
    """What becomes of a changed folder: refused, said, the same as theirs, or a fault."""
    notes: list[str] = []
    told()
    try:
        ours = scores(folder, cache, notes.append)
    except UserError:
        return "refused"
    is_said = bool(notes or "\n" in told())
    reference = theirs(folder)
    expected = control if reference is None else reference
    if expected.shape == ours.shape and np.allclose(ours, expected, atol=1e-5):
        return "as before" if reference is None else "same"
    return "said" if is_said else f"fault: differs by {np.abs(ours - expected).max():.2g}"


def test_nothing_that_a_folder_says_is_passed_over(original, tmp_path, capsys):
    torch.set_num_threads(1)
    capsys.readouterr()
    control = scores(original, tmp_path / "cache", pytest.fail)
    assert capsys.readouterr().out == ""
    assert np.allclose(control, theirs(original), atol=1e-5)
    every = list(changes(original))
    assert len({name for name, _ in every}) == len(every) > 500
    outcomes = {}
    for name, change in random.Random(0).sample(every, MANY):
        folder = tmp_path / "changed"
        shutil.copytree(original, folder)
        change(folder)
        told = lambda: capsys.readouterr().out  # noqa: E731
        outcomes[name] = outcome(folder, tmp_path / "cache", control, told)
        shutil.rmtree(folder)
    assert not {name: word for name, word in outcomes.items() if word.startswith("fault")}
    assert {"refused", "same"} <= set(outcomes.values())
