"""What a sentence-transformers folder says of its model: modules.json and the folders that it names. Nothing is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hybrid_sweep.errors import UserError
from hybrid_sweep.store import read_json, write_json

KINDS = ("Transformer", "Pooling", "Dense", "Normalize")  # all that is read here, and the order it must have
ACTIVATIONS = ("Tanh", "Identity", "GELU", "ReLU")  # of a Dense; names only, nothing is imported from a file
POOLINGS = ("mean", "cls")


@dataclass(frozen=True)
class Dense:
    """One linear layer behind the pooling: its sizes, bias, activation (one of ACTIVATIONS) and file of weights."""

    inputs: int
    outputs: int
    bias: bool
    activation: str
    weights: Path


@dataclass(frozen=True)
class Layout:
    """The parts of a model folder. transformer: where config, tokenizer and weights lie. pooling: what the folder says,
    None where it says nothing. dense: in their order. files: those that, besides the transformer's, make the vectors.
    """

    transformer: Path
    pooling: str | None
    dense: tuple[Dense, ...]
    files: dict[str, Path]


def read_layout(folder: Path) -> Layout:
    """The layout of a model folder; one without modules.json is a transformer alone.

    folder: the model's, or the sub-folder that its modules.json names as the transformer. Raises UserError, naming the
    module, for what cannot be done exactly here: other modules or another order, a Dense with a residual, an unknown
    activation or without safetensors.
    """
    root = folder
    if not (folder / "modules.json").is_file() and _transformer(folder.parent) == folder.absolute():
        root = folder.parent
    if not (root / "modules.json").is_file():
        return Layout(folder, None, (), {})
    listed = read_json(root / "modules.json")
    if listed is None:
        raise UserError(f"{root / 'modules.json'} does not parse")
    modules = [(str(each["type"]).rsplit(".", 1)[-1], root / each["path"]) for each in listed]
    names = [name for name, _ in modules]
    unknown = [name for name in names if name not in KINDS]
    if unknown:
        raise UserError(f"{root / 'modules.json'}: the module {unknown[0]} is not known here, only {', '.join(KINDS)}")
    places = [KINDS.index(name) for name in names]
    if places != sorted(places) or names.count("Transformer") != 1 or names.count("Pooling") > 1:
        raise UserError(f"{root / 'modules.json'}: modules {', '.join(names)}; here they come as {', '.join(KINDS)}")
    transformer = modules[0][1]
    if (read_json(transformer / "sentence_bert_config.json") or {}).get("do_lower_case"):
        raise UserError(
            f"{transformer / 'sentence_bert_config.json'}: do_lower_case is not known here; set it to false"
        )
    poolings = [_pooling(path) for name, path in modules if name == "Pooling"]
    dense = tuple(_dense(path) for name, path in modules if name == "Dense")
    files = [path / "config.json" for name, path in modules if name in ("Pooling", "Dense")]
    files += [root / "modules.json", *(layer.weights for layer in dense)]
    return Layout(
        transformer,
        poolings[0] if poolings else None,
        dense,
        {str(path.relative_to(root)): path for path in files if path.is_file()},
    )


def resolve_pooling(stated: str, layout: Layout) -> str:
    """mean or cls: `stated` unless that is auto, else the folder's own, and mean where it says nothing.

    Raises UserError for a folder that pools in a way that is not known here.
    """
    if stated != "auto":
        return stated
    found = layout.pooling or "mean"
    if found not in POOLINGS:
        raise UserError(
            f"model.pooling=auto: {layout.transformer} pools by {found}, which is not known here; "
            "state model.pooling=mean or cls to train it otherwise"
        )
    return found


def _transformer(root: Path) -> Path | None:
    """The absolute folder that a modules.json names as the transformer's."""
    listed = read_json(root / "modules.json")
    return (root / listed[0]["path"]).absolute() if listed else None


def _pooling(folder: Path) -> str:
    """The pooling by its name, of either form of its config; a prompt left out of it makes it another one."""
    config = read_json(folder / "config.json") or {}
    modes = config.get("pooling_mode")
    if modes is None:
        # The form before version 5.6; "mean" where none is set, as sentence-transformers has it.
        found = [key for key, value in config.items() if key.startswith("pooling_mode_") and value]
        modes = [key.removeprefix("pooling_mode_").removesuffix("_token").removesuffix("_tokens") for key in found]
        modes = modes or ["mean"]
    name = modes if isinstance(modes, str) else "+".join(modes)
    return name if config.get("include_prompt", True) else f"{name} without the prompt"


def _dense(folder: Path) -> Dense:
    config = read_json(folder / "config.json")
    if config is None:
        raise UserError(f"{folder}: the module Dense has no config.json")
    activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    name = activation.rsplit(".", 1)[-1]
    if not activation.startswith("torch.nn.") or name not in ACTIVATIONS:
        raise UserError(f"{folder}: activation {activation} is not known here, only {', '.join(ACTIVATIONS)}")
    taken = {config.get(f"module_{side}_name") or "sentence_embedding" for side in ("input", "output")}
    if config.get("use_residual") or taken != {"sentence_embedding"}:
        raise UserError(f"{folder}: a Dense with a residual, or on other than the sentence vector, is not known here")
    if not (folder / "model.safetensors").is_file():
        raise UserError(
            f"{folder} has no model.safetensors, and nothing is unpickled here; "
            "convert it: SentenceTransformer(FOLDER).save(FOLDER)"
        )
    sizes = int(config["in_features"]), int(config["out_features"])
    return Dense(*sizes, bool(config.get("bias", True)), name, folder / "model.safetensors")


def write_layout(
    folder: Path, *, width: int, pooling: str, dense: Sequence[Dense], longest: int, prompts: dict[str, str]
) -> None:
    """Write what `read_layout` reads beside a transformer that lies in `folder`; the caller writes the weights of `dense`.

    width: of the transformer. longest: tokens of a text at most. prompts: by their names in sentence-transformers.
    """
    paths = ["", "1_Pooling", *(layer.weights.parent.name for layer in dense), f"{2 + len(dense)}_Normalize"]
    names = ["Transformer", "Pooling", *["Dense"] * len(dense), "Normalize"]
    listed = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{name}"}
        for place, (path, name) in enumerate(zip(paths, names, strict=True))
    ]
    write_json(folder / "modules.json", listed)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": longest, "do_lower_case": False})
    write_json(folder / "config_sentence_transformers.json", {"prompts": prompts, "similarity_fn_name": "cosine"})
    modes = {"pooling_mode_mean_tokens": pooling == "mean", "pooling_mode_cls_token": pooling == "cls"}
    write_json(
        folder / "1_Pooling" / "config.json", {"word_embedding_dimension": width, **modes, "include_prompt": True}
    )
    for layer in dense:
        package = "linear" if layer.activation == "Identity" else "activation"
        config: dict[str, int | str] = {"in_features": layer.inputs, "out_features": layer.outputs, "bias": layer.bias}
        config["activation_function"] = f"torch.nn.modules.{package}.{layer.activation}"
        write_json(layer.weights.parent / "config.json", config)
    (folder / paths[-1]).mkdir()
