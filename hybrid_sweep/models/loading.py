"""Encoders from and to disk: Hugging Face and sentence-transformers folders, random weights for the
tiny model.
"""

import contextlib
import inspect
import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from hybrid_sweep.batching.schedule import WEIGHTS
from hybrid_sweep.config.schema import ModelConfig, TinyModel, TrainerConfig
from hybrid_sweep.models import code_requests
from hybrid_sweep.models.adapters import add_adapters, merged_weights
from hybrid_sweep.models.encoder import Encoder, stream_seed
from hybrid_sweep.models.layout import (
    DenseLayer,
    Layout,
    read_layout,
    resolve_pooling,
    write_layout,
)
from hybrid_sweep.models.stated import object_of, write_settings
from hybrid_sweep.models.tokens import load_tokenizer
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import atomic_dir

# By the names that architectures have for it: BERT's and XLM-R's, DistilBERT's, ModernBERT's, T5's.
DROPOUTS = ["hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout"]
DROPOUTS += ["embedding_dropout", "mlp_dropout", "dropout_rate"]


def build_encoder(
    model: ModelConfig, folder: Path, seed: int, unused: list[str] | None = None
) -> Encoder:
    """Return the encoder of a run before training, in float32: weights from the seed (tiny) or from
    the folder (pretrained).

    The head is the folder's (its Dense modules); a pooler that the pooling does not use is not
    made. With model.lora_rank only the adapters train. unused: gets the names of weights of the
    folder that are no part of the encoder. Raises UserError for a folder whose weights are not
    safetensors or whose modules are not known here, for more layers or longer texts than the model
    has, and for adapters without a place.
    """
    if isinstance(model, TinyModel):
        layout = Layout(folder, None, (), {})
        config = _tiny_config(model, folder)
    else:
        layout = read_layout(folder)
        config = _config(layout.transformer, model.remote_code)
    _set_layers(model, config)
    _set_dropout(model, config)
    if isinstance(model, TinyModel):
        torch.manual_seed(stream_seed(seed, WEIGHTS))
        kind, more = _class_of(config)
        transformer = kind(config, **more)
    else:
        transformer = _load(layout.transformer, config, model, unused)
    _check_lengths(model, transformer)
    head = _head(layout, config.hidden_size)
    encoder = Encoder(transformer, resolve_pooling(model.pooling, layout), head, layout.kept)
    if model.lora_rank:
        encoder.requires_grad_(False)
        add_adapters(
            transformer,
            rank=model.lora_rank,
            alpha=model.lora_alpha,
            targets=list(model.lora_targets),
            seed=stream_seed(seed, WEIGHTS, 1),
        )
    return encoder


def _tiny_config(model: TinyModel, folder: Path) -> Any:
    """Return the config of BERT for the tiny model, whose folder says what its tokenizer has."""
    from transformers import BertConfig

    sizes = object_of(folder / "config.json")
    return BertConfig(
        vocab_size=sizes["vocab_size"],
        pad_token_id=sizes["pad_token_id"],
        hidden_size=model.hidden_size,
        num_hidden_layers=model.depth,
        num_attention_heads=model.heads,
        intermediate_size=model.intermediate_size,
        max_position_embeddings=max(model.query_length, model.passage_length),
        type_vocab_size=1,
        dtype="float32",
    )


def _set_layers(model: ModelConfig, config: Any) -> None:
    """Set how many layers of a model are built, where the run says so."""
    if model.layers is None:
        return
    if model.layers > config.num_hidden_layers:
        raise UserError(
            f"model.layers={model.layers}: the model has only {config.num_hidden_layers}",
            key="config.model.layers",
        )
    config.num_hidden_layers = model.layers


def _set_dropout(model: ModelConfig, config: Any) -> None:
    """Set the dropout of a model, where the run says so; its families call it by several names."""
    if model.dropout is None:
        return
    names = [name for name in DROPOUTS if hasattr(config, name)]
    if not names:
        raise UserError(
            f"model.dropout={model.dropout}: {config.model_type} has no dropout; take null",
            key="config.model.dropout",
        )
    for name in names:
        setattr(config, name, model.dropout)


def save_encoder(encoder: Encoder, model: ModelConfig, source: Path, folder: Path) -> None:
    """Write a folder that SentenceTransformer(folder) and AutoModel.from_pretrained(folder) both
    load.

    Adapters are added into the weights that are written; the encoder keeps them. Queries are cut to
    model.query_length in training; sentence-transformers knows one limit, the passages'.
    """
    with atomic_dir(folder) as temporary:
        encoder.transformer.save_pretrained(
            temporary, state_dict=merged_weights(encoder.transformer)
        )
        tokenizer = load_tokenizer(source)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.save(str(temporary / "tokenizer.json"))
        for name in ("tokenizer_config.json", "special_tokens_map.json"):
            if (source / name).is_file():
                shutil.copy(source / name, temporary / name)
        dense = []
        parts: list[Any] = list(encoder.head.children()) if encoder.head is not None else []
        for place, (linear, activation) in enumerate(zip(parts[::2], parts[1::2], strict=True), 2):
            weights = temporary / f"{place}_Dense" / "model.safetensors"
            weights.parent.mkdir()
            state = {
                f"linear.{name}": value.contiguous() for name, value in linear.state_dict().items()
            }
            save_file(state, weights, {"format": "pt"})
            sizes = linear.in_features, linear.out_features
            dense.append(
                DenseLayer(*sizes, linear.bias is not None, type(activation).__name__, weights)
            )
        write_layout(
            temporary,
            width=encoder.transformer.config.hidden_size,
            pooling=encoder.pooling,
            dense=dense,
        )
        write_settings(
            temporary,
            longest=max(model.query_length, model.passage_length),
            prompts={"query": model.query_prompt, "document": model.passage_prompt},
            kept=encoder.kept,
            words=_without_pooler(type(encoder.transformer)),
        )


def load_encoder(model: ModelConfig, folder: Path) -> Encoder:
    """Return the encoder that `save_encoder` wrote, in float32; adapters are in its weights
    already.
    """
    layout = read_layout(folder)
    config = _config(layout.transformer, model.remote_code)
    pooling = resolve_pooling(model.pooling, layout)
    return Encoder(
        _load(layout.transformer, config, model),
        pooling,
        _head(layout, config.hidden_size),
        layout.kept,
    )


def prepare_for_training(encoder: Encoder, trainer: TrainerConfig) -> None:
    """Switch on what the trainer config asks of an encoder, in place; no name in its state dict
    changes.

    Under gradient checkpointing gradients stay what they are. Raises UserError for a model that
    cannot do it.
    """
    transformer = encoder.transformer
    if trainer.gradient_checkpointing:
        newer = getattr(transformer, "activation_checkpointing_enable", None)
        enable = newer or transformer.gradient_checkpointing_enable  # its name in transformers 5.0
        try:
            enable({"use_reentrant": False})
        except ValueError as error:
            raise _not_checkpointed(transformer.config.model_type) from error
        # This form needs no input with a gradient, though adapters freeze the embeddings; and the
        # hook that would give it one keeps an encoder from being copied.
        if hasattr(transformer, "_require_grads_hook"):
            transformer.disable_input_require_grads()
    if trainer.attention != "sdpa":
        _set_attention(transformer, trainer.attention)
    if trainer.compile:
        # In place: torch.compile(module) would wrap it, and put _orig_mod into the names of all
        # saved weights.
        transformer.compile(dynamic=True)


def _set_attention(transformer: Any, kind: str) -> None:
    """Compute attention in another way from now on."""
    try:
        transformer.set_attn_implementation(kind)
    except (AttributeError, ValueError) as error:
        model = transformer.config.model_type
        raise UserError(
            f"trainer.attention={kind}: {model} does not support it; take sdpa",
            key="config.trainer.attention",
        ) from error


def _config(folder: Path, remote_code: bool) -> Any:
    """Return what config.json of a folder says; code that the folder brings runs only where
    `remote_code` allows it.
    """
    from transformers import AutoConfig

    stated = object_of(folder / "config.json")
    code_requests.check(folder)
    needed = (
        f"{folder} needs Python code of its own; model.remote_code=true runs it, if you trust the"
        " folder"
    )
    try:
        with _reading(folder):
            config = AutoConfig.from_pretrained(
                folder, local_files_only=True, trust_remote_code=remote_code
            )
    except UserError as error:
        if "auto_map" in stated and not remote_code:
            raise UserError(f"model.path: {needed}", key="model.code_needed") from error
        raise
    if not remote_code and _class_of(config)[0] is None:
        raise UserError(f"model.path: {needed}", key="model.code_needed")
    _check_architecture(folder, config)
    return config


def _check_architecture(folder: Path, config: Any) -> None:
    """Refuse a model that is no encoder of one text: with a decoder, of images, or without a mask
    of its tokens.
    """
    kind = _class_of(config)[0]
    reads_texts = isinstance(getattr(config, "hidden_size", None), int) and (
        kind is None or "attention_mask" in inspect.signature(kind.forward).parameters
    )
    has_decoder = config.is_encoder_decoder and kind is not _encoder(config.model_type)
    if has_decoder or not reads_texts:
        what = "is no model of texts alone"
        if has_decoder:
            what = "has a decoder"
        raise UserError(
            f"{folder / 'config.json'}: {config.model_type} {what}; here a model is an encoder,"
            " from tokens to their vectors",
            key="model.architecture",
        )


def _encoder(model_type: str) -> Any:
    """Return the class of the encoder of a model that sentence-transformers reads without its
    decoder; None for other types.
    """
    import transformers

    name = ENCODERS.get(model_type)  # each is a module of its own, imported where it is used
    if name:
        return getattr(transformers, name)
    return None


# The encoder alone of models that have a decoder, by their type.
ENCODERS = {
    "t5": "T5EncoderModel",
    "mt5": "MT5EncoderModel",
    "umt5": "UMT5EncoderModel",
    "longt5": "LongT5EncoderModel",
}
# Beginnings of the names of weights that pre-training leaves in a folder, and that no vector needs.
PRETRAINING = tuple(
    "cls. pooler. lm_head. vocab_ mlm_head. mlm. head. decoder. discriminator_predictions."
    " generator_ lm_predictions. predictions.".split()
)


def _load(folder: Path, config: Any, model: ModelConfig, unused: list[str] | None = None) -> Any:
    """Return the transformer of a folder."""
    from transformers import AutoModel

    if not list(folder.glob("*.safetensors")):
        raise UserError(
            f"model folder {folder} has no .safetensors weights; convert them, nothing is unpickled"
            " here",
            key="model.weights_missing",
        )
    # transformers would load weights in the type they are stored in; half precision on a CPU is ten
    # times slower.
    kind = _encoder(config.model_type) or AutoModel
    with _reading(folder), _without_reports():
        transformer, told = kind.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            **({"trust_remote_code": model.remote_code} if kind is AutoModel else {}),
            **_class_of(config)[1],
        )
    _check_loaded(folder, told)
    if unused is not None:
        names = sorted(told["unexpected_keys"])
        # of layers that model.layers leaves out
        cut = re.compile(r"\.\d+\." if model.layers is not None else r"$^")
        unused += [
            name for name in names if not name.startswith(PRETRAINING) and not cut.search(name)
        ]
    return transformer


def _check_loaded(folder: Path, told: Any) -> None:
    """Refuse weights that leave a part of the model at random numbers, of which transformers only
    warns.

    A pooler does not count: the pooling here takes none of its output.
    """
    missing = sorted(name for name in told["missing_keys"] if not name.startswith("pooler."))
    if missing:
        named = ", ".join(missing[:3])
        raise UserError(
            f"model folder {folder}: its weights lack {len(missing)} of the model's parts, as"
            f" {named}",
            key="model.weights_incomplete",
        )
    if told["mismatched_keys"]:
        raise UserError(
            f"model folder {folder}: its weights have other shapes than its config.json says",
            key="model.weights_shape",
        )


@contextlib.contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """Turn what the libraries raise for a folder that cannot be read into one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # transformers and safetensors have kinds of their own
        lines = str(error).strip().splitlines() or [""]
        raise UserError(
            f"model folder {folder} cannot be read ({type(error).__name__}: {lines[0][:200]})",
            key="model.unreadable",
        ) from error


@contextlib.contextmanager
def _without_reports() -> Iterator[None]:
    """Keep transformers from printing its progress and a table of the weights that were not used or
    missing: who loads a model checks these, and says what was not meant.
    """
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    # A filter, as a higher level of this logger makes transformers print more.
    logger = logging.getLogger("transformers.modeling_utils")
    logger.addFilter(_is_error)
    try:
        yield
    finally:
        logger.removeFilter(_is_error)


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def _class_of(config: Any) -> tuple[Any, dict[str, bool]]:
    """Return the class of a config's transformer, and the words that leave its pooler out, where it
    knows them.

    None for a class that is not of transformers: only code of the folder could bring it.
    """
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    if type(config) not in MODEL_MAPPING:
        return None, {}
    kind: Any = MODEL_MAPPING[type(config)]
    if isinstance(kind, tuple):
        kind = kind[0]
    kind = _encoder(config.model_type) or kind
    return kind, _without_pooler(kind)


def _without_pooler(kind: Any) -> dict[str, bool]:
    """Return the words for a class of transformers that makes a pooler unless it is told not to."""
    if "add_pooling_layer" in inspect.signature(kind.__init__).parameters:
        return {"add_pooling_layer": False}
    return {}


def check_checkpointing(model: ModelConfig, folder: Path) -> None:
    """Raise UserError where a model cannot be trained under gradient checkpointing, without a look
    at its weights; one whose class only code of its folder brings is tried in training.
    """
    if isinstance(model, TinyModel):
        return  # BERT
    config = _config(read_layout(folder).transformer, model.remote_code)
    kind, _ = _class_of(config)
    if kind is not None and not getattr(kind, "supports_gradient_checkpointing", True):
        raise _not_checkpointed(config.model_type)


def _not_checkpointed(kind: str) -> UserError:
    return UserError(
        f"trainer.gradient_checkpointing=true: {kind} does not support it; take false",
        key="config.trainer.gradient_checkpointing",
    )


def _head(layout: Layout, width: int) -> nn.Sequential | None:
    """Return the Dense modules of a folder: linear layers and activations in turn; None where there
    are none.
    """
    parts: list[nn.Module] = []
    for dense in layout.dense:
        linear = nn.Linear(dense.inputs, dense.outputs, dense.bias)
        with _reading(dense.weights.parent):
            loaded = load_file(dense.weights)
        weights = {key.removeprefix("linear."): value for key, value in loaded.items()}
        try:
            linear.load_state_dict(weights)
        except RuntimeError as error:
            raise UserError(
                f"{dense.weights} does not fit the config.json beside it", key="model.weights_shape"
            ) from error
        if dense.inputs != width:
            raise UserError(
                f"{dense.weights.parent}: in_features={dense.inputs}, but {width} numbers come in",
                key="model.dense_width",
            )
        width = dense.outputs
        parts += [linear, getattr(nn, dense.activation)()]
    if parts:
        return nn.Sequential(*parts)
    return None


def _check_lengths(model: ModelConfig, transformer: Any) -> None:
    """Refuse texts longer than the table of positions, whose first rows some architectures (XLM-R,
    BART) leave unused.
    """
    for name, table in transformer.named_modules():
        named = name.rsplit(".", 1)[-1]
        if not isinstance(table, nn.Embedding) or not ("position" in named or named == "wpe"):
            continue
        if table.padding_idx is None:
            unused = 0
        else:
            unused = table.padding_idx + 1
        room = table.num_embeddings - getattr(table, "offset", unused)
        for key in ("query_length", "passage_length"):
            length = getattr(model, key)
            if length > room:
                raise UserError(
                    f"model.{key}={length}: the model has positions for {room} tokens; give"
                    f" model.{key}={room} or less",
                    key=f"config.model.{key}",
                )
