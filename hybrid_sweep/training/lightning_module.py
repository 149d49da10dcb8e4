"""Training: one LightningModule under a loss, its optimiser, and the record of what entered the
loss.
"""

import inspect
import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers.logger import Logger
from torch import Tensor, nn

from hybrid_sweep.batching.audit import groups_digest, names
from hybrid_sweep.batching.schedule import DROPOUT
from hybrid_sweep.config.schema import Config, TrainerConfig, is_cached, steps_of
from hybrid_sweep.inputs.prepare import Prepared
from hybrid_sweep.models.embedding_rows import compact, whole
from hybrid_sweep.models.encoder import Encoder, stream_seed
from hybrid_sweep.tracking import lightning_logger, mirror
from hybrid_sweep.training.batches import TrainBatch
from hybrid_sweep.training.gradient_cache import cached
from hybrid_sweep.training.loss import Loss, LossInput, checked, gather, info_nce, is_relevant
from hybrid_sweep.training.loss_blocks import Blocks, info_nce_in_blocks
from hybrid_sweep.training.objectives import Step, terms_of, weight_of
from hybrid_sweep.utils.errors import UserError

# Numbers in a table of embeddings from which all sub-batches of a step share one look-up: the
# gradient of a table is as large as the table, and each look-up makes one. A quarter of a step on 4
# layers of multilingual-e5-small, nothing on small tables.
LARGE = 2**22
# the columns of the record for code-switched queries, as of `TrainBatch.switched`
WORDS = ("n_words", "n_words_switched", "n_words_without_entry")


class Retriever(pl.LightningModule):
    """The bi-encoder under a loss; all that differs between ratios is the passages it is fed.

    The encoder it is given becomes its own, with the embedding rows that occur; `whole_encoder` has
    them all. A module derived from it may put a step of its own together from `vectors`,
    `loss_input` and `note`.
    """

    def __init__(
        self, encoder: Encoder, config: Config, prepared: Prepared, loss: Loss = info_nce
    ) -> None:
        super().__init__()
        self.encoder, self.config, self.languages = encoder, config, prepared.languages
        self.loss = loss
        self.names = [source.name for source in prepared.sources]
        self.widths = [source.pairs.width for source in prepared.sources]
        for number, source in enumerate(prepared.sources):
            self.register_buffer(
                f"judged_{number}",
                torch.from_numpy(np.array(source.pairs.judged)),
                persistent=False,
            )
        self.vocabulary = None
        # Frozen embeddings (adapters) have no gradient to save.
        if (
            config.trainer.compact_vocabulary
            and not config.batch.code_switch.share  # its words need tokens that no text has
            and encoder.transformer.get_input_embeddings().weight.requires_grad
        ):
            self.vocabulary = compact(encoder, prepared.used)
        table = encoder.transformer.get_input_embeddings().weight
        takes = inspect.signature(encoder.transformer.forward).parameters
        self.at_once = table.requires_grad and table.numel() >= LARGE and "inputs_embeds" in takes
        # Weights from a folder come in evaluation mode, and Lightning leaves modes alone: there
        # would be no dropout.
        self.train()
        self.record: list[dict[str, Any]] = []
        self.started = time.monotonic()

    def whole_encoder(self) -> Encoder:
        """Return the encoder as it is now, with its full vocabulary; made anew at each call."""
        return whole(self.encoder, self.vocabulary)

    def training_step(self, batch: TrainBatch) -> Tensor:
        vectors = self.vectors(batch)
        with torch.autocast(self.device.type, enabled=False):  # scores in half precision would tie
            if self.config.loss.block is None:
                terms = self._terms(batch, vectors, self._given(batch, vectors))
            else:
                terms = {"infonce": self._in_blocks(batch, vectors, self.config.loss.block)}
        if list(terms) == ["infonce"] and self.config.loss.infonce == 1:
            losses = terms["infonce"]
            self.note(batch, losses)
            return losses.mean()
        weighted = [weight_of(self.config.loss, name) * term.mean() for name, term in terms.items()]
        total = torch.stack(weighted).sum()
        self.note(batch, total.reshape(1), terms)
        return total

    def _terms(self, batch: TrainBatch, vectors: Tensor, given: LossInput) -> dict[str, Tensor]:
        """Return the values of the terms of the loss, by their names."""
        terms = {}
        if self.config.loss.infonce:
            losses = self.loss(**given)
            terms["infonce"] = checked(losses, len(batch.groups), self.config.trainer.loss)
        judged = getattr(self, f"judged_{batch.source}")
        step = Step(batch, vectors, given, self.global_rank, judged, self.widths[batch.source])
        return terms | terms_of(step, self.config.loss)

    def loss_input(self, batch: TrainBatch) -> LossInput:
        """Return what the loss of a step is called with; see `loss.Loss`."""
        return self._given(batch, self.vectors(batch))

    def _given(self, batch: TrainBatch, vectors: Tensor) -> LossInput:
        """Return `loss_input` from the vectors of the texts."""
        queries, passages, answers, positive = self._compared(batch, vectors)
        return {
            "queries": queries,
            "passages": passages,
            "positive": positive,
            "masked": self._masked(batch, answers, positive, slice(None)),
            "temperature": self.config.model.temperature,
        }

    def _in_blocks(self, batch: TrainBatch, vectors: Tensor, block: int) -> Tensor:
        """Return the InfoNCE of each own query, with the scores of `block` of them in memory at a
        time.
        """
        queries, passages, answers, positive = self._compared(batch, vectors)
        masked_of = partial(self._masked, batch, answers, positive)
        blocks = Blocks(block, masked_of, self.config.model.temperature)
        return info_nce_in_blocks(queries, passages, positive, blocks)

    def _compared(
        self, batch: TrainBatch, vectors: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the vectors of the own queries, and those of the passages of all processes with
        their numbers; and where each query's own passage stands among these.
        """
        own = len(batch.groups)
        passages = gather(vectors[own : own + len(batch.answers)])
        answers = gather(batch.answers)
        # The passages of a process, its hard negatives behind them, stand together in the gathered
        # ones.
        places = torch.arange(own, device=vectors.device)
        return vectors[:own], passages, answers, places + self.global_rank * len(batch.answers)

    def _masked(self, batch: TrainBatch, answers: Tensor, positive: Tensor, part: slice) -> Tensor:
        """Return which candidates are no negatives of a slice of the own queries; see
        `loss.Loss`.
        """
        judged = getattr(self, f"judged_{batch.source}")
        masked = is_relevant(batch.questions[part], answers, judged, self.widths[batch.source])
        masked |= answers < 0
        masked[torch.arange(len(masked), device=masked.device), positive[part]] = False
        return masked

    def vectors(self, batch: TrainBatch) -> Tensor:
        """Return (n, D) the vectors of all texts of a batch, in their order; zeros for an absent
        one.
        """
        # Dropout is a function of (seed, step, rank, sub-batch), so that no ratio, resume or log
        # line shifts it.
        seed = partial(stream_seed, self.config.seed, DROPOUT, batch.step, self.global_rank)
        parts = [
            partial(self._part, *part, seed(number)) for number, part in enumerate(batch.parts)
        ]
        if not is_cached(self.config):
            embedded = self._embedded(batch.parts) if self.at_once else [None] * len(parts)
            vectors = torch.cat([part(rows) for part, rows in zip(parts, embedded, strict=True)])
        else:
            vectors = cached(parts, self.encoder, self.device.type)
        texts = len(batch.groups) + len(batch.answers) + len(batch.versions)
        return vectors.new_zeros(texts, vectors.shape[1]).index_copy(0, batch.places, vectors)

    def _embedded(self, parts: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
        """Return the embeddings of each part's tokens, (m, T, D), from one look-up: the gradient of
        the table is made once.
        """
        table = self.encoder.transformer.get_input_embeddings()
        rows = table(torch.cat([ids.flatten() for ids, _ in parts]))
        split = torch.split(rows, [ids.numel() for ids, _ in parts])
        return [part.view(*ids.shape, -1) for part, (ids, _) in zip(split, parts, strict=True)]

    def _part(self, ids: Tensor, mask: Tensor, seed: int, embedded: Tensor | None = None) -> Tensor:
        # Not torch.manual_seed, which notes where it was called from for GPUs that are not there: a
        # tenth of a small step.
        cpu = self.device.type == "cpu"
        (
            torch.default_generator
            if cpu
            else torch.cuda.default_generators[self.device.index or 0]
        ).manual_seed(seed)
        vectors: Tensor = self.encoder(ids, mask, embedded)
        return vectors

    def note(
        self, batch: TrainBatch, losses: Tensor, terms: Mapping[str, Tensor] | None = None
    ) -> None:
        """Record what entered the loss of a step in all processes, counted from its tensors.

        Args:
            batch: of this process.
            losses: (b,) of its queries, or (1,) their mean.
            terms: (b,) values of each term of a sum, by their names; recorded as loss_NAME.
        """
        groups = gather(batch.groups)
        query_language = gather(batch.query_language)
        passage_language = gather(batch.passage_language)
        loss = float(gather(losses.detach()).mean())
        if not math.isfinite(loss):
            raise RuntimeError(
                f"the loss is {loss} at step {batch.step} (groups {groups[:8].tolist()} ...); "
                "lower trainer.lr or raise model.temperature"
            )
        further: dict[str, Any] = {}
        if len(batch.negative_language):
            there = gather(batch.negative_language).cpu().numpy()
            further["negative_lang"] = names(self.languages, there[there >= 0])
        if len(batch.switched):
            counts = gather(batch.switched).reshape(-1, len(WORDS)).sum(dim=0).tolist()
            further |= dict(zip(WORDS, counts, strict=True))
        self.record.append(
            {
                "step": batch.step,
                "source": self.names[batch.source],
                "loss": loss,
                **_means(terms or {}),
                "lr": self.trainer.optimizers[0].param_groups[0]["lr"],
                "grad_norm": math.nan,
                "query_lang": names(self.languages, query_language.cpu().numpy()),
                "passage_lang": names(self.languages, passage_language.cpu().numpy()),
                **further,
                "n_examples": len(groups),
                "n_cross": int((query_language != passage_language).sum()),
                "groups": groups_digest(groups.cpu().numpy()),
                "world_size": self.trainer.world_size,
                "seconds": time.monotonic() - self.started,
            }
        )

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        self.record[-1]["grad_norm"] = clip(self.parameters(), self.config.trainer.clip)
        before = self.record[-2] if len(self.record) > 1 else None
        series = mirror.of_step(self.record[-1], before)
        lightning_logger.tell(self.trainer, series, len(self.record))

    def configure_optimizers(self) -> Any:
        trainer = self.config.trainer
        embeddings = {
            id(parameter)
            for module in self.modules()
            if isinstance(module, nn.Embedding)
            for parameter in module.parameters()
        }
        parameters = [parameter for parameter in self.parameters() if parameter.requires_grad]
        decayed = [
            parameter
            for parameter in parameters
            if parameter.ndim >= 2 and id(parameter) not in embeddings
        ]
        others = [
            parameter
            for parameter in parameters
            if parameter.ndim < 2 or id(parameter) in embeddings
        ]
        optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": trainer.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=trainer.lr,
            # a fused step unscales by itself, after the norm is taken
            fused=trainer.precision != "16-mixed",
        )
        steps = steps_of(self.config)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: rate(step, steps, trainer.warmup)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _means(terms: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the mean of each term over all processes, by the name of its column."""
    return {f"loss_{name}": float(gather(term.detach()).mean()) for name, term in terms.items()}


def clip(parameters: Iterable[nn.Parameter], largest: float) -> float:
    """Return the norm of all gradients, which are scaled down to `largest` where they exceed it (0:
    never).

    Rows are summed in their own precision, over each other in float64, and the norm is rounded to
    the gradients' own, so that embedding rows without a gradient, there or not, leave it as it is.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    squares = [
        torch.linalg.vector_norm(gradient, dim=-1).double().square().sum() for gradient in gradients
    ]
    norm = float(torch.stack(squares).sum().sqrt().to(gradients[0].dtype))
    if 0 < largest < norm:
        torch._foreach_mul_(gradients, largest / norm)
    return norm


def rate(step: int, steps: int, warmup: float) -> float:
    """Return the share of the peak learning rate at a step: a linear rise over the warm-up, then a
    linear fall towards 0.
    """
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    return (steps - step) / max(1, steps - rising)


def settle(trainer: TrainerConfig) -> None:
    """Make sums come out alike in every process of a run: one that trains, one that goes on, one
    that only evaluates.

    To be called before anything is computed. On a GPU attention is only deterministic, and cuBLAS
    only allowed, where torch's strict mode and this variable say so; and some containers switch
    TF32 on for all.
    """
    # Deterministic algorithms fill all new memory by default, a tenth of a step of a small model;
    # nothing here reads memory that was not written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if trainer.accelerator == "gpu":
        if not torch.cuda.is_available():
            raise UserError(
                "trainer.accelerator=gpu: torch sees no GPU here; take trainer=cpu",
                key="config.trainer.accelerator",
            )
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        torch.use_deterministic_algorithms(True)
        torch.set_float32_matmul_precision("highest")


def make_trainer(
    config: Config, callbacks: list[pl.Callback], loggers: Sequence[Logger] = (), start: int = 0
) -> pl.Trainer:
    """Return Lightning's trainer for a run: one pass over the plan from `start` on, nothing
    written but by the loggers, no shuffling of its own.
    """
    from pytorch_lightning.strategies import DDPStrategy

    trainer = config.trainer
    settle(trainer)
    if trainer.nodes > 1 and not {"RANK", "SLURM_PROCID"} & set(os.environ):
        raise UserError(
            f"trainer.nodes={trainer.nodes}: this process would wait for the other machines for"
            f" ever; start the worker on each: torchrun --nnodes={trainer.nodes}"
            f" --nproc-per-node={trainer.devices} --rdzv-backend=c10d --rdzv-endpoint=HOST:29500 -m"
            " hybrid_sweep.worker outputs/runs/RUN_ID (or by srun, see conf/trainer/ddp.yaml)",
            key="config.trainer.nodes",
        )
    ranks = trainer.devices * trainer.nodes
    backend = "gloo"
    if trainer.accelerator == "gpu":
        backend = "nccl"
    return pl.Trainer(
        max_steps=steps_of(config) - start,
        max_epochs=1,
        accelerator=trainer.accelerator,
        devices=trainer.devices,
        num_nodes=trainer.nodes,
        precision=trainer.precision,  # type: ignore[arg-type]
        strategy=(
            DDPStrategy(process_group_backend=backend, broadcast_buffers=False)
            if ranks > 1
            else "auto"
        ),
        use_distributed_sampler=False,
        callbacks=callbacks,
        logger=list(loggers) or False,
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        deterministic=True,
    )
