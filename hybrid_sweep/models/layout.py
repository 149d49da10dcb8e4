"""What a sentence-transformers folder says of its model: modules.json and the folders that it
names. Nothing is loaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from hybrid_sweep.models.stated import object_of, read_settings
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import read_json, write_json
from hybrid_sweep.utils.names import is_folder_name, shown

# all that is read here, and the order it must have
KINDS = ("Transformer", "Pooling", "Dense", "Normalize")
LIBRARY = "sentence_transformers."  # modules of others have other meanings under the same names
# of a Dense; names only, nothing is imported from a file
ACTIVATIONS = ("Tanh", "Identity", "GELU", "ReLU")
POOLINGS = ("mean", "cls")


@dataclass(frozen=True)
class DenseLayer:
    """One linear layer behind the pooling: its sizes, bias, activation (one of ACTIVATIONS) and
    file of weights.
    """

    inputs: int
    outputs: int
    bias: bool
    activation: str
    weights: Path


@dataclass(frozen=True)
class Layout:
    """The parts of a model folder. transformer: where config, tokenizer and weights lie. pooling:
    what the folder says, None where it says nothing. dense: in their order. kept: how many of the
    first numbers of a vector count, None for all. files: those that, besides the transformer's,
    make the vectors.
    """

    transformer: Path
    pooling: str | None
    dense: tuple[DenseLayer, ...]
    files: dict[str, Path]
    kept: int | None = None


def read_layout(folder: Path) -> Layout:
    """Return the layout of a model folder; one without modules.json is a transformer alone.

    folder: the model's, or the sub-folder that its modules.json names as the transformer. Raises
    UserError, naming the module, for what cannot be done exactly here: other modules or another
    order, a Dense with a residual, an unknown activation or without safetensors.
    """
    root = folder
    if not (folder / "modules.json").is_file() and _transformer(folder.parent) == folder.absolute():
        root = folder.parent
    if not (root / "modules.json").is_file():
        alone = read_settings(folder, folder, is_unit=False)
        return Layout(folder, None, (), alone.files, alone.kept)
    modules = _modules(root)
    names = [name for name, _ in modules]
    places = [KINDS.index(name) for name in names]
    if places != sorted(places) or names.count("Transformer") != 1 or names.count("Pooling") > 1:
        raise UserError(
            f"{root / 'modules.json'}: modules {', '.join(names)}; here they come as"
            f" {', '.join(KINDS)}",
            key="model.modules_order",
        )
    transformer = modules[0][1]
    settings = read_settings(root, transformer, is_unit="Normalize" in names)
    poolings = [_pooling(path) for name, path in modules if name == "Pooling"]
    dense = tuple(_dense(path) for name, path in modules if name == "Dense")
    files = [path / "config.json" for name, path in modules if name in ("Pooling", "Dense")]
    files += [root / "modules.json", *(layer.weights for layer in dense)]
    return Layout(
        transformer,
        poolings[0] if poolings else "no module",  # vectors of tokens, as late interaction has
        dense,
        {str(path.relative_to(root)): path for path in files if path.is_file()} | settings.files,
        settings.kept,
    )


def resolve_pooling(stated: str, layout: Layout) -> str:
    """Return the mean or cls: `stated` unless that is auto, else the folder's own, and mean where
    it says nothing.

    Raises UserError for a folder that pools in a way that is not known here.
    """
    if stated != "auto":
        return stated
    pooling = layout.pooling or "mean"
    if pooling not in POOLINGS:
        raise UserError(
            f"model.pooling=auto: {layout.transformer} pools by {pooling}, which is not known here;"
            " state model.pooling=mean or cls to train it otherwise",
            key="model.pooling_unknown",
        )
    return pooling


def shards(folder: Path) -> list[str]:
    """Return the names of the files of weights that the index of a transformer's folder lists; []
    without an index.

    Raises:
        UserError: where the index is broken, or a name is not that of a .safetensors file in this
            folder.
    """
    file = folder / "model.safetensors.index.json"
    if not file.is_file():
        return []
    listed = object_of(file).get("weight_map")
    if not isinstance(listed, dict):
        raise UserError(
            f"{file}: weight_map must be an object; copy the model again", key="model.weights_index"
        )
    for name in listed.values():
        if (
            not isinstance(name, str)
            or not is_folder_name(name)
            or not name.endswith(".safetensors")
        ):
            raise UserError(
                f"{file}: {shown(name)} is no name of a .safetensors file in this folder",
                key="model.weights_index",
            )
    return sorted(set(listed.values()))


def _modules(root: Path) -> list[tuple[str, Path]]:
    """Return the kind and the folder of each module that modules.json lists.

    Raises:
        UserError: where it is no list of modules, or a module lies outside of the model's folder.
    """
    file = root / "modules.json"
    listed = read_json(file)
    if listed is None:
        raise UserError(f"{file} does not parse", key="model.json_damaged")
    if not isinstance(listed, list) or not listed:
        raise UserError(f"{file} must be a list of modules", key="model.modules_layout")
    modules = []
    for module in listed:
        if (
            not isinstance(module, dict)
            or not isinstance(module.get("type"), str)
            or not isinstance(module.get("path"), str)
        ):
            raise UserError(
                f"{file}: each module must have a type and a path, both texts",
                key="model.modules_layout",
            )
        if not _is_inside(root, module["path"]):
            raise UserError(
                f"{file}: the path {shown(module['path'])} leads out of the model's folder",
                key="model.leads_out",
            )
        kind = module["type"]
        name = module["type"].rsplit(".", 1)[-1]
        if not kind.startswith(LIBRARY) or name not in KINDS:
            raise UserError(
                f"{file}: the module {shown(kind)} is not known here, only"
                f" {', '.join(KINDS)} of sentence-transformers",
                key="model.module_unknown",
            )
        modules.append((name, root / module["path"]))
    return modules


def _is_inside(root: Path, name: str) -> bool:
    """Return whether a path leads to a place in a model's folder, links included.

    The folders of the hub's cache are full of links to files beside them: there the whole model's
    cache counts.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        return False
    above = root.absolute().parents
    cached = len(above) > 1 and above[0].name == "snapshots" and (above[1] / "blobs").is_dir()
    allowed = root
    if cached:
        allowed = above[1]
    return (root / name).resolve().is_relative_to(allowed.resolve())


def _transformer(root: Path) -> Path | None:
    """Return the absolute folder that a modules.json names as the transformer's; None where it is
    none of ours.
    """
    listed = read_json(root / "modules.json")
    first = None
    if isinstance(listed, list) and listed:
        first = listed[0]
    name = None
    if isinstance(first, dict):
        name = first.get("path")
    if not isinstance(name, str) or not _is_inside(root, name):
        return None
    return (root / name).absolute()


def _pooling(folder: Path) -> str:
    """Return the pooling by its name, of either form of its config; a prompt left out of it makes
    it another one.
    """
    config = object_of(folder / "config.json")
    if not config:
        raise UserError(
            f"{folder}: the module Pooling has no config.json", key="model.files_missing"
        )
    modes = config.get("pooling_mode")
    if modes is None:
        # The form before version 5.6; "mean" where none is set, as sentence-transformers has it.
        keys = [key for key, value in config.items() if key.startswith("pooling_mode_") and value]
        modes = [
            key.removeprefix("pooling_mode_").removesuffix("_token").removesuffix("_tokens")
            for key in keys
        ]
        modes = modes or ["mean"]
    if not isinstance(modes, str | list) or not all(isinstance(mode, str) for mode in modes):
        raise UserError(
            f"{folder / 'config.json'}: pooling_mode must be a name, or a list of names",
            key="model.pooling_mode",
        )
    if isinstance(modes, str):
        name = modes
    else:
        name = "+".join(modes)
    if config.get("include_prompt", True):
        return name
    return f"{name} without the prompt"


def _dense(folder: Path) -> DenseLayer:
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: the module Dense has no config.json", key="model.files_missing")
    config = object_of(folder / "config.json")
    activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    name = activation.rsplit(".", 1)[-1]
    if not activation.startswith("torch.nn.") or name not in ACTIVATIONS:
        raise UserError(
            f"{folder}: activation {activation} is not known here, only {', '.join(ACTIVATIONS)}",
            key="model.activation_unknown",
        )
    taken = [config.get(f"module_{side}_name") for side in ("input", "output")]
    own = all(name in (None, "sentence_embedding") for name in taken)
    if config.get("use_residual") or not own:
        raise UserError(
            f"{folder}: a Dense with a residual, or on other than the sentence vector, is not known"
            " here",
            key="model.dense_kind",
        )
    if not (folder / "model.safetensors").is_file():
        raise UserError(
            f"{folder} has no model.safetensors, and nothing is unpickled here; "
            "convert it: SentenceTransformer(FOLDER).save(FOLDER)",
            key="model.weights_missing",
        )
    sizes = (
        _whole_number(folder, config, "in_features"),
        _whole_number(folder, config, "out_features"),
    )
    return DenseLayer(*sizes, bool(config.get("bias", True)), name, folder / "model.safetensors")


def _whole_number(folder: Path, config: dict[str, Any], name: str) -> int:
    value = config.get(name)
    if type(value) is not int or not 0 < value < 2**31:
        raise UserError(
            f"{folder / 'config.json'}: {name} must be a whole number above 0",
            key="model.whole_number",
        )
    return value


def write_layout(folder: Path, *, width: int, pooling: str, dense: Sequence[DenseLayer]) -> None:
    """Write the modules that `read_layout` reads beside a transformer that lies in `folder`; the
    caller writes the weights of `dense`.

    width: of the transformer.
    """
    paths = [
        "",
        "1_Pooling",
        *(layer.weights.parent.name for layer in dense),
        f"{2 + len(dense)}_Normalize",
    ]
    names = ["Transformer", "Pooling", *["Dense"] * len(dense), "Normalize"]
    listed = [
        {
            "idx": place,
            "name": str(place),
            "path": path,
            "type": f"sentence_transformers.models.{name}",
        }
        for place, (path, name) in enumerate(zip(paths, names, strict=True))
    ]
    write_json(folder / "modules.json", listed)
    modes = {
        "pooling_mode_mean_tokens": pooling == "mean",
        "pooling_mode_cls_token": pooling == "cls",
    }
    write_json(
        folder / "1_Pooling" / "config.json",
        {"word_embedding_dimension": width, **modes, "include_prompt": True},
    )
    for layer in dense:
        package = "activation"
        if layer.activation == "Identity":
            package = "linear"
        config: dict[str, int | str] = {
            "in_features": layer.inputs,
            "out_features": layer.outputs,
            "bias": layer.bias,
        }
        config["activation_function"] = f"torch.nn.modules.{package}.{layer.activation}"
        write_json(layer.weights.parent / "config.json", config)
    (folder / paths[-1]).mkdir()
