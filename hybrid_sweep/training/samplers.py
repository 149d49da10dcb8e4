"""The exact batch schedule in other training loops: a batch sampler over its examples, and a
collator.

Every process draws the same schedule, and takes its own slice of each global batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import BatchSampler

from hybrid_sweep.config.schema import ModelConfig
from hybrid_sweep.inputs.batch_schedule import BatchSchedule
from hybrid_sweep.utils.errors import UserError


class ScheduleSampler(BatchSampler):
    """Yields rows of `BatchSchedule.examples()`, a batch at a time, in the order of the schedule.

    Args:
        schedule: what decides each batch.
        batch_size: pairs of a batch here; a part of the schedule's own, which it must divide.
        rank: which part of each global batch is yielded; None yields all parts, one after the
            other, as accelerate deals batches to processes in turn.
        start: number of steps that are done: a resumed training goes on there.
    """

    def __init__(
        self,
        schedule: BatchSchedule,
        batch_size: int | None = None,
        *,
        rank: int | None = None,
        start: int = 0,
    ) -> None:
        whole = schedule.batch_size
        size = whole if batch_size is None else batch_size
        if size < 1 or whole % size:
            raise UserError(
                f"a batch of {size} pairs is no part of the schedule's {whole}: set batch.size to a"
                " multiple",
                key="sampler.batch_size",
            )
        parts = whole // size
        if rank is not None and not 0 <= rank < parts:
            raise UserError(
                f"rank {rank}: the {whole} pairs of a batch have {parts} parts of {size}",
                key="sampler.rank",
            )
        if not 0 <= start <= len(schedule):
            raise UserError(
                f"start={start}: the schedule has {len(schedule)} steps", key="sampler.start"
            )
        super().__init__(range(len(schedule) * whole), size, drop_last=True)
        self.schedule, self.rank, self.start, self.parts = schedule, rank, start, parts

    def __len__(self) -> int:
        steps = len(self.schedule) - self.start
        if self.rank is not None:
            return steps
        return steps * self.parts

    def __iter__(self) -> Iterator[list[int]]:
        ranks = range(self.parts) if self.rank is None else [self.rank]
        for step in range(self.start, len(self.schedule)):
            for rank in ranks:
                first = step * self.schedule.batch_size + rank * self.batch_size
                yield list(range(first, first + self.batch_size))

    def set_epoch(self, epoch: int) -> None:
        """Check the number of an epoch, as trainers give it; a schedule is one epoch.

        Raises:
            UserError: for a second epoch, which would repeat the batches of the first.
        """
        if epoch > 0:
            raise UserError(
                f"epoch {epoch}: a schedule is one epoch of {len(self.schedule)} steps; set"
                " trainer.max_steps to what is to be trained",
                key="sampler.epoch",
            )


class SentenceTransformersSampler:
    """What SentenceTransformerTrainingArguments takes as `batch_sampler`.

    The dataset is `datasets.Dataset(schedule.examples().table)` with the columns anchor and
    positive. per_device_train_batch_size times the number of processes must be the schedule's batch
    size; one epoch is the schedule. The trainer saves its arguments beside each checkpoint: the
    schedule is not saved with them.

    Args:
        schedule: what decides each batch.
    """

    def __init__(self, schedule: BatchSchedule) -> None:
        self.schedule: BatchSchedule | None = schedule

    def __getstate__(self) -> dict[str, Any]:
        return {"schedule": None}

    def __call__(self, dataset: Any, batch_size: int, **_: Any) -> ScheduleSampler:
        """Return the sampler of a training, as the trainer asks for it.

        Raises:
            UserError: where the dataset or the batch size is not that of the schedule.
        """
        schedule = self.schedule
        if schedule is None:
            raise UserError(
                "the sampler was read from the arguments of an earlier training, without its"
                " schedule: make it anew",
                key="sampler.unpickled",
            )
        expected = len(schedule) * schedule.batch_size
        if len(dataset) != expected:
            raise UserError(
                f"a dataset of {len(dataset)} rows for {expected} pairs of the schedule: take"
                " schedule.examples()",
                key="sampler.dataset",
            )
        world = 1
        if _is_distributed():
            world = torch.distributed.get_world_size()
        if batch_size * world != schedule.batch_size:
            raise UserError(
                f"{batch_size} pairs on each of {world} processes are not the"
                f" {schedule.batch_size} of the schedule: set per_device_train_batch_size to"
                f" {schedule.batch_size / world:g}",
                key="sampler.batch_size",
            )
        return ScheduleSampler(schedule, batch_size)


def _is_distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


@dataclass(frozen=True)
class Collator:
    """Puts examples into tensors: what a DataLoader takes as `collate_fn`.

    Args:
        tokenizer: of transformers, as `AutoTokenizer.from_pretrained` returns it.
        model: whose prompts and lengths are used.
    """

    tokenizer: Any
    model: ModelConfig

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        model = self.model
        queries = [model.query_prompt + example["anchor"] for example in examples]
        passages = [model.passage_prompt + example["positive"] for example in examples]
        return {
            "step": examples[0]["step"],
            "source": examples[0]["source"],
            "query_language": [example["query_language"] for example in examples],
            "passage_language": [example["passage_language"] for example in examples],
            "queries": self._padded(queries, model.query_length),
            "passages": self._padded(passages, model.passage_length),
        }

    def _padded(self, texts: list[str], length: int) -> Any:
        return self.tokenizer(
            texts, padding=True, truncation=True, max_length=length, return_tensors="pt"
        )
