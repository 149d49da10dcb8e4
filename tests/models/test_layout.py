"""What a sentence-transformers folder says is read whole, or refused by the name of what is not
known.
"""

import json
from pathlib import Path

import pytest

from hybrid_sweep.models.layout import (
    DenseLayer,
    read_layout,
    resolve_pooling,
    shards,
    write_layout,
)
from tests.refused import refused

TANH = "torch.nn.modules.activation.Tanh"
MEAN, CLS = {"pooling_mode": "mean"}, {"pooling_mode": "cls"}


def put(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def folder_of(
    root: Path, *modules: str, pooling: dict = CLS, dense: dict | None = None, transformer: str = ""
) -> Path:
    """A folder with these modules by the names of their classes, without a model."""
    listed = []
    for place, name in enumerate(modules):
        path = transformer if name == "Transformer" else f"{place}_{name}"
        listed.append({"path": path, "type": f"sentence_transformers.models.{name}"})
        if name == "Pooling":
            put(root / path / "config.json", pooling)
        if name == "Dense":
            put(
                root / path / "config.json",
                {
                    "in_features": 4,
                    "out_features": 3,
                    "bias": True,
                    "activation_function": TANH,
                    **(dense or {}),
                },
            )
            (root / path / "model.safetensors").write_bytes(b"")
    put(root / "modules.json", listed)
    return root


WHOLE = ("Transformer", "Pooling", "Dense", "Normalize")


def test_all_modules_are_read_in_their_order(tmp_path):
    folder_of(tmp_path, "Transformer", "Pooling", "Dense", "Dense", "Normalize")
    layout = read_layout(tmp_path)
    weights = [tmp_path / f"{place}_Dense" / "model.safetensors" for place in (2, 3)]
    assert layout.transformer == tmp_path and layout.pooling == "cls"
    assert layout.dense == tuple(DenseLayer(4, 3, True, "Tanh", path) for path in weights)
    named = {"modules.json", "1_Pooling/config.json"} | {
        f"{n}_Dense/{f}" for n in (2, 3) for f in ("config.json",)
    }
    assert set(layout.files) == named | {"2_Dense/model.safetensors", "3_Dense/model.safetensors"}


def test_a_folder_without_modules_is_a_transformer_alone(tmp_path):
    layout = read_layout(tmp_path)
    assert (layout.transformer, layout.pooling, layout.dense, layout.files) == (
        tmp_path,
        None,
        (),
        {},
    )
    assert resolve_pooling("auto", layout) == "mean" and resolve_pooling("cls", layout) == "cls"


def test_a_transformer_in_a_sub_folder_is_found_from_above_and_from_inside(tmp_path):
    folder_of(tmp_path, *WHOLE, transformer="0_Transformer")
    (tmp_path / "0_Transformer").mkdir()
    above, inside = read_layout(tmp_path), read_layout(tmp_path / "0_Transformer")
    assert (
        above == inside
        and above.transformer == tmp_path / "0_Transformer"
        and len(above.dense) == 1
    )
    (tmp_path / "other").mkdir()
    assert read_layout(tmp_path / "other").files == {}  # a neighbour is not the model's


@pytest.mark.parametrize(
    "config, mode",
    [
        (MEAN, "mean"),
        (CLS, "cls"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        (
            {
                "pooling_mode_cls_token": False,
                "pooling_mode_mean_tokens": True,
                "pooling_mode_max_tokens": False,
            },
            "mean",
        ),
        ({"word_embedding_dimension": 4}, "mean"),
        ({"pooling_mode": "cls", "pooling_mode_mean_tokens": True}, "cls"),
    ],
)
def test_the_folders_pooling_in_both_forms_of_its_config(tmp_path, config, mode):
    layout = read_layout(folder_of(tmp_path, *WHOLE, pooling=config))
    assert resolve_pooling("auto", layout) == mode
    assert {stated: resolve_pooling(stated, layout) for stated in ("mean", "cls")} == {
        "mean": "mean",
        "cls": "cls",
    }


@pytest.mark.parametrize(
    "config, named",
    [
        ({"pooling_mode": "max"}, "max"),
        ({"pooling_mode_weightedmean_tokens": True}, "weightedmean"),
        ({"pooling_mode": ["cls", "mean"]}, "cls+mean"),
        ({"pooling_mode_cls_token": True, "pooling_mode_max_tokens": True}, "cls+max"),
        ({"pooling_mode": "mean", "include_prompt": False}, "mean without the prompt"),
    ],
)
def test_another_pooling_is_refused_by_name_unless_one_is_stated(tmp_path, config, named):
    layout = read_layout(folder_of(tmp_path, *WHOLE, pooling=config))
    with refused("model.pooling_unknown", named):
        resolve_pooling("auto", layout)
    assert resolve_pooling("mean", layout) == "mean"


@pytest.mark.parametrize("name", ["CNN", "WeightedLayerPooling", "Asym", "Dropout"])
def test_a_module_that_is_not_known_is_refused_by_name(tmp_path, name):
    with refused("model.module_unknown", "modules.json", name):
        read_layout(folder_of(tmp_path, "Transformer", "Pooling", name, "Normalize"))


def test_a_module_of_another_library_is_refused_though_its_name_is_known(tmp_path):
    """Late interaction has a Dense of its own, on the vectors of tokens."""
    for place, kind in ((1, "pylate.models.Dense.Dense"), (0, "x.Transformer"), (2, "Dense")):
        folder_of(tmp_path, *WHOLE)
        listed = json.loads((tmp_path / "modules.json").read_text())
        listed[place]["type"] = kind
        put(tmp_path / "modules.json", listed)
        with refused("model.module_unknown", "modules.json", kind):
            read_layout(tmp_path)


def test_what_pools_is_stated_or_refused(tmp_path):
    folder_of(tmp_path / "tokens", "Transformer", "Normalize")
    with refused("model.pooling_unknown", tmp_path / "tokens"):
        resolve_pooling("auto", read_layout(tmp_path / "tokens"))
    folder_of(tmp_path / "torn", *WHOLE)
    (tmp_path / "torn" / "1_Pooling" / "config.json").unlink()
    with refused("model.files_missing", tmp_path / "torn" / "1_Pooling"):
        read_layout(tmp_path / "torn")


@pytest.mark.parametrize(
    "modules",
    [
        ("Transformer", "Pooling", "Normalize", "Dense"),
        ("Pooling", "Transformer"),
        ("Transformer", "Dense", "Pooling"),
        ("Transformer", "Pooling", "Pooling"),
        ("Pooling", "Dense"),
    ],
)
def test_another_order_of_modules_is_refused(tmp_path, modules):
    with refused("model.modules_order", "modules.json", ", ".join(modules)):
        read_layout(folder_of(tmp_path, *modules))


@pytest.mark.parametrize(
    "config, key, fact",
    [
        ({"activation_function": "os.system"}, "model.activation_unknown", "os.system"),
        ({"activation_function": "os.Tanh"}, "model.activation_unknown", "os.Tanh"),
        (
            {"activation_function": "torch.nn.modules.activation.SiLU"},
            "model.activation_unknown",
            "SiLU",
        ),
        ({"use_residual": True}, "model.dense_kind", "2_Dense"),
        ({"module_input_name": "token_embeddings"}, "model.dense_kind", "2_Dense"),
        ({"module_output_name": "mine"}, "model.dense_kind", "2_Dense"),
    ],
)
def test_a_dense_layer_that_would_compute_something_else_is_refused(tmp_path, config, key, fact):
    with refused(key, fact):
        read_layout(folder_of(tmp_path, *WHOLE, dense=config))


def test_weights_that_would_be_unpickled_are_refused(tmp_path):
    folder_of(tmp_path, *WHOLE)
    (tmp_path / "2_Dense" / "model.safetensors").rename(tmp_path / "2_Dense" / "pytorch_model.bin")
    with refused("model.weights_missing", "2_Dense", "model.safetensors"):
        read_layout(tmp_path)


def test_lower_casing_outside_the_tokenizer_and_a_torn_list_are_refused(tmp_path):
    folder_of(tmp_path, *WHOLE)
    put(tmp_path / "sentence_bert_config.json", {"max_seq_length": 64, "do_lower_case": False})
    read_layout(tmp_path)
    put(tmp_path / "sentence_bert_config.json", {"max_seq_length": 64, "do_lower_case": True})
    with refused("model.lower_case", "do_lower_case"):
        read_layout(tmp_path)
    (tmp_path / "modules.json").write_text("[{")
    with refused("model.json_damaged", "modules.json"):
        read_layout(tmp_path)


def test_what_is_written_is_read_again(tmp_path):
    dense = [
        DenseLayer(8, 6, True, "GELU", tmp_path / "2_Dense" / "model.safetensors"),
        DenseLayer(6, 4, False, "Identity", tmp_path / "3_Dense" / "model.safetensors"),
    ]
    for layer in dense:
        put(layer.weights, "")
    write_layout(tmp_path, width=8, pooling="cls", dense=dense)
    layout = read_layout(tmp_path)
    assert (
        layout.pooling == "cls"
        and layout.dense == tuple(dense)
        and (tmp_path / "4_Normalize").is_dir()
    )


@pytest.mark.parametrize(
    "listed",
    [
        {},
        {"path": "", "type": "x"},
        3,
        "x",
        [],
        [3],
        [{}],
        [{"path": ""}],
        [{"type": "x"}],
        [{"path": 3, "type": "x"}],
    ],
)
def test_a_list_of_modules_of_another_type_is_one_line(tmp_path, listed):
    put(tmp_path / "modules.json", listed)
    with refused("model.modules_layout", "modules.json"):
        read_layout(tmp_path)


@pytest.mark.parametrize("path", ["..", "../other", "0/../../other", "/etc", "a\0b", "link"])
def test_a_module_outside_of_the_folder_is_refused(tmp_path, path):
    root = tmp_path / "model"
    (tmp_path / "other").mkdir()
    put(root / "modules.json", [{"path": path, "type": "x.Transformer"}])
    (root / "link").symlink_to(tmp_path / "other")
    with refused("model.leads_out", "modules.json"):
        read_layout(root)
    assert read_layout(tmp_path / "other").files == {}, (
        "nor is it the model of a folder that names it"
    )


def test_links_within_the_cache_of_the_hub_are_followed_and_no_others(tmp_path):
    cache = tmp_path / "models--a--b"
    root = folder_of(cache / "snapshots" / "abc", "Transformer", "Pooling", transformer="0")
    (cache / "blobs").mkdir()
    (root / "0").symlink_to(cache / "blobs")
    assert read_layout(root).pooling == "cls"
    (root / "0").unlink()
    (root / "0").symlink_to(tmp_path)
    with refused("model.leads_out", "modules.json"):
        read_layout(root)


@pytest.mark.parametrize("content", ["[]", "3", '"x"', "{half", "null"])
@pytest.mark.parametrize(
    "name", ["1_Pooling/config.json", "2_Dense/config.json", "sentence_bert_config.json"]
)
def test_a_config_of_another_type_is_one_line(tmp_path, name, content):
    folder_of(tmp_path, *WHOLE)
    (tmp_path / name).write_text(content)
    with refused("model.json_damaged", name):
        read_layout(tmp_path)


@pytest.mark.parametrize(
    "config",
    [{"in_features": "4"}, {"out_features": None}, {"in_features": -1}, {"out_features": 10**30}],
)
def test_sizes_of_a_dense_layer_of_another_type_are_one_line(tmp_path, config):
    with refused("model.whole_number", *config):
        read_layout(folder_of(tmp_path, *WHOLE, dense=config))


@pytest.mark.parametrize("mode", [3, {"a": 1}, [3], None])
def test_a_pooling_of_another_type_is_one_line_or_none(tmp_path, mode):
    folder_of(tmp_path, *WHOLE, pooling={"pooling_mode": mode})
    if mode is None:
        assert read_layout(tmp_path).pooling == "mean"
    else:
        with refused("model.pooling_mode", "pooling_mode"):
            read_layout(tmp_path)


@pytest.mark.parametrize(
    "listed, key",
    [
        ([], "model.json_damaged"),
        (3, "model.json_damaged"),
        ({"weight_map": 3}, "model.weights_index"),
        ({"weight_map": {"w": "../x.safetensors"}}, "model.weights_index"),
        ({"weight_map": {"w": 3}}, "model.weights_index"),
        ({}, "model.weights_index"),
    ],
)
def test_an_index_of_weights_names_files_of_its_folder_alone(tmp_path, listed, key):
    put(tmp_path / "model.safetensors.index.json", listed)
    with refused(key, "model.safetensors.index.json"):
        shards(tmp_path)
    put(
        tmp_path / "model.safetensors.index.json",
        {"weight_map": {"w": "a.safetensors", "v": "a.safetensors"}},
    )
    assert shards(tmp_path) == ["a.safetensors"]
