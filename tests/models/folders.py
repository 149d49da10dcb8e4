"""Small model folders with random weights, as transformers and sentence-transformers save them."""

import json
from pathlib import Path

import torch
from transformers import BertConfig, BertModel

from hybrid_sweep.models.tokens import load_tokenizer, train_bpe

TEXTS = ["one two three four five six", "two", "drei vier fünf", "one two three " * 9, "sechs"]
SIZES = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)

# own.py of a model folder: running it leaves a mark.
OWN_CODE = """
import os, pathlib
from transformers import BertConfig, BertModel

pathlib.Path(os.environ["OWN_CODE_RAN"]).touch()


class OwnConfig(BertConfig):
    model_type = "own-kind"


class OwnModel(BertModel):
    config_class = OwnConfig
"""


def with_tokenizer(
    folder: Path,
    specials: tuple[str, ...] = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    length: int = 64,
) -> int:
    """A tokenizer in a folder, and the size of its vocabulary."""
    folder.mkdir(parents=True, exist_ok=True)
    text = train_bpe(iter(TEXTS * 3), 400).to_str()
    for name, special in zip(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), specials, strict=True):
        text = text.replace(name, special)
    (folder / "tokenizer.json").write_text(text)
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **dict(zip(names, specials, strict=True)),
    }
    config |= {"model_input_names": ["input_ids", "attention_mask"], "model_max_length": length}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return load_tokenizer(folder).get_vocab_size()


def bert_folder(folder: Path, positions: int = 64) -> None:
    """A folder of transformers: BERT with random weights that are far from symmetric, and no
    modules.json.
    """
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=with_tokenizer(folder, length=positions),
        max_position_embeddings=positions,
        initializer_range=0.3,
        **SIZES,
    )
    BertModel(config).save_pretrained(folder)


def sentence_transformer(
    transformer: Path, folder: Path, *heads: tuple[int, str, bool], pooling: str = "cls"
):
    """A folder that SentenceTransformer.save wrote; heads: width, activation, bias of each
    Dense.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Dense, Normalize, Pooling, Transformer

    torch.manual_seed(1)
    modules, width = [Transformer(str(transformer)), Pooling(32, pooling)], 32
    for out, activation, bias in heads:
        modules.append(
            Dense(width, out, bias=bias, activation_function=getattr(torch.nn, activation)())
        )
        width = out
    model = SentenceTransformer(modules=[*modules, Normalize()], device="cpu")
    model.save(str(folder))
    return model
