"""Tiny stand-ins for what must be fetched: mMARCO, XQuAD-R or MLQA-R, MIRACL, XLM-R and LaBSE, in
their real layouts.
"""

import gzip
import json
from pathlib import Path

import torch
from transformers import BertConfig, BertModel, XLMRobertaConfig, XLMRobertaModel

from hybrid_sweep.config.schema import MARCO_LANGUAGES
from hybrid_sweep.data.datasets import synthetic
from hybrid_sweep.models.tokens import train_bpe

GENERATED = sorted(synthetic.LANGUAGES)


def texts(groups: int) -> list[tuple[str, dict[str, str], dict[str, str]]]:
    """Split, questions and passages by generated language, of the groups that exist in all of
    them.
    """
    built = synthetic.build(groups=groups, concepts=120, shared=0.3, noise=0.2, seed=0)
    found: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {}
    for place, table in ((1, built.queries), (2, built.passages)):
        for row in table.to_pylist():
            found.setdefault(row["group"], (row["split"], {}, {}))[place][row["lang"]] = row["text"]
    return [one for one in found.values() if len(one[1]) == len(GENERATED)]


def _in(language: str, languages: list[str], versions: dict[str, str]) -> str:
    return versions[GENERATED[languages.index(language) % len(GENERATED)]]


def mmarco(folder: Path, languages: list[str], groups: int = 700) -> Path:
    """The hub's layout: passages and questions of each language, judgements of train and
    dev.small.
    """
    names = {code: name for name, code in MARCO_LANGUAGES.items()}
    rows = texts(groups)
    lines: dict[str, list[str]] = {"qrels.train.tsv": [], "qrels.dev.small.tsv": []}
    for number, (split, questions, passages) in enumerate(rows):
        part = "train" if split == "train" else "dev.small"
        lines[f"qrels.{part}.tsv"].append(f"{number}\t0\t{number}\t1")
        for language in languages:
            name = names[language]
            files = (
                (f"google/collections/{name}_collection.tsv", passages),
                (f"google/queries/{part.partition('.')[0]}/{name}_queries.{part}.tsv", questions),
            )
            for file, versions in files:
                lines.setdefault(file, []).append(f"{number}\t{_in(language, languages, versions)}")
    for file, content in lines.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("".join(f"{line}\n" for line in content))
    return folder


def lareqa(folder: Path, languages: list[str], groups: int = 60) -> Path:
    """SQuAD's JSON with sentence breaks: three questions to a paragraph, each answered by a
    sentence of its own.
    """
    folder.mkdir(parents=True)
    rows = [
        (questions, passages) for split, questions, passages in texts(groups) if split == "train"
    ]
    for language in languages:
        paragraphs = []
        for start in range(0, len(rows) - 2, 3):
            sentences = [
                _in(language, languages, passages) + "." for _, passages in rows[start : start + 3]
            ]
            begins = [0, len(sentences[0]) + 1, len(sentences[0]) + len(sentences[1]) + 2]
            breaks = [
                [begin, begin + len(text)] for begin, text in zip(begins, sentences, strict=True)
            ]
            asked = [
                {
                    "id": f"q{start + place}",
                    "question": _in(language, languages, rows[start + place][0]) + "?",
                    "answers": [{"text": sentences[place][:4], "answer_start": begins[place]}],
                }
                for place in range(3)
            ]
            paragraphs.append(
                {"context": " ".join(sentences), "sentence_breaks": breaks, "qas": asked}
            )
        (folder / f"{language}.json").write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    return folder


def miracl(folder: Path, languages: list[str], groups: int = 60) -> Path:
    """The layout of its two repositories: topics, judgements with explicit negatives, passages as
    compressed JSON lines.
    """
    rows = texts(groups)
    for language in languages:
        base, corpus = (
            folder / f"miracl/miracl-v1.0-{language}",
            f"miracl-corpus/miracl-corpus-v1.0-{language}",
        )
        docs = [
            {
                "docid": f"{number}#0",
                "title": f"title {number}",
                "text": _in(language, languages, passages),
            }
            for number, (_, _, passages) in enumerate(rows)
        ]
        (folder / corpus).mkdir(parents=True)
        with gzip.open(folder / corpus / "docs-0.jsonl.gz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(doc, ensure_ascii=False) + "\n" for doc in docs)
        for kind in ("topics", "qrels"):
            (base / kind).mkdir(parents=True)
        for part in ("train", "dev"):
            mine = [
                (n, row) for n, row in enumerate(rows) if (row[0] == "train") == (part == "train")
            ]
            topics = "".join(f"{n}\t{_in(language, languages, row[1])}\n" for n, row in mine)
            judged = "".join(f"{n} Q0 {n}#0 1\n{n} Q0 {(n + 1) % len(rows)}#0 0\n" for n, _ in mine)
            name = f"miracl-v1.0-{language}-{part}.tsv"
            (base / "topics" / f"topics.{name}").write_text(topics)
            (base / "qrels" / f"qrels.{name}").write_text(judged)
    return folder


def _tokenizer(folder: Path, specials: tuple[str, ...]) -> int:
    folder.mkdir(parents=True)
    versions = (
        version
        for _, questions, passages in texts(100)
        for version in (*questions.values(), *passages.values())
    )
    text = train_bpe(versions, 700).to_str()
    names = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    for name, special in zip(names, specials, strict=True):
        text = text.replace(name, special)
    (folder / "tokenizer.json").write_text(text)
    keys = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    known = {"tokenizer_class": "PreTrainedTokenizerFast", **dict(zip(keys, specials, strict=True))}
    (folder / "tokenizer_config.json").write_text(json.dumps(known))
    return len(json.loads(text)["model"]["vocab"])


SIZES = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)


def xlmr(folder: Path) -> Path:
    """XLM-R's architecture with random weights, as its hub repository lies on disk."""
    size = _tokenizer(folder, ("<pad>", "<unk>", "<s>", "</s>", "<mask>"))
    torch.manual_seed(0)
    config = XLMRobertaConfig(vocab_size=size, max_position_embeddings=140, pad_token_id=0, **SIZES)
    XLMRobertaModel(config).save_pretrained(folder)
    return folder


def labse(folder: Path) -> Path:
    """LaBSE's sentence-transformers folder: BERT, the first token, a Dense layer with tanh, unit
    length.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import (
        Dense,
        Normalize,
        Pooling,
        Transformer,
    )

    source = folder.parent / f"{folder.name}-bert"
    size = _tokenizer(source, ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=size, max_position_embeddings=140, **SIZES)).save_pretrained(
        source
    )
    parts = [Transformer(str(source)), Pooling(32, pooling_mode="cls"), Dense(32, 32), Normalize()]
    SentenceTransformer(modules=parts).save(str(folder))
    return folder
