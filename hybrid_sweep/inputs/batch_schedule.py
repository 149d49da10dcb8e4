"""The batch schedule of a config with the rows and texts behind it, for whoever trains with another
program. No torch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hybrid_sweep.batching.schedule import Plan
from hybrid_sweep.config.schema import Bm25Model, Config
from hybrid_sweep.data.code_switching import CodeSwitch, code_switch_of
from hybrid_sweep.data.collection import Collection
from hybrid_sweep.data.negative_draws import NegativeDraw, drawn_negatives
from hybrid_sweep.data.pairs import Pairs
from hybrid_sweep.inputs.plan import plan_of
from hybrid_sweep.inputs.prepare import collection_of, configs_of, training_pairs
from hybrid_sweep.utils.errors import UserError

Rows = NDArray[np.int64]
Codes = NDArray[np.str_]


@dataclass(frozen=True)
class ScheduledBatch:
    """The B pairs of a step, row by row.

    Args:
        step: number of the step, from 0.
        source: name of the training collection.
        groups: (B,) numbers of the parallel groups, those of `Pairs.ids`; distinct, but with
            batch.composition=per_language each as often in a row as a question has languages.
        query_language: (B,) language code of each query.
        passage_language: (B,) language code of each passage.
        query_rows: (B,) row of each query in `collections[source].queries`.
        passage_rows: (B,) row of each passage in `collections[source].passages`.
        negative_rows: (B, k) rows of the hard negatives in the same table, -1 where there is none;
            None where batch.hard_negatives is 0.
    """

    step: int
    source: str
    groups: Rows
    query_language: Codes
    passage_language: Codes
    query_rows: Rows
    passage_rows: Rows
    negative_rows: Rows | None

    @property
    def cross_lingual(self) -> NDArray[np.bool_]:
        """Return (B,) which pairs have two languages."""
        crossed: NDArray[np.bool_] = self.query_language != self.passage_language
        return crossed


class Examples(Sequence[dict[str, Any]]):
    """All pairs of a schedule in the order of training: row i is pair i modulo B of step i // B.

    Args:
        table: columns step, source, query_language, passage_language, anchor and positive; the
            last two are the texts. `datasets.Dataset(examples.table)` is a dataset of Hugging
            Face.
        batch_size: B.
    """

    def __init__(self, table: pa.Table, batch_size: int) -> None:
        self.table, self.batch_size = table, batch_size

    def __len__(self) -> int:
        return len(self.table)

    @overload
    def __getitem__(self, place: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, place: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, place: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(place, slice):
            rows = list(range(len(self))[place])
            part: list[dict[str, Any]] = self.table.take(pa.array(rows, pa.int64())).to_pylist()
            return part
        row = range(len(self))[place]  # raises IndexError, and counts from the end
        one: dict[str, Any] = self.table.slice(row, 1).to_pylist()[0]
        return one


class BatchSchedule(Sequence[ScheduledBatch]):
    """The batches of a run, a pure function of its config: the same in any order, on any machine.

    Exactly round(r N) of the N steps are cross-lingual (composed per example: of the N B pairs).
    Raising r changes the passages of the newly converted steps and nothing else. With stated pairs
    of languages (`batch.pairs`), of which one only asks, it changes their queries: see
    conf/batch/hybrid.yaml.

    Args:
        plan: the schedule itself.
        pairs: the training pairs of each source, by name.
        collections: the texts of each source, by name.
        hard_negatives: k, of each pair.
        negatives_language: passage, query or mixed, as batch.negatives_language.
    """

    def __init__(
        self,
        plan: Plan,
        pairs: dict[str, Pairs],
        collections: dict[str, Collection],
        hard_negatives: int = 0,
        negatives_language: str = "passage",
    ) -> None:
        self.plan, self.pairs, self.collections = plan, pairs, collections
        self.hard_negatives, self.negatives_language = hard_negatives, negatives_language
        self.code_switch: CodeSwitch | None = None

    @classmethod
    def from_config(cls, config: Config) -> "BatchSchedule":
        """Return the schedule of a config; its collections are built where they are not there.

        Raises:
            UserError: for BM25, and where no pair of languages has as many groups as a batch.
        """
        if isinstance(config.model, Bm25Model):
            raise UserError(
                "model=bm25 is not trained: it has no batches", key="schedule.nothing_to_train"
            )
        collections, pairs = {}, {}
        for name, own in configs_of(config).items():
            collections[name] = collection_of(own)
            pairs[name] = training_pairs(own, collections[name])
        batch = config.batch
        plan = plan_of(config, pairs)
        made = cls(plan, pairs, collections, batch.hard_negatives, batch.negatives_language)
        made.code_switch = code_switch_of(config)
        return made

    @property
    def batch_size(self) -> int:
        """Return B, the pairs of a global batch."""
        return self.plan.batch_size

    @property
    def languages(self) -> tuple[str, ...]:
        """Return the language codes, sorted."""
        return self.plan.languages

    def __len__(self) -> int:
        return len(self.plan)

    @overload
    def __getitem__(self, step: int) -> ScheduledBatch: ...
    @overload
    def __getitem__(self, step: slice) -> list[ScheduledBatch]: ...
    def __getitem__(self, step: int | slice) -> ScheduledBatch | list[ScheduledBatch]:
        if isinstance(step, slice):
            return [self._batch(number) for number in range(len(self))[step]]
        return self._batch(range(len(self))[step])

    def __iter__(self) -> Iterator[ScheduledBatch]:
        return (self._batch(step) for step in range(len(self)))

    def _batch(self, step: int) -> ScheduledBatch:
        batch = self.plan.batch(step)
        name = self.plan.sources[batch.source]
        pairs = self.pairs[name]
        code = self._code(pairs)
        query, passage = code[batch.query_language], code[batch.passage_language]
        negatives = None
        if self.hard_negatives:
            key = self.plan.negatives_key(step)
            draw = NegativeDraw(self.hard_negatives, self.negatives_language, self.plan.answering)
            negatives, _ = drawn_negatives(pairs, batch, code, draw, key)
        codes = np.array(self.plan.languages)
        return ScheduledBatch(
            step,
            name,
            batch.groups.astype(np.int64),
            codes[batch.query_language],
            codes[batch.passage_language],
            pairs.query[query, batch.groups].astype(np.int64),
            pairs.passage[passage, batch.groups].astype(np.int64),
            negatives,
        )

    def _code(self, pairs: Pairs) -> Rows:
        """Return the place of each language of the plan among those of a source, -1 = none."""
        place = {language: number for number, language in enumerate(pairs.languages)}
        return np.array([place.get(language, -1) for language in self.plan.languages], np.int64)

    def texts(self, step: int) -> tuple[list[str], list[str]]:
        """Return the B queries of a step, code-switched where batch.code_switch says so, and their
        B passages, without prompts.
        """
        batch = self[step]
        collection = self.collections[batch.source]
        queries = collection.queries["text"].take(pa.array(batch.query_rows))
        passages = collection.passages["text"].take(pa.array(batch.passage_rows))
        asked = queries.to_pylist()
        if self.code_switch:
            languages = batch.query_language.tolist()
            key = self.plan.negatives_key(step)
            asked, _ = self.code_switch.switched(asked, languages, batch.groups, key)
        return asked, passages.to_pylist()

    def examples(self) -> Examples:
        """Return all pairs in the order of training, with their texts, in memory.

        Raises:
            UserError: where a pair has hard negatives, for which there are no columns, and where a
                question stands in a batch in several languages, which only a mask by `groups`
                keeps from being negatives of each other.
        """
        if self.plan.repeats_questions:
            raise UserError(
                "batch.composition=per_language: without a mask a loss would take the passages of a"
                " question in other languages as negatives of it; take per_example, or mask by the"
                " groups of each batch",
                key="schedule.per_language",
            )
        if self.hard_negatives:
            raise UserError(
                f"batch.hard_negatives={self.hard_negatives}: examples() has no columns for them;"
                " take 0, or the rows of each batch",
                key="schedule.hard_negatives",
            )
        tables = [self._table(batch) for batch in self]
        return Examples(pa.concat_tables(tables).combine_chunks(), self.batch_size)

    def _table(self, batch: ScheduledBatch) -> pa.Table:
        queries, passages = self.texts(batch.step)
        return pa.table(
            {
                "step": np.full(len(queries), batch.step),
                "source": [batch.source] * len(queries),
                "query_language": batch.query_language.tolist(),
                "passage_language": batch.passage_language.tolist(),
                "anchor": queries,
                "positive": passages,
            }
        )
