"""Training: the plan's batches as tensors, one LightningModule, and the record of what entered the loss."""

import hashlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from hybrid_sweep.batches import DROPOUT, Plan
from hybrid_sweep.config import Config
from hybrid_sweep.data.collection import Pairs
from hybrid_sweep.encoder import Encoder, stream_seed
from hybrid_sweep.loss import gather, info_nce, is_relevant
from hybrid_sweep.prepare import Prepared
from hybrid_sweep.tokens import pad_id


@dataclass
class TrainBatch:
    """One process's part of a global batch of B pairs: b of them, row-aligned.

    query_ids, query_mask, passage_ids, passage_mask: (b, T) int64. groups: (b,) index of the group of each pair.
    questions, answers: (b,) numbers of the question and of the passage, the same in all languages.
    query_language, passage_language: (b,) index of the language of each text, read from the collection.
    """

    step: int
    query_ids: Tensor
    query_mask: Tensor
    passage_ids: Tensor
    passage_mask: Tensor
    groups: Tensor
    questions: Tensor
    answers: Tensor
    query_language: Tensor
    passage_language: Tensor


class HybridBatches(Dataset[TrainBatch]):
    """Item i is this process's slice of the global batch of step i; any order, any process, the same answer."""

    def __init__(self, prepared: Prepared, plan: Plan, rank: int = 0, world_size: int = 1) -> None:
        self.prepared, self.plan = prepared, plan
        size = plan.batch_size // world_size
        self.mine = slice(rank * size, (rank + 1) * size)
        self.pad = pad_id(prepared.model)
        code = {language: index for index, language in enumerate(prepared.pairs.languages)}
        # The language of each text itself, not the plan's word for it: the record shows what was really trained on.
        self.query_language, self.passage_language = (
            np.array([code[language] for language in table["lang"].to_pylist()], np.int64)
            for table in (prepared.collection.queries, prepared.collection.passages)
        )

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, step: int) -> TrainBatch:
        groups = self.plan.groups(step)[self.mine]
        queries = self.prepared.pairs.query[self.plan.query_language[step], groups]
        passages = self.prepared.pairs.passage[self.plan.passage_language[step], groups]
        arrays = (
            *self.prepared.queries.padded(queries, self.pad),
            *self.prepared.passages.padded(passages, self.pad),
            groups,
            self.prepared.pairs.question[groups],
            self.prepared.pairs.answer[groups],
            self.query_language[queries],
            self.passage_language[passages],
        )
        return TrainBatch(step, *(torch.from_numpy(array) for array in arrays))


class HybridData(pl.LightningDataModule):
    """Feeds each process its slices from step `start` on; made when the process knows its rank."""

    def __init__(self, prepared: Prepared, plan: Plan, start: int = 0) -> None:
        super().__init__()
        self.prepared, self.plan, self.start = prepared, plan, start

    def train_dataloader(self) -> DataLoader[TrainBatch]:
        assert self.trainer is not None
        batches = HybridBatches(self.prepared, self.plan, self.trainer.global_rank, self.trainer.world_size)
        return DataLoader(batches, batch_size=None, sampler=range(self.start, len(self.plan)))


class Retriever(pl.LightningModule):
    """The bi-encoder under InfoNCE; all that differs between ratios is the passages it is fed."""

    def __init__(self, encoder: Encoder, config: Config, pairs: Pairs) -> None:
        super().__init__()
        self.encoder, self.config, self.languages = encoder, config, pairs.languages
        self.judged, self.width = torch.from_numpy(pairs.judged), int(pairs.answer.max(initial=0)) + 1
        self.record: list[dict[str, Any]] = []
        self.started = time.monotonic()

    def training_step(self, batch: TrainBatch) -> Tensor:
        # Dropout is a function of (seed, step, rank, micro-batch), so that no ratio, resume or log line shifts it.
        torch.manual_seed(stream_seed(self.config.seed, DROPOUT, batch.step, self.global_rank, 0))
        queries = self.encoder(batch.query_ids, batch.query_mask)
        passages = gather(self.encoder(batch.passage_ids, batch.passage_mask))
        groups = gather(batch.groups)
        positive = torch.arange(len(queries), device=queries.device) + self.global_rank * len(queries)
        relevant = is_relevant(batch.questions, gather(batch.answers), self.judged.to(queries.device), self.width)
        losses = info_nce(queries, passages, positive, relevant, self.config.model.temperature)
        self._note(
            batch.step, groups, gather(batch.query_language), gather(batch.passage_language), gather(losses.detach())
        )
        return losses.mean()

    def _note(
        self, step: int, groups: Tensor, query_language: Tensor, passage_language: Tensor, losses: Tensor
    ) -> None:
        """Record what entered the loss of a step, counted from its tensors."""
        loss = float(losses.mean())
        if not math.isfinite(loss):
            raise RuntimeError(
                f"the loss is {loss} at step {step} (groups {groups[:8].tolist()} ...); "
                "lower trainer.lr or raise model.temperature"
            )
        self.record.append(
            {
                "step": step,
                "loss": loss,
                "lr": self.trainer.optimizers[0].param_groups[0]["lr"],
                "grad_norm": math.nan,
                "query_lang": self._name(query_language),
                "passage_lang": self._name(passage_language),
                "n_examples": len(groups),
                "n_cross": int((query_language != passage_language).sum()),
                "groups": groups_digest(groups.cpu().numpy()),
                "world_size": self.trainer.world_size,
                "seconds": time.monotonic() - self.started,
            }
        )
        self.log_dict(
            {"train/loss": loss, "train/cross_lingual": self.record[-1]["n_cross"] / len(groups)}, rank_zero_only=True
        )

    def _name(self, languages: Tensor) -> str:
        return "+".join(self.languages[index] for index in torch.unique(languages).tolist())

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        norm = nn.utils.clip_grad_norm_(self.parameters(), self.config.trainer.clip or math.inf)
        self.record[-1]["grad_norm"] = float(norm)

    def configure_optimizers(self) -> Any:
        trainer = self.config.trainer
        embeddings = {
            id(parameter)
            for module in self.modules()
            if isinstance(module, nn.Embedding)
            for parameter in module.parameters()
        }
        parameters = [parameter for parameter in self.parameters() if parameter.requires_grad]
        decayed = [parameter for parameter in parameters if parameter.ndim >= 2 and id(parameter) not in embeddings]
        others = [parameter for parameter in parameters if parameter.ndim < 2 or id(parameter) in embeddings]
        optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": trainer.weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=trainer.lr,
            fused=True,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: rate(step, trainer.max_steps, trainer.warmup)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def rate(step: int, steps: int, warmup: float) -> float:
    """Share of the peak learning rate at a step: a linear rise over the warm-up, then a linear fall towards 0."""
    rising = round(warmup * steps)
    return (step + 1) / rising if step < rising else (steps - step) / max(1, steps - rising)


def groups_digest(groups: np.ndarray) -> str:
    """Eight hex digits that name the groups of a batch in their order."""
    return hashlib.sha256(np.ascontiguousarray(groups, "<i8").tobytes()).hexdigest()[:8]


def planned(plan: Plan) -> Iterator[dict[str, Any]]:
    """What the record of each step must say, by the plan."""
    for step in range(len(plan)):
        yield {
            "step": step,
            "query_lang": plan.languages[plan.query_language[step]],
            "passage_lang": plan.languages[plan.passage_language[step]],
            "n_examples": plan.batch_size,
            "n_cross": plan.batch_size * int(plan.cross[step]),
            "groups": groups_digest(plan.groups(step)),
        }


def check_realised(record: pd.DataFrame, plan: Plan) -> None:
    """Raise RuntimeError unless what entered the loss is, step by step, what the plan says."""
    wanted = pd.DataFrame(list(planned(plan)))
    found = record[wanted.columns]
    if len(found) != len(wanted) or (found.to_numpy() != wanted.to_numpy()).any():
        length = min(len(found), len(wanted))
        differs = (found.to_numpy()[:length] != wanted.to_numpy()[:length]).any(axis=1)
        step = int(differs.argmax()) if differs.any() else length
        raise RuntimeError(
            f"step {step} of {len(wanted)} did not train on what the plan says; this is a defect of the program"
        )


def make_trainer(config: Config, callbacks: list[pl.Callback], logger: Any, start: int = 0) -> pl.Trainer:
    """Lightning's trainer for a run: one pass over the plan from `start` on, nothing written, no shuffling of its own."""
    from pytorch_lightning.strategies import DDPStrategy

    trainer = config.trainer
    if trainer.accelerator == "gpu" and not torch.cuda.is_available():
        from hybrid_sweep.errors import UserError

        raise UserError("trainer.accelerator=gpu: torch sees no GPU here; take trainer=cpu")
    ranks = trainer.devices * trainer.nodes
    backend = "nccl" if trainer.accelerator == "gpu" else "gloo"
    return pl.Trainer(
        max_steps=trainer.max_steps - start,
        max_epochs=1,
        accelerator=trainer.accelerator,
        devices=trainer.devices,
        num_nodes=trainer.nodes,
        precision=trainer.precision,  # type: ignore[arg-type]
        strategy=DDPStrategy(process_group_backend=backend) if ranks > 1 else "auto",
        use_distributed_sampler=False,
        callbacks=callbacks,
        logger=logger or False,
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        deterministic="warn" if trainer.accelerator == "gpu" else True,
    )
