"""What the files of a model folder may ask of the libraries that load it, and what is refused
before they do.

transformers follows some words of config.json by itself: it fetches and runs a kernel from the hub,
loads an adapter from another place, or turns weights into another number format. No file decides
that here.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hybrid_sweep.utils import names
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import read_json

IMPLEMENTATIONS = (
    "attn_implementation",
    "_attn_implementation",
    "experts_implementation",
    "_experts_implementation",
)
OWN = (None, "eager", "sdpa")  # of torch alone, nothing is fetched


def check(folder: Path) -> None:
    """Raise UserError where a model folder asks for code, weights or numbers that are not its own.

    Args:
        folder: of the transformer, with config.json.
    """
    for path in (*folder.glob("*.safetensors"), *folder.glob("*.json")):
        if not path.is_file():  # to open a FIFO would never end
            raise UserError(f"{path} is no regular file", key="model.not_regular")
    if (folder / "adapter_config.json").exists():
        raise UserError(
            f"{folder}: adapter_config.json would load other weights into the model; merge the"
            " adapter, or remove the file",
            key="model.adapter",
        )
    path = folder / "config.json"
    config = read_json(path)
    if not isinstance(config, dict):
        raise UserError(
            f"{path} is no JSON object; it must be the config of a model", key="model.config_layout"
        )
    for key, value in _items(config):
        if key in IMPLEMENTATIONS and value not in OWN:
            raise UserError(
                f"{path}: {key} is {names.shown(value)}; here attention is eager or sdpa: remove"
                " the key",
                key="model.attention",
            )
        if key == "quantization_config" and value:
            raise UserError(
                f"{path}: quantised weights are not read here; save the model in float32",
                key="model.quantised",
            )


def _items(node: Any, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield every key with its value, also of nested configs such as text_config."""
    for key, value in node.items():
        yield key, value
        if isinstance(value, dict) and depth < 4:
            yield from _items(value, depth + 1)
