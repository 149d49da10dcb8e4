"""The terms of a loss beside InfoNCE, each a pure function, and their weighted sum.

What a weight means stands in conf/config.yaml; docs/objectives.md has the formulas.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hybrid_sweep.config.schema import AlignmentConfig, DistillationConfig, LossConfig
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

    @property
    def candidates(self) -> Tensor:
        """Return (b, 1 + k, D) the passage of each own pair, and its hard negatives; zeros for an
        absent one.
        """
        texts = self.vectors[self.size : self.size + len(self.batch.answers)]
        negatives = texts[self.size :].reshape(self.size, -1, texts.shape[1])
        return torch.cat([texts[: self.size, None], negatives], dim=1)


def terms_of(step: Step, loss: LossConfig) -> dict[str, Tensor]:
    """Return the (b,) values of the terms that have a weight, without InfoNCE, by their names."""
    terms = {}
    if loss.symmetric:
        terms["symmetric"] = symmetric(step)
    if loss.alignment.weight:
        terms["alignment"] = alignment(step, loss.alignment)
    if loss.distillation.weight:
        terms["distillation"] = distillation(step, loss.distillation)
    return terms


def weight_of(loss: LossConfig, name: str) -> float:
    """Return the weight of a term."""
    term = getattr(loss, name)
    if isinstance(term, AlignmentConfig | DistillationConfig):
        return term.weight
    return float(term)


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


def distillation(step: Step, settings: DistillationConfig) -> Tensor:
    """Return (b,) how far the scores of each query are from those of a teacher, which are divided
    by settings.temperature.
    """
    queries = step.given["queries"] / step.given["temperature"]
    if settings.over == "batch":
        scores = queries @ step.given["passages"].T
        own = step.given["positive"]
    else:
        scores = torch.einsum("bd,bcd->bc", queries, step.candidates)
        own = torch.zeros_like(step.batch.groups)
    teacher = step.batch.teacher.to(scores.dtype) / settings.temperature
    if settings.loss == "kl":
        return teacher_divergence(scores, teacher)
    return margin_mse(scores, teacher, own)


def margin_mse(student: Tensor, teacher: Tensor, own: Tensor) -> Tensor:
    """Return (b,) the mean over the candidates j of ((s_own - s_j) - (t_own - t_j))^2.

    Margin-MSE of Hofstätter et al. (2020, arXiv 2010.02666). A query that has no candidate with a
    score beside its own passage counts 0.

    Args:
        student: (b, C) scores s.
        teacher: (b, C) scores t; NaN: the candidate has none, and is left out.
        own: (b,) index of each query's own passage among the candidates.
    """
    own = own[:, None]
    counted = ~teacher.isnan()
    counted = counted.scatter(1, own, torch.zeros_like(own, dtype=torch.bool))
    wanted = teacher.gather(1, own) - teacher
    margins = student.gather(1, own) - student
    apart = (margins - wanted).masked_fill(~counted, 0).square()
    return apart.sum(dim=1) / counted.sum(dim=1).clamp(min=1)


def teacher_divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """Return (b,) the Kullback-Leibler divergence of the student's softmax from the teacher's, over
    the candidates that the teacher has scored.

    As Hinton et al. (2015, arXiv 1503.02531) learn a distribution; of a list of scores it is
    ListNet's loss (Cao et al., 2007) but for a constant.

    Args:
        student: (b, C) scores.
        teacher: (b, C) scores; NaN: the candidate has none.
    """
    absent = teacher.isnan()
    p = torch.log_softmax(teacher.masked_fill(absent, ABSENT), dim=-1)
    q = torch.log_softmax(student.masked_fill(absent, ABSENT), dim=-1)
    return _kl(p, q)


def _kl(p: Tensor, q: Tensor) -> Tensor:
    """Return (b,) the divergence of exp(p) from exp(q), both logarithms of shares."""
    return (p.exp() * (p - q)).sum(dim=-1)
