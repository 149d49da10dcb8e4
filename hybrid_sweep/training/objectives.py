"""The terms of a loss beside InfoNCE, each a pure function, and their weighted sum.

What a weight means stands in conf/config.yaml; docs/objectives.md has the formulas.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hybrid_sweep.config.schema import AlignmentConfig, LossConfig
from hybrid_sweep.training.batches import TrainBatch
from hybrid_sweep.training.loss import LossInput, gather, info_nce, is_relevant

ABSENT = -1e9  # the score of a candidate that is not there: its share is 0, and so is its gradient


@dataclass(frozen=True)
class Step:
    """What the terms of a step are computed from, in one of W processes with b of the B pairs.

    batch: of this process. vectors: (n, D) of all its texts, in their order. given: what InfoNCE
    takes. rank: number of the process. judged, width: as in `data.pairs.Pairs`.
    """

    batch: TrainBatch
    vectors: Tensor
    given: LossInput
    rank: int
    judged: Tensor
    width: int

    @property
    def size(self) -> int:
        """Return b, the pairs of this process."""
        return len(self.batch.groups)

    @property
    def own_passages(self) -> Tensor:
        """Return (b, D) the passages of its own pairs."""
        return self.vectors[self.size : 2 * self.size]

    @property
    def versions(self) -> Tensor:
        """Return (b, D) the texts in the other language of each pair; zeros for an absent one."""
        return self.vectors[self.size + len(self.batch.answers) :]


def terms_of(step: Step, loss: LossConfig) -> dict[str, Tensor]:
    """Return the (b,) values of the terms that have a weight, without InfoNCE, by their names."""
    terms = {}
    if loss.symmetric:
        terms["symmetric"] = symmetric(step)
    if loss.alignment.weight:
        terms["alignment"] = alignment(step, loss.alignment)
    return terms


def weight_of(loss: LossConfig, name: str) -> float:
    """Return the weight of a term."""
    if name == "alignment":
        return loss.alignment.weight
    weight: float = getattr(loss, name)
    return weight


def symmetric(step: Step) -> Tensor:
    """Return (b,) the InfoNCE of each own passage over the queries of all processes.

    Queries that a passage answers, other than its own, are no negatives.
    """
    queries = gather(step.given["queries"])
    questions = gather(step.batch.questions)
    places = torch.arange(step.size, device=queries.device)
    own = places + step.rank * step.size
    answers = step.batch.answers[: step.size]
    masked = is_relevant(questions, answers, step.judged, step.width).T.contiguous()
    masked[places, own] = False
    return info_nce(step.own_passages, queries, own, masked, step.given["temperature"])


def alignment(step: Step, settings: AlignmentConfig) -> Tensor:
    """Return (b,) the divergence between the scores of two language versions of a text.

    Of queries: a query and its other version, over all passages. Of passages: a query over the
    passages of all pairs, and over their other versions. A query without another version counts 0;
    a passage without one is no candidate.
    """
    queries = step.given["queries"] / step.given["temperature"]
    there = step.batch.versions
    if settings.of == "queries":
        others = step.versions / step.given["temperature"]
        absent = gather(step.batch.answers) < 0
        candidates = step.given["passages"]
        first, second = queries @ candidates.T, others @ candidates.T
    else:
        absent = gather(there.long()) == 0
        first = queries @ gather(step.own_passages).T
        second = queries @ gather(step.versions).T
        there = torch.ones_like(there)
    first, second = (scores.masked_fill(absent, ABSENT) for scores in (first, second))
    return divergence(first, second, settings.divergence) * there


def divergence(first: Tensor, second: Tensor, kind: str) -> Tensor:
    """Return (b,) the divergence of the softmax distributions of two (b, C) lists of scores.

    kl: sum p log(p / q), p of `first` and q of `second` (Kullback and Leibler, 1951).
    jensen_shannon: the mean of the two from their average (Lin, 1991), at most log 2.
    """
    p, q = (torch.log_softmax(scores, dim=-1) for scores in (first, second))
    if kind == "kl":
        return _kl(p, q)
    middle = torch.logaddexp(p, q) - math.log(2)
    return (_kl(p, middle) + _kl(q, middle)) / 2


def _kl(p: Tensor, q: Tensor) -> Tensor:
    """Return (b,) the divergence of exp(p) from exp(q), both logarithms of shares."""
    return (p.exp() * (p - q)).sum(dim=-1)
