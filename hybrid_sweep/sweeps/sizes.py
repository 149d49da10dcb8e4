"""How large models and collections are: those that are here, and for others what sizes.yaml says,
where published sizes are kept. No torch here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from hybrid_sweep.config.schema import Config, ModelConfig, TinyModel
from hybrid_sweep.inputs.prepare import collection_of, is_prepared
from hybrid_sweep.utils.files import read_json

# Questions and passages of collections that were counted, by what was counted.
Counted = dict[str, tuple[int, int]]
# Names in a config.json, in the order of the fields of a Shape.
NAMES = ("num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size")


@dataclass(frozen=True)
class Shape:
    """The shape of a transformer. inner: width of its feed-forward layers."""

    layers: int
    width: int
    inner: int
    vocabulary: int

    @property
    def layer_weights(self) -> int:
        """Return how many weights the layers have: four projections and two feed-forward
        matrices in each.
        """
        projections = 4 * self.width * self.width
        feed_forward = 2 * self.width * self.inner
        return self.layers * (projections + feed_forward)

    @property
    def weights(self) -> int:
        """Return how many weights the layers and the token embeddings have."""
        return self.layer_weights + self.vocabulary * self.width


@dataclass(frozen=True)
class Texts:
    """What an evaluation reads.

    query_tokens, passage_tokens: of one, on average. fetched: bytes of the files of passages that
    are not here yet.
    """

    questions: int
    passages: int
    query_tokens: int
    passage_tokens: int
    fetched: int

    @property
    def count(self) -> int:
        return self.questions + self.passages

    @property
    def tokens(self) -> int:
        return self.questions * self.query_tokens + self.passages * self.passage_tokens


def published() -> dict[str, Any]:
    """Return the content of sizes.yaml."""
    text = Path(__file__).with_name("sizes.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))


def shape_of(model: ModelConfig, listed: Mapping[str, Any]) -> Shape:
    """Return the shape of a model: by its config.json where it is at hand, else as published.

    listed: the models of sizes.yaml.
    """
    if isinstance(model, TinyModel):
        sizes = [model.depth, model.hidden_size, model.intermediate_size, model.vocabulary]
    else:
        sizes = list(listed.get(model.name, listed["other"]))
        here = None
        if model.path:
            here = read_json(Path(model.path).expanduser() / "config.json")
        if isinstance(here, dict):
            for place, name in enumerate(NAMES):
                if isinstance(here.get(name), int):
                    sizes[place] = here[name]
    if model.layers is not None:
        sizes[0] = min(sizes[0], model.layers)
    return Shape(*sizes)


def texts_of(config: Config, listed: Mapping[str, Any], counted: Counted) -> Texts:
    """Return what an evaluation reads: counted where the collection is built, else as published.

    Args:
        config: of an evaluation; its collection is its only one.
        listed: the collections of sizes.yaml.
        counted: what was counted before; what is counted now is added.
    """
    data = config.data
    model = config.model
    entry = listed.get(data.name, listed["other"])
    query, passage = entry["tokens"]
    tokens = min(query, model.query_length), min(passage, model.passage_length)
    if is_prepared(config):
        key = f"{data} {config.eval.split}"
        if key not in counted:
            counted[key] = _counts(config)
        return Texts(*counted[key], *tokens, 0)
    languages = set(data.languages)
    passages = 0
    for language in languages:
        passages += entry["passages"].get(language, entry["passages"]["other"])
    questions = entry["questions"] * len(languages)
    return Texts(questions, passages, *tokens, passages * entry["bytes"])


def _counts(config: Config) -> tuple[int, int]:
    """Return how many questions and passages an evaluation reads of a collection that is built."""
    collection = collection_of(config)

    def count(table: pa.Table) -> int:
        # A comparison with a text of Python's would bring pandas along, which takes a second.
        rows = table["split"].value_counts().to_pylist()
        return sum(row["counts"] for row in rows if row["values"] in (config.eval.split, "*"))

    return count(collection.queries), count(collection.passages)
