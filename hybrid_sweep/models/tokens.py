"""Text becomes tokens once: a memory-mapped store per (content, tokenizer, prompt, length), shared
by all runs.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from tokenizers import (
    Encoding,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from hybrid_sweep.models.stated import object_of
from hybrid_sweep.utils import digests, safe_paths
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import atomic_dir, digest, exclusive, file_digest

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ARRAYS = ("ids", "starts", "used")
BLOCK = 4096  # texts per call of the tokenizer: enough to keep it busy, little memory


@dataclass(frozen=True)
class Tokens:
    """The tokens of the texts of a table, row by row.

    ids: all token ids in a row, cut to the length limit, prompt and special tokens included.
    starts: (N + 1,) int64, text n is ids[starts[n]:starts[n + 1]]. used: sorted int64 ids that
    occur; empty where the tokens are a part of a store.
    """

    ids: np.ndarray
    starts: np.ndarray
    used: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Return (N,) number of tokens of each text."""
        return np.diff(self.starts)

    def padded(self, rows: np.ndarray, pad: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (input_ids, attention_mask) of some texts, both (B, longest) int64."""
        lengths = self.starts[rows + 1] - self.starts[rows]
        columns = np.arange(lengths.max(initial=1))
        mask = columns[None, :] < lengths[:, None]
        places = np.where(mask, self.starts[rows][:, None] + columns[None, :], 0)
        return np.where(mask, self.ids[places], pad).astype(np.int64), mask.astype(np.int64)


def train_bpe(texts: Iterator[str], vocabulary: int) -> Tokenizer:
    """Return a byte-level BPE tokenizer of at most `vocabulary` entries: any script, nothing
    unknown, trained in seconds.

    NFKC and lower case, since a small vocabulary cannot afford to learn a word twice.
    """
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            min_frequency=2,
            special_tokens=SPECIALS,
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    cls, sep = (tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", cls), ("[SEP]", sep)],
    )
    return tokenizer


def load_tokenizer(folder: Path) -> Tokenizer:
    """Return the fast tokenizer of a model folder; a UserError where there is none, or it cannot be
    read.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise UserError(
            f"model folder {folder} has no tokenizer.json; save the model's fast tokenizer there",
            key="model.tokenizer_missing",
        )
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the only kind that the library raises
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{path} is no tokenizer ({reason}); save the model's fast tokenizer there",
            key="model.tokenizer_damaged",
        ) from error


def id_count(tokenizer: Tokenizer) -> int:
    """Return one more than the largest token id: in vocabularies with gaps it is larger than the
    number of tokens.
    """
    return max(tokenizer.get_vocab().values(), default=-1) + 1


def pad_id(folder: Path) -> int:
    """Return the id of the padding token by the model's config; 0 where it names none."""
    number = object_of(folder / "config.json").get("pad_token_id")
    if number is not None and type(number) is not int:
        raise UserError(
            f"{folder / 'config.json'}: pad_token_id must be a whole number",
            key="model.whole_number",
        )
    return number or 0


def trained_rows(used: np.ndarray, pad: int | None) -> np.ndarray:
    """Return the rows of the table of embeddings that a run trains, sorted: those of the tokens
    that occur, and all up to the padding token, which so keeps its number, by which some models
    count positions."""
    return np.union1d(used, np.arange(0 if pad is None else pad + 1))


@dataclass(frozen=True)
class Tokenizing:
    """How texts become tokens: with the tokenizer of a model folder, a prompt before each text, cut
    to a length in tokens, prompt and special tokens included.
    """

    folder: Path
    prompt: str
    length: int


def token_store(
    cache: Path,
    table: pa.Table,
    content: str,
    role: str,
    tokenizing: Tokenizing,
    say: Callable[[str], None] = print,
) -> Tokens:
    """Return the tokens of a table of texts, from the cache or built into it once (other processes
    wait).

    content: the fingerprint that names the texts. role: "queries" or "passages". What is not whole,
    by the digests of its files, is built again, and `say` told so; so is what an earlier version
    stored without digests, since building takes little more than reading. Raises UserError that
    names a text which leaves no token.
    """
    key = digest(
        {
            "content": content,
            "role": role,
            "prompt": tokenizing.prompt,
            "length": tokenizing.length,
            "rows": len(table),
            "version": 2,
            "tokenizer": file_digest(tokenizing.folder / "tokenizer.json"),
        }
    )
    folder = safe_paths.inside(cache, "tokens", key)
    with exclusive(cache / "tokens" / f"{key}.lock"):
        tokens = _whole(folder, len(table), digests.memory_of(cache, folder))
        if tokens is None:
            if folder.exists():
                say(f"the tokens in {folder} are {digests.fault(folder)}: they are made again now")
            _build(folder, table, tokenizing)
            tokens = _opened(folder)
    return tokens


def tokenized(tokenizer: Tokenizer, texts: Sequence[str], prompt: str, length: int) -> Tokens:
    """Return the tokens of some texts, in memory.

    Args:
        tokenizer: its padding and truncation are set here.
        texts: without the prompt.
        prompt: put before each text.
        length: tokens at most, prompt and special tokens included.

    Raises:
        UserError: for a text that leaves no token.
    """
    set_length(tokenizer, length)
    encoded = tokenizer.encode_batch_fast([prompt + text for text in texts])
    place = _empty(tokenizer, encoded)
    if place is not None:
        raise UserError(
            f"text {place}: {texts[place]!r} has no token left after tokenising",
            key="data.no_token",
        )
    return in_memory(encoded)


def in_memory(encoded: Sequence[Encoding]) -> Tokens:
    """Return what a tokenizer made of some texts."""
    lengths = [len(one.ids) for one in encoded]
    ids = np.fromiter(itertools.chain.from_iterable(one.ids for one in encoded), np.int64)
    return Tokens(ids, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))


def set_length(tokenizer: Tokenizer, length: int) -> None:
    """Let a tokenizer cut texts at `length` tokens, and pad none."""
    tokenizer.no_padding()
    tokenizer.enable_truncation(length)


def _empty(tokenizer: Tokenizer, encoded: Sequence[Encoding]) -> int | None:
    """Return the place of the first text with special tokens alone, None where there is none."""
    specials = tokenizer.num_special_tokens_to_add(is_pair=False)
    for place, one in enumerate(encoded):
        if len(one.ids) <= specials:
            return place
    return None


def _opened(folder: Path) -> Tokens:
    return Tokens(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS))


def _whole(folder: Path, texts: int, memory: digests.Memory) -> Tokens | None:
    """Return the tokens in a folder, or None where a file is not what was written or not as long as
    the number of texts says.
    """
    try:
        info = digests.read_info(folder, memory)
        if set(info["files"]) != {f"{name}.npy" for name in ARRAYS}:
            return None
        tokens = _opened(folder)
    except (digests.Damaged, OSError, ValueError, EOFError):
        return None
    if len(tokens) == texts and tokens.starts[-1] == len(tokens.ids):
        return tokens
    return None


def _build(folder: Path, table: pa.Table, tokenizing: Tokenizing) -> None:
    tokenizer = load_tokenizer(tokenizing.folder)
    prompt = tokenizing.prompt
    set_length(tokenizer, tokenizing.length)
    size = id_count(tokenizer)
    dtype = np.uint16 if size <= 2**16 else np.int32
    lengths = np.zeros(len(table), np.int64)
    used = np.zeros(size, bool)
    with atomic_dir(folder) as temporary:
        with open(temporary / "ids.raw", "wb") as raw:
            for start, texts in _blocks(table["text"]):
                encoded = tokenizer.encode_batch_fast([prompt + text for text in texts])
                place = _empty(tokenizer, encoded)
                if place is not None:
                    identifier = table["id"][start + place].as_py()
                    raise UserError(
                        f"text {identifier!r} has no token left after tokenising; remove it"
                        " from the collection",
                        key="data.no_token",
                    )
                lengths[start : start + len(encoded)] = [len(one.ids) for one in encoded]
                block = np.concatenate([np.asarray(one.ids, dtype) for one in encoded])
                used[block] = True
                raw.write(block.tobytes())
        ids = np.memmap(temporary / "ids.raw", dtype, "r") if lengths.sum() else np.zeros(0, dtype)
        np.save(temporary / "ids.npy", ids)
        (temporary / "ids.raw").unlink()
        np.save(temporary / "starts.npy", np.concatenate([[0], np.cumsum(lengths)]))
        np.save(temporary / "used.npy", np.flatnonzero(used))
        facts = {"texts": len(table), "tokens": int(lengths.sum())}
        digests.write_info(temporary, facts, [f"{name}.npy" for name in ARRAYS])


def _blocks(column: pa.ChunkedArray) -> Iterator[tuple[int, Sequence[str]]]:
    for start in range(0, len(column), BLOCK):
        yield start, column.slice(start, BLOCK).to_pylist()
