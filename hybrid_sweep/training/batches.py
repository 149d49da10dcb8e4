"""The plan's batches as tensors: each process reads its own part of the global batch of a step."""

import functools
import itertools
import signal
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytorch_lightning as pl
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from hybrid_sweep.batching.schedule import Batch, Plan
from hybrid_sweep.config.schema import Config
from hybrid_sweep.data.code_switching import Counts, code_switch_of
from hybrid_sweep.data.negative_draws import NegativeDraw, drawn_negatives
from hybrid_sweep.data.teacher import ScoredPairs, TeacherScores
from hybrid_sweep.inputs.prepare import Prepared, TrainingSource
from hybrid_sweep.models.bucketing import cuts, joined
from hybrid_sweep.models.tokens import Tokens, load_tokenizer, pad_id, tokenized
from hybrid_sweep.utils.slurm_job import WARNINGS


@dataclass
class TrainBatch:
    """One process's part of a global batch of B pairs: b of them, with k hard negatives each.

    The texts are b queries, their b passages and b k negatives, pair by pair; behind them, where
    the loss aligns languages, b texts in the other language of each pair. parts: input_ids and
    attention_mask of each sub-batch, (m, T) int64. places: (n,) where the texts of the parts, one
    after the other, stand among all texts; an absent negative is in no part. source: which training
    collection. groups, questions: (b,) index of the group of each pair, and number of its question.
    answers: (b (1 + k),) number of each passage, the same in all languages; -1: absent.
    query_language, passage_language: (b,) index of the language of each text, read from the
    collection. versions: bool, which texts in the other language there are, (b,); (0,) where none
    is asked for. teacher: float64, the teacher's score of each candidate of each query, NaN where
    it has none: (b, 1 + k) of its own passage and hard negatives, or (b, B (1 + k)) of all passages
    of the global batch; (b, 0) without a teacher. negative_language: (b k,) of each hard negative,
    -1 = absent; (0,) where all are in that of the passage. switched: (3,) words of the queries,
    those that were replaced, and those that no lexicon has; (0,) where none are replaced.
    """

    step: int
    source: int
    parts: list[tuple[Tensor, Tensor]]
    places: Tensor
    groups: Tensor
    questions: Tensor
    answers: Tensor
    query_language: Tensor
    passage_language: Tensor
    versions: Tensor = field(default_factory=partial(torch.zeros, 0, dtype=torch.bool))
    teacher: Tensor = field(default_factory=partial(torch.zeros, 0, 0, dtype=torch.float64))
    negative_language: Tensor = field(default_factory=partial(torch.zeros, 0, dtype=torch.int64))
    switched: Tensor = field(default_factory=partial(torch.zeros, 0, dtype=torch.int64))


class HybridBatches(Dataset[TrainBatch]):
    """Item i is this process's slice of the global batch of step i; any order, any process, the
    same answer.

    code: (V,) the token ids of a compacted vocabulary (vocabulary.Compact), or None.
    """

    def __init__(
        self,
        prepared: Prepared,
        plan: Plan,
        config: Config,
        rank: int = 0,
        world_size: int = 1,
        code: np.ndarray | None = None,
    ) -> None:
        self.plan, self.config, self.code = plan, config, code
        settings = config.batch
        self.draw = NegativeDraw(
            settings.hard_negatives, settings.negatives_language, plan.answering
        )
        self.sources = [_Source(source, prepared.languages) for source in prepared.sources]
        self.code_switch = code_switch_of(config)
        self.folder = prepared.model
        size = config.batch.size // world_size
        self.mine = slice(rank * size, (rank + 1) * size)
        self.pad = pad_id(prepared.model)

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, step: int) -> TrainBatch:
        whole = self.plan.batch(step)
        batch = whole.part(self.mine)
        source = self.sources[batch.source]
        groups = batch.groups
        pairs = source.pairs
        asked, answered, partner = (
            source.own[languages]
            for languages in (batch.query_language, batch.passage_language, batch.partner)
        )
        queries = pairs.query[asked, groups]
        # A teacher of the whole batch scores the passages of the other processes too.
        if self.config.loss.distillation.over == "batch" and source.teacher is not None:
            candidates = self._candidates(whole, step)
            own = candidates.part(self.mine)
        else:
            own = candidates = self._candidates(batch, step)
        passages = own.passages[:, 0]
        negatives = own.passages[:, 1:].ravel()
        sides = [(source.queries, queries), (source.passages, passages)]
        counts = None
        if self.code_switch:
            sides[0], counts = self._switched(step, batch, queries)
        if self.draw.count:
            sides.append((source.passages, negatives))
        versions = np.zeros(0, np.int64)
        if self.config.loss.alignment.weight:
            other = np.where(answered == asked, partner, asked)
            if self.config.loss.alignment.of == "queries":
                versions = pairs.query[partner, groups]
                sides.append((source.queries, versions))
            else:
                versions = pairs.passage[other, groups]
                sides.append((source.passages, versions))
        parts, places = self._parts(sides)
        made = TrainBatch(
            step,
            batch.source,
            parts,
            *(
                torch.from_numpy(np.array(values, np.int64))
                for values in (
                    places,
                    groups,
                    pairs.question[groups],
                    own.in_order(own.answers, len(groups)),
                    source.query_language[queries],
                    source.passage_language[passages],
                )
            ),
        )
        if counts:
            made.switched = torch.tensor(counts.row)
        made.versions = torch.from_numpy(versions >= 0)
        if source.teacher is not None:
            made.teacher = self._taught(source.teacher, pairs.question[groups], queries, candidates)
        if self.draw.language != "passage":
            languages = np.where(negatives < 0, -1, source.passage_language[negatives])
            made.negative_language = torch.from_numpy(languages.astype(np.int64))
        return made

    def _candidates(self, batch: Batch, step: int) -> "_Candidates":
        """Return the passages of a global batch, or of a part of it, with their hard negatives."""
        source = self.sources[batch.source]
        pairs = source.pairs
        answered = source.own[batch.passage_language]
        passages = pairs.passage[answered, batch.groups][:, None]
        answers = pairs.answer[batch.groups][:, None]
        if self.draw.count:
            key = self.plan.negatives_key(step)
            rows, numbers = drawn_negatives(pairs, batch, source.own, self.draw, key)
            passages = np.concatenate([passages, rows], axis=1)
            answers = np.concatenate([answers, numbers], axis=1)
        return _Candidates(passages, answers)

    def _taught(
        self,
        teacher: TeacherScores,
        questions: np.ndarray,
        queries: np.ndarray,
        candidates: "_Candidates",
    ) -> Tensor:
        """Return the teacher's scores of b queries, as in `TrainBatch`.

        Args:
            teacher: its scores.
            questions: (b,) numbers of the questions.
            queries: (b,) rows of the queries.
            candidates: of the b queries, or of all B of the global batch.
        """
        passages, answers = candidates.passages, candidates.answers
        if self.config.loss.distillation.over == "batch":
            passages, answers = (
                candidates.in_order(values, len(queries))[None] for values in (passages, answers)
            )
        pairs = ScoredPairs(questions[:, None], queries[:, None], answers, passages)
        return torch.from_numpy(teacher.of(pairs))

    @functools.cached_property
    def _tokenizer(self) -> Tokenizer:
        """Return the tokenizer of the model, read once in each process."""
        return load_tokenizer(self.folder)

    def _switched(
        self, step: int, batch: Batch, rows: np.ndarray
    ) -> tuple[tuple[Tokens, np.ndarray], Counts]:
        """Return the tokens of the queries of a step with words of other languages, and what became
        of the words.
        """
        assert self.code_switch is not None
        source = self.sources[batch.source]
        texts = source.query_texts.take(pa.array(rows)).to_pylist()
        languages = [self.plan.languages[code] for code in source.query_language[rows]]
        key = self.plan.negatives_key(step)
        made, counts = self.code_switch.switched(texts, languages, batch.groups, key)
        model = self.config.model
        tokens = tokenized(self._tokenizer, made, model.query_prompt, model.query_length)
        return (tokens, np.arange(len(rows))), counts

    def _parts(
        self, sides: list[tuple[Tokens, np.ndarray]]
    ) -> tuple[list[tuple[Tensor, Tensor]], np.ndarray]:
        """Return the sub-batches of texts of several stores, and where their texts stand
        among all.
        """
        largest, tokens = self.config.batch.micro_batch, self.config.batch.micro_tokens
        texts = joined(sides)
        lengths = texts.lengths
        there = np.flatnonzero(lengths)
        if self.config.trainer.length_buckets:
            chosen = [there[part] for part in cuts(lengths[there], largest, tokens=tokens)]
        else:
            edges = np.cumsum([len(rows) for _, rows in sides])
            whole = [side[lengths[side] > 0] for side in np.split(np.arange(edges[-1]), edges[:-1])]
            step = largest or max(map(len, whole))
            chosen = [side[i : i + step] for side in whole for i in range(0, len(side), step)]
        parts = []
        for rows in chosen:
            ids, mask = texts.padded(rows, self.pad)
            parts.append(
                (
                    torch.from_numpy(ids if self.code is None else self.code[ids]),
                    torch.from_numpy(mask),
                )
            )
        return parts, np.concatenate(chosen)


@dataclass(frozen=True)
class _Candidates:
    """The passages of n pairs, each pair's own and its k hard negatives behind it.

    passages, answers: (n, 1 + k) rows in the passage table, and numbers; -1: absent.
    """

    passages: np.ndarray
    answers: np.ndarray

    def part(self, part: slice) -> "_Candidates":
        """Return those of some of the pairs."""
        return _Candidates(self.passages[part], self.answers[part])

    @staticmethod
    def in_order(values: np.ndarray, size: int) -> np.ndarray:
        """Return (n (1 + k),) values of (n, 1 + k) in the order of the gathered passages: of each
        process, with `size` pairs, its own passages first and their hard negatives behind them.
        """
        of_processes = np.split(values, len(values) // size)
        parts = [[of_one[:, 0], of_one[:, 1:].ravel()] for of_one in of_processes]
        return np.concatenate(list(itertools.chain.from_iterable(parts)))


class _Source:
    """What is read of a training collection, small enough to hold, or mapped from disk."""

    def __init__(self, source: TrainingSource, languages: list[str]) -> None:
        self.pairs, self.queries, self.passages = source.pairs, source.queries, source.passages
        self.teacher = source.teacher
        self.query_texts = source.collection.queries["text"]
        # The plan counts the languages of all sources, the pairs of a source its own.
        self.own = np.full(len(languages), -1, np.int64)
        self.own[source.code] = np.arange(len(source.code))
        # The language of each text itself, not the plan's word for it: the record shows what was
        # really trained on.
        self.query_language, self.passage_language = (
            language_numbers(table["lang"], languages)
            for table in (source.collection.queries, source.collection.passages)
        )


def language_numbers(column: pa.ChunkedArray, languages: list[str]) -> np.ndarray:
    """Return the index of each text's language, (N,), -1 for other languages.

    All texts of a collection have one in memory, so that the type is the smallest signed one with
    room for all languages.
    """
    smallest = np.min_scalar_type(-max(1, len(languages)))
    places = pc.fill_null(pc.index_in(column, value_set=pa.array(languages, pa.string())), -1)
    numbers: np.ndarray = places.to_numpy().astype(smallest)
    return numbers


class HybridData(pl.LightningDataModule):
    """Feeds each process its slices from step `start` on; made when the process knows its rank."""

    def __init__(
        self,
        prepared: Prepared,
        plan: Plan,
        config: Config,
        start: int = 0,
        code: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.prepared, self.plan, self.config, self.start, self.code = (
            prepared,
            plan,
            config,
            start,
            code,
        )

    def train_dataloader(self) -> DataLoader[TrainBatch]:
        assert self.trainer is not None
        rank = self.trainer.global_rank
        size = self.trainer.world_size
        batches = HybridBatches(self.prepared, self.plan, self.config, rank, size, self.code)
        workers = self.config.trainer.workers
        steps = range(self.start, len(self.plan))
        return DataLoader(
            batches, batch_size=None, sampler=steps, num_workers=workers, worker_init_fn=_stay
        )


def _stay(worker: int) -> None:
    """Ignore stop signals in a reader: its run, which gets them too, needs it until the last
    checkpoint.
    """
    for number in (signal.SIGTERM, *WARNINGS):
        signal.signal(number, signal.SIG_IGN)
