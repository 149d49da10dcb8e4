"""Texts to vectors with a saved encoder: its tokenizer, prompts and lengths, all in memory."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hybrid_sweep.config.schema import ModelConfig
from hybrid_sweep.models.encoder import encode, in_precision
from hybrid_sweep.models.layout import read_layout
from hybrid_sweep.models.loading import load_encoder
from hybrid_sweep.models.tokens import load_tokenizer, pad_id, tokenized

BATCH_TOKENS = 8192  # padded tokens that are encoded at a time


class TextEncoder:
    """The encoder in a folder that a run has saved.

    Args:
        model: the run's settings: prompts, lengths, pooling.
        folder: of the model, as `save_encoder` wrote it.
        precision: as trainer.precision or eval.precision: in which the run's evaluation encodes.
    """

    def __init__(self, model: ModelConfig, folder: Path, precision: str = "32-true") -> None:
        place = read_layout(folder).transformer
        self.model, self.encoder = model, in_precision(load_encoder(model, folder), precision)
        self.tokenizer, self.pad = load_tokenizer(place), pad_id(place)

    def queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (N, D) float32 unit vectors of queries, given without their prompt.

        Raises:
            UserError: for a text that leaves no token.
        """
        return self._vectors(texts, self.model.query_prompt, self.model.query_length)

    def passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (N, D) float32 unit vectors of passages, given without their prompt.

        Raises:
            UserError: for a text that leaves no token.
        """
        return self._vectors(texts, self.model.passage_prompt, self.model.passage_length)

    def _vectors(self, texts: Sequence[str], prompt: str, length: int) -> NDArray[np.float32]:
        tokens = tokenized(self.tokenizer, texts, prompt, length)
        rows = np.arange(len(texts))
        return encode(self.encoder, tokens, rows, pad=self.pad, batch_tokens=BATCH_TOKENS)
