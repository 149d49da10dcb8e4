"""A model folder cannot have code fetched, other weights loaded or numbers changed by a word of its
config.
"""

from pathlib import Path

import pytest

from hybrid_sweep.models import code_requests
from hybrid_sweep.utils.files import write_json
from tests.refused import refused

PLAIN = {"model_type": "bert", "hidden_size": 16}


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({"attn_implementation": "kernels-community/flash-attn"}, "model.attention"),
        ({"_attn_implementation": "somebody/kernel:forward"}, "model.attention"),
        ({"text_config": {"_attn_implementation": "somebody/kernel"}}, "model.attention"),
        ({"experts_implementation": "somebody/kernel"}, "model.attention"),
        ({"attn_implementation": {"": "somebody/kernel"}}, "model.attention"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "model.quantised"),
    ],
)
def test_what_config_json_may_not_ask_for(
    tmp_path: Path, more: dict[str, object], key: str
) -> None:
    write_json(tmp_path / "config.json", PLAIN | more)
    with refused(key, tmp_path / "config.json"):
        code_requests.check(tmp_path)


def test_an_adapter_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", PLAIN)
    write_json(tmp_path / "adapter_config.json", {"base_model_name_or_path": "somebody/else"})
    with refused("model.adapter", tmp_path):
        code_requests.check(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "3", "null", "{"])
def test_what_is_no_config(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with refused("model.config_layout", tmp_path / "config.json"):
        code_requests.check(tmp_path)


def test_an_ordinary_config_passes(tmp_path: Path) -> None:
    for more in (
        {},
        {"attn_implementation": "sdpa"},
        {"_attn_implementation": None},
        {"quantization_config": None},
    ):
        write_json(tmp_path / "config.json", PLAIN | more)
        code_requests.check(tmp_path)
