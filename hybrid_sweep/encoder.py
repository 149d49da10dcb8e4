"""The bi-encoder: one Hugging Face encoder for queries and passages, pooled to unit vectors."""

import inspect
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hybrid_sweep.batches import WEIGHTS
from hybrid_sweep.config import ModelConfig, TinyModel
from hybrid_sweep.errors import UserError
from hybrid_sweep.store import atomic_dir, read_json, write_json
from hybrid_sweep.tokens import Tokens, load_tokenizer


class Encoder(nn.Module):
    """Token ids and mask (B, T) to unit vectors (B, D): an encoder's last hidden states, pooled and L2-normalised."""

    transformer: Any  # a Hugging Face encoder; nn.Module types its parts as tensors too

    def __init__(self, transformer: nn.Module, pooling: str) -> None:
        super().__init__()
        self.transformer = transformer
        self.pooling = pooling

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.transformer(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        if self.pooling == "cls":
            pooled = hidden[:, 0]
        else:
            mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
            pooled = (hidden * mask).sum(1) / mask.sum(1)
        return nn.functional.normalize(pooled, dim=-1)


def stream_seed(*words: int) -> int:
    """A 63-bit torch seed of an independent stream, from SeedSequence(words)."""
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))


def build_encoder(model: ModelConfig, folder: Path, seed: int) -> Encoder:
    """The encoder of a run before training, in float32: weights from the seed (tiny) or from the folder (pretrained).

    A pooler that the pooling does not use is not made. Raises UserError for a folder whose weights are not safetensors.
    """
    from transformers import AutoConfig, AutoModel, BertConfig
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    if isinstance(model, TinyModel):
        known = read_json(folder / "config.json")
        longest = max(model.query_length, model.passage_length)
        config: Any = BertConfig(
            vocab_size=known["vocab_size"],
            pad_token_id=known["pad_token_id"],
            hidden_size=model.hidden_size,
            num_hidden_layers=model.depth,
            num_attention_heads=model.heads,
            intermediate_size=model.intermediate_size,
            max_position_embeddings=longest,
            type_vocab_size=1,
            dtype="float32",
        )
    else:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if model.layers is not None:
        if model.layers > config.num_hidden_layers:
            raise UserError(f"model.layers={model.layers}: the model has only {config.num_hidden_layers}")
        config.num_hidden_layers = model.layers
    if model.dropout is not None:
        config.hidden_dropout_prob = config.attention_probs_dropout_prob = model.dropout
    kind: Any = MODEL_MAPPING[type(config)]
    kind = kind[0] if isinstance(kind, tuple) else kind
    more = {"add_pooling_layer": False} if "add_pooling_layer" in inspect.signature(kind.__init__).parameters else {}
    if isinstance(model, TinyModel):
        torch.manual_seed(stream_seed(seed, WEIGHTS))
        transformer = kind(config, **more)
    else:
        if not list(folder.glob("*.safetensors")):
            raise UserError(
                f"model folder {folder} has no .safetensors weights; convert them, nothing is unpickled here"
            )
        # transformers would load weights in the type they are stored in; half precision on a CPU is ten times slower.
        transformer = AutoModel.from_pretrained(
            folder, config=config, dtype=torch.float32, local_files_only=True, use_safetensors=True, **more
        )
    return Encoder(transformer, model.pooling)


@torch.inference_mode()
def encode(encoder: Encoder, tokens: Tokens, rows: np.ndarray, *, pad: int, batch_tokens: int) -> np.ndarray:
    """(len(rows), D) float32 unit vectors of some texts, in the order of `rows`.

    Texts go in by length, in batches of at most `batch_tokens` padded tokens, cut by the texts alone: the same batches
    on any number of processes.
    """
    encoder.eval()
    device = next(encoder.parameters()).device
    lengths = tokens.lengths[rows]
    order = np.argsort(lengths, kind="stable")
    vectors: np.ndarray | None = None
    start = 0
    while start < len(order):
        # Lengths rise, so the last text of a batch is its longest: take as many as the budget holds at that length.
        counts = np.arange(1, len(order) - start + 1)
        fits = counts * lengths[order[start:]] <= batch_tokens
        stop = start + max(1, int(fits.argmin()) if not fits.all() else len(fits))
        batch = order[start:stop]
        ids, mask = (torch.from_numpy(array).to(device) for array in tokens.padded(rows[batch], pad))
        found = encoder(ids, mask).float().cpu().numpy()
        if vectors is None:
            vectors = np.empty((len(rows), found.shape[1]), np.float32)
        vectors[batch] = found
        start = stop
    return vectors if vectors is not None else np.empty((0, 0), np.float32)


def save_encoder(encoder: Encoder, model: ModelConfig, source: Path, folder: Path) -> None:
    """Write a folder that SentenceTransformer(folder) and AutoModel.from_pretrained(folder) both load.

    Queries are cut to model.query_length in training; sentence-transformers knows one limit, the passages'.
    """
    longest = max(model.query_length, model.passage_length)
    with atomic_dir(folder) as temporary:
        encoder.transformer.save_pretrained(temporary)
        tokenizer = load_tokenizer(source)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.save(str(temporary / "tokenizer.json"))
        for name in ("tokenizer_config.json", "special_tokens_map.json"):
            if (source / name).is_file():
                shutil.copy(source / name, temporary / name)
        width = encoder.transformer.config.hidden_size
        write_json(
            temporary / "modules.json",
            [
                {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
                {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
            ],
        )
        write_json(temporary / "sentence_bert_config.json", {"max_seq_length": longest, "do_lower_case": False})
        write_json(
            temporary / "config_sentence_transformers.json",
            {
                "prompts": {"query": model.query_prompt, "document": model.passage_prompt},
                "similarity_fn_name": "cosine",
            },
        )
        write_json(
            temporary / "1_Pooling" / "config.json",
            {
                "word_embedding_dimension": width,
                "pooling_mode_mean_tokens": model.pooling == "mean",
                "pooling_mode_cls_token": model.pooling == "cls",
                "include_prompt": True,
            },
        )
        (temporary / "2_Normalize").mkdir()


def load_encoder(model: ModelConfig, folder: Path) -> Encoder:
    """The encoder that `save_encoder` wrote, in float32."""
    from transformers import AutoModel

    more = (
        {"add_pooling_layer": False}
        if read_json(folder / "config.json")["model_type"] in ("bert", "roberta", "xlm-roberta")
        else {}
    )
    return Encoder(AutoModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True, **more), model.pooling)
