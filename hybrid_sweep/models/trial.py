"""A model folder is tried before anything is built for it: it loads, and encodes a few texts.

What it states in other ways than it is used here is said. The result is kept in the cache, so that
the same files are tried once.
"""

import dataclasses
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from hybrid_sweep.config.schema import ModelConfig
from hybrid_sweep.models.folder import content_digests
from hybrid_sweep.models.layout import Layout, read_layout
from hybrid_sweep.models.prompts import stated_prompts
from hybrid_sweep.models.stated import SETTINGS, stated_length
from hybrid_sweep.models.tokens import (
    Tokens,
    id_count,
    in_memory,
    load_tokenizer,
    pad_id,
    set_length,
)
from hybrid_sweep.utils import names, safe_paths
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import digest, read_own_json, write_json

Say = Callable[[str], None]
VERSION = 1  # raised by hand where more is tried
# Upper case, accents, white space, digits, scripts without spaces, a right-to-left script: what
# settings of a tokenizer treat in several ways; the last text is cut.
TEXTS = (
    "The Quick Brown Fox, 2024",
    " naïve  café, Ångström",
    "\tЖук и ΑΒΓ",
    "中文字 日本語 ไทย",
    "שלום عليكم",
    "one Two three " * 400,
)
BATCH_TOKENS = 8192  # padded tokens that are encoded at a time


def check(model: ModelConfig, folder: Path, cache: Path, say: Say) -> None:
    """Check that the model of a folder loads and encodes some texts, unless that was done before.

    Args:
        model: of a run, not the tiny one.
        folder: where its transformer lies.
        cache: the program's own.
        say: is told what the folder states and the run does otherwise.

    Raises:
        UserError: for a model that cannot be loaded whole, or cannot encode.
    """
    file = safe_paths.inside(cache, "models", f"tried-{_mark(model, folder, cache)}.json")
    before = read_own_json(file)
    if isinstance(before, dict) and isinstance(before.get("notes"), list):
        notes = [str(note) for note in before["notes"]]
    else:
        notes = [*_differences(model, folder), *_tried(model, folder)]
        try:
            write_json(file, {"notes": notes})
        except OSError:
            pass  # a cache that is only read: the model is tried again the next time
    for note in notes:
        say(note)


def _mark(model: ModelConfig, folder: Path, cache: Path) -> str:
    """Return the digest of all that the result of a trial depends on."""
    layout = read_layout(folder)
    files = [path for path in (*folder.glob("*.json"), *folder.glob("*.safetensors"))]
    files += [*folder.glob("*.py"), *layout.files.values(), _root(layout, folder) / SETTINGS]
    files = sorted({path for path in files if path.is_file()})
    marks = zip(map(str, files), content_digests(files, cache), strict=True)
    libraries = [metadata.version(name) for name in ("transformers", "tokenizers", "torch")]
    return digest([VERSION, libraries, str(folder), dataclasses.asdict(model), *marks])


def _root(layout: Layout, folder: Path) -> Path:
    """Return the folder of a whole model, of which `folder` is that of the transformer."""
    return layout.files.get("modules.json", folder / "modules.json").parent


def _differences(model: ModelConfig, folder: Path) -> list[str]:
    """Return what a folder states of the use of its model, and the run does otherwise, a line
    each.
    """
    layout = read_layout(folder)
    notes: list[str] = []
    if layout.pooling is not None and model.pooling not in ("auto", layout.pooling):
        notes.append(f"pools by {layout.pooling}, the run by model.pooling={model.pooling}")
    prompts = stated_prompts(_root(layout, folder))
    for key in ("query_prompt", "passage_prompt"):
        if key in prompts and prompts[key] != getattr(model, key):
            used = names.shown(getattr(model, key))
            notes.append(f"states the prompt {names.shown(prompts[key])}, the run has {used}")
    length = stated_length(folder)
    for key in ("query_length", "passage_length"):
        if length is not None and getattr(model, key) > length:
            notes.append(f"cuts texts at {length} tokens, the run at model.{key}")
    return [f"{folder} {note}" for note in notes]


def _tried(model: ModelConfig, folder: Path) -> list[str]:
    """Return what is to be said of a model that loads and encodes."""
    from hybrid_sweep.models.loading import build_encoder  # torch comes with it

    unused: list[str] = []
    encoder = build_encoder(model, folder, 0, unused)
    tokenizer = load_tokenizer(folder)
    table = encoder.transformer.get_input_embeddings()
    ids = id_count(tokenizer)
    rows = table.num_embeddings
    if ids > rows:
        raise UserError(
            f"model folder {folder}: tokenizer.json has token ids up to {ids - 1}, but the model"
            f" has embeddings of {rows} tokens; take the tokenizer that belongs to it",
            key="model.tokenizer_large",
        )
    notes: list[str] = []
    for prompt, length in (
        (model.query_prompt, model.query_length),
        (model.passage_prompt, model.passage_length),
    ):
        set_length(tokenizer, length)
        texts = [prompt + text for text in TEXTS]
        tokens = in_memory(tokenizer.encode_batch_fast(texts))
        _encode(encoder, tokens, folder)
        notes = notes or _other_tokens(model, folder, tokens, texts, length)
    if unused:
        listed = ", ".join(unused[:3])
        notes.append(f"{folder}: {len(unused)} of its weights are not used here, as {listed}")
    return notes


def _encode(encoder: Any, tokens: Tokens, folder: Path) -> None:
    """Encode the texts of a trial; raises UserError where that fails, or gives no numbers."""
    from hybrid_sweep.models.encoder import encode

    try:
        vectors = encode(
            encoder.eval(),
            tokens,
            np.flatnonzero(tokens.lengths),
            pad=pad_id(folder),
            batch_tokens=BATCH_TOKENS,
        )
    except Exception as error:  # whatever the code of a model raises
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        raise UserError(
            f"model folder {folder}: the model cannot encode a text of {tokens.lengths.max()}"
            f" tokens ({type(error).__name__}: {reason})",
            key="model.unusable",
        ) from error
    if not np.isfinite(vectors).all():
        raise UserError(
            f"model folder {folder}: the model gives vectors that are no numbers (NaN or infinite)",
            key="model.not_finite",
        )


def _other_tokens(
    model: ModelConfig, folder: Path, tokens: Tokens, texts: list[str], length: int
) -> list[str]:
    """Return a line where transformers, by tokenizer_config.json, makes other tokens than
    tokenizer.json alone, which is what counts here.
    """
    from transformers import AutoTokenizer

    try:
        theirs = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=model.remote_code
        )
        given = theirs(texts, truncation=True, max_length=length)
    except Exception:  # they make none at all
        return []
    if "attention_mask" not in given:
        return [f"{folder}: tokenizer_config.json asks for no mask of padding; here it counts"]
    for text, start, stop, ids in zip(
        texts, tokens.starts[:-1], tokens.starts[1:], given["input_ids"], strict=True
    ):
        if list(tokens.ids[start:stop]) != list(ids):
            return [
                f"{folder}: tokenizer_config.json asks for other tokens than tokenizer.json has, as"
                f" of {names.shown(text)}; tokenizer.json counts"
            ]
    return []
