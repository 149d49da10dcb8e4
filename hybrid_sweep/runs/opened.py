"""A finished run, opened: its per-query rows, its means, its training steps, its encoder."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from hybrid_sweep.config.schema import Bm25Model, Config, cache_dir, encoding_precision, steps_of
from hybrid_sweep.runs import finished, stages, trained
from hybrid_sweep.utils import digests
from hybrid_sweep.utils.errors import UserError

if TYPE_CHECKING:  # BM25 needs no torch
    from hybrid_sweep.models.text_encoder import TextEncoder


@dataclass(frozen=True)
class Run:
    """A run whose evaluations are finished.

    Args:
        folder: of the run, named by its id.
        config: what it was made with.
    """

    folder: Path
    config: Config

    @property
    def run_id(self) -> str:
        """Return the id of the run: the digest of its settings, data and model."""
        return self.folder.name

    @property
    def evaluations(self) -> list[str]:
        """Return the names of its evaluations; "" is the one on its own collection."""
        return [stage.name for stage in stages.of(self.config, self.folder)]

    @property
    def per_query(self) -> pd.DataFrame:
        """Return the per-query rows on its own collection; see `on`."""
        return self.on("")

    @property
    def metrics(self) -> dict[str, Any]:
        """Return the means on its own collection and what else was measured: metrics.json."""
        return finished.metrics(self.folder, self._place(""))

    def on(self, evaluation: str) -> pd.DataFrame:
        """Return a row for each setting, language pair and query of an evaluation.

        Raises:
            UserError: where the run has no such evaluation, or its files are not those that were
                written.
        """
        table = finished.table(self.folder, self._place(evaluation))
        frame: pd.DataFrame = table.to_pandas()
        return frame

    def _place(self, evaluation: str) -> Path:
        names = self.evaluations
        if evaluation not in names:
            raise UserError(
                f"run {self.run_id} has no evaluation {evaluation!r}; it has {names}",
                key="run.no_evaluation",
            )
        return stages.folder_of(self.folder, evaluation)

    @property
    def steps(self) -> pd.DataFrame:
        """Return what entered the loss, one row a step.

        Raises:
            UserError: where nothing was trained.
        """
        path = self.folder / "steps.parquet"
        if not path.is_file():
            raise UserError(f"run {self.run_id}: nothing was trained", key="run.no_steps")
        return pd.read_parquet(path)

    def encoder(self) -> "TextEncoder":
        """Return the trained encoder, on the CPU and in the precision of the run, after comparing
        its files with their digests.

        Raises:
            UserError: for BM25 and for a run of no steps, which keep no model, and where the model
                was not kept or is not the one that was saved.
        """
        if isinstance(self.config.model, Bm25Model) or steps_of(self.config) == 0:
            raise UserError(f"run {self.run_id} has trained no model", key="run.no_model")
        from hybrid_sweep.models.text_encoder import TextEncoder

        trained.check(self.folder, digests.memory_of(cache_dir(self.config), self.folder))
        precision = encoding_precision(self.config)
        return TextEncoder(self.config.model, self.folder / "model", precision)
