"""Distillation from a teacher's scores against a float64 brute force: losses, gradients, texts."""

import math
import os

import numpy as np
import pytest
import torch

from hybrid_sweep.config import schema
from hybrid_sweep.config.schema import DistillationConfig, LossConfig
from hybrid_sweep.inputs.plan import plan_of
from hybrid_sweep.inputs.prepare import fingerprints, prepare
from hybrid_sweep.training.batches import HybridBatches, TrainBatch
from hybrid_sweep.training.loss import gather
from hybrid_sweep.training.objectives import Step, margin_mse, teacher_divergence, terms_of
from tests.refused import refused
from tests.training.test_lightning_module import fit, prepared_module
from tests.training.test_objectives import encoded, kl, softmax

SIZE, K = 4, 2  # pairs of a batch, hard negatives of each
TEMPERATURE, DIVISOR = 0.2, 3.0  # of the model, and of the teacher
KINDS = ["margin_mse", "kl"]
OVERS = ["hard_negatives", "batch"]


def unit(rows, seed):
    draw = np.random.default_rng(seed).normal(size=(rows, 5))
    return torch.tensor(draw / np.linalg.norm(draw, axis=1, keepdims=True))


def texts():
    """Queries (B, D), passages with their negatives (B, 1 + k, D), one of which is absent."""
    candidates = unit(SIZE * (1 + K), 1).reshape(SIZE, 1 + K, -1)
    candidates[1, 2] = 0
    return unit(SIZE, 0).requires_grad_(), candidates.requires_grad_()


def taught(over):
    """The scores of a teacher, some of which are missing, for candidates in the pairs' order."""
    scores = np.random.default_rng(5).normal(size=(SIZE, SIZE, 1 + K)) * 4
    scores[:, 1, 2] = np.nan
    if over == "batch":
        scores[np.random.default_rng(6).random(scores.shape) < 0.4] = np.nan
        scores[0] = np.nan  # a query with its own passage alone
        scores[range(SIZE), range(SIZE), 0] = [1.0, -2.0, 3.0, 0.5]
        return scores
    own = np.full_like(scores, np.nan)
    own[range(SIZE), range(SIZE)] = scores[range(SIZE), range(SIZE)]
    return own


def brute(queries, candidates, over, kind):
    """The term of each pair, with loops."""
    teacher, values = taught(over), []
    for i in range(SIZE):
        where = [j for j in np.ndindex(SIZE, 1 + K) if not math.isnan(teacher[i][j])]
        s = {j: float(queries[i] @ candidates[j]) / TEMPERATURE for j in where}
        t = {j: teacher[i][j] / DIVISOR for j in where}
        if kind == "kl":
            values.append(kl(softmax(list(t.values())), softmax(list(s.values()))))
            continue
        own = (i, 0)
        apart = [((s[own] - s[j]) - (t[own] - t[j])) ** 2 for j in where if j != own]
        values.append(sum(apart) / max(1, len(apart)))
    return values


def step_of(queries, candidates, over, rank=0, processes=1):
    """A step of one process, as the module makes it."""
    own = SIZE // processes
    part = slice(rank * own, (rank + 1) * own)
    mine = candidates[part]
    passages = torch.cat([mine[:, 0], mine[:, 1:].reshape(-1, mine.shape[2])])
    numbers = torch.arange(SIZE)[part]
    answers = torch.zeros(len(passages), dtype=torch.int64)
    batch = TrainBatch(0, 0, [], answers, numbers, numbers, answers, numbers, numbers)
    teacher = taught(over)[part]
    if over == "batch":
        parts = np.split(teacher, processes, axis=1)
        orders = [[one[:, :, 0], one[:, :, 1:].reshape(own, -1)] for one in parts]
        teacher = np.concatenate([values for pair in orders for values in pair], axis=1)
    else:
        teacher = teacher[range(own), numbers]
    batch.teacher = torch.from_numpy(teacher)
    given = {
        "queries": queries[part],
        "passages": gather(passages),
        "positive": torch.arange(own) + rank * len(passages),
        "masked": None,
        "temperature": TEMPERATURE,
    }
    return Step(batch, torch.cat([queries[part], passages]), given, rank, None, 0)


def settings(over, kind):
    return LossConfig(distillation=DistillationConfig(1.0, "scores", kind, over, DIVISOR))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("over", OVERS)
def test_the_term_equals_the_formula(over, kind):
    queries, candidates = texts()
    terms = terms_of(step_of(queries, candidates, over), settings(over, kind))
    assert list(terms) == ["distillation"]
    wanted = brute(queries.detach().numpy(), candidates.detach().numpy(), over, kind)
    assert np.allclose(terms["distillation"].detach(), wanted, rtol=0, atol=1e-12)
    assert max(wanted) > 0.1 and (over != "batch" or wanted[0] == 0)
    terms["distillation"].sum().backward()
    assert torch.isfinite(queries.grad).all() and (candidates.grad[1, 2] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("over", OVERS)
def test_its_gradient_equals_finite_differences_of_the_formula(over, kind):
    queries, candidates = texts()
    term = terms_of(step_of(queries, candidates, over), settings(over, kind))["distillation"]
    term.sum().backward()
    for number, part in enumerate((queries, candidates)):
        for place in np.ndindex(*part.shape):
            if number and place[:2] == (1, 2):
                continue
            ends = []
            for move in (1e-5, -1e-5):
                moved = [values.detach().numpy().copy() for values in (queries, candidates)]
                moved[number][place] += move
                ends.append(sum(brute(*moved, over, kind)))
            assert float(part.grad[place]) == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-6)


def test_the_scores_of_the_teacher_get_no_gradient_and_a_perfect_student_no_loss():
    teacher = torch.tensor([[2.0, -1.0, float("nan")]], dtype=torch.float64)
    student = torch.tensor([[7.0, 4.0, 100.0]], dtype=torch.float64, requires_grad=True)
    own = torch.tensor([0])
    assert float(margin_mse(student, teacher, own).detach()) == 0
    assert abs(float(teacher_divergence(student, teacher).detach())) < 1e-12
    turned = float(margin_mse(-student, teacher, own).detach())
    assert turned == 36  # the margin is -3 in place of 3


def _rank(rank, folder):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0")
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(f"{folder}/store", 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    made = {}
    for over in OVERS:
        for kind in KINDS:
            queries, candidates = texts()
            step = step_of(queries, candidates, over, rank, 2)
            term = terms_of(step, settings(over, kind))["distillation"]
            term.mean().backward()
            grads = queries.grad / 2, candidates.grad / 2  # data-parallel training takes the mean
            made[over, kind] = term.detach(), *grads
    torch.save(made, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_the_terms_and_gradients_of_one(tmp_path):
    torch.multiprocessing.spawn(_rank, (str(tmp_path),), nprocs=2)
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for name in parts[0]:
        queries, candidates = texts()
        term = terms_of(step_of(queries, candidates, name[0]), settings(*name))["distillation"]
        term.mean().backward()
        both = torch.cat([part[name][0] for part in parts])
        assert torch.allclose(both, term.detach(), rtol=0, atol=1e-12), name
        for place, values in enumerate((queries, candidates), 1):
            both = sum(part[name][place] for part in parts)
            assert torch.allclose(both, values.grad, rtol=0, atol=1e-12), name


def groups_of(prepared):
    """The groups of the training pairs of generated text: question and passage have one name."""
    return sorted(set(prepared.sources[0].pairs.ids.to_pylist()))


@pytest.fixture
def files(config, tmp_path):
    """Hard negatives, and the scores of a teacher of all pairs: the words of a run with both."""
    names = groups_of(prepare(config()))
    negatives, scores = [], []
    draw = np.random.default_rng(3)
    for place, name in enumerate(names):
        near = [names[(place + shift) % len(names)] for shift in (1, 2, 3)]
        negatives += [f"{name}\t{name}\t{other}\n" for other in near]
        scores += [f"{name}\t{other}\t{draw.normal():.6f}\n" for other in (name, *near)]
    (tmp_path / "negatives.tsv").write_text("".join(negatives))
    (tmp_path / "scores.tsv").write_text("".join(scores))
    return [
        f"data.negatives={tmp_path / 'negatives.tsv'}",
        "batch.hard_negatives=2",
        f"loss.distillation.path={tmp_path / 'scores.tsv'}",
        "loss.distillation.weight=0.3",
    ]


PLAIN = ("trainer.precision=64-true", "trainer.compact_vocabulary=false", "model.temperature=0.1")


@pytest.mark.parametrize("over", OVERS)
def test_a_step_equals_texts_encoded_one_by_one_and_the_file_read_line_by_line(
    config, files, tmp_path, over
):
    words = ("loss.distillation.temperature=2", f"loss.distillation.over={over}", "batch.size=6")
    made = config(*PLAIN, *files, *words, "loss.infonce=0", "batch.cross_lingual_ratio=1")
    module, plan, batches = prepared_module(made)
    module.double().eval()
    total = module.training_step(batches[5])
    names = groups_of(prepare(config()))
    lines = [line.split("\t") for line in (tmp_path / "scores.tsv").read_text().splitlines()]
    scores = {(query, passage): float(score) for query, passage, score in lines}
    batch, source = plan.batch(5), prepare(made).sources[0]
    passages = source.collection.passages
    name_of = {int(n): names[g] for g, n in enumerate(source.pairs.answer)}
    for place, number in enumerate(source.pairs.negatives.number):
        row = source.pairs.negatives.passage[:, place].max()
        name_of[int(number)] = passages["group"][int(row)].as_py()
    row_of = {}
    for row, text in enumerate(passages.select(["group", "lang"]).to_pylist()):
        row_of[text["group"], text["lang"]] = row
    language = plan.languages[int(batch.passage_language[0])]
    answers = batches[5].answers.tolist()
    hold = [[answers[i], *answers[6 + 2 * i : 8 + 2 * i]] for i in range(6)]
    assert any(-1 in own for own in hold)  # an absent negative
    queries = encoded(
        module, source.queries, source.pairs.query[batch.query_language, batch.groups]
    )
    values = []
    for i in range(6):
        seen = [(i, c) for c in range(3)]
        if over == "batch":
            seen = [(j, c) for j in range(6) for c in range(3)]
        seen = [(j, c) for j, c in seen if hold[j][c] >= 0]
        pairs = {(j, c): (names[batch.groups[i]], name_of[hold[j][c]]) for j, c in seen}
        seen = [place for place in seen if pairs[place] in scores]
        rows = [row_of[pairs[place][1], language] for place in seen]
        vectors = encoded(module, source.passages, rows)
        s = dict(zip(seen, vectors @ queries[i] / 0.1, strict=True))
        t = {place: scores[pairs[place]] / 2 for place in seen}
        apart = [(s[i, 0] - s[p] - t[i, 0] + t[p]) ** 2 for p in seen if p != (i, 0)]
        values.append(np.mean(apart))
    assert float(total.detach()) == pytest.approx(0.3 * np.mean(values), rel=1e-9)


def test_the_slices_of_two_processes_hold_the_scores_of_the_whole_batch(config, files):
    made = config(*files, "loss.distillation.over=batch")
    prepared = prepare(made)
    plan = plan_of(made, prepared.all_pairs)
    whole = HybridBatches(prepared, plan, made)[3]
    halves = [HybridBatches(prepared, plan, made, rank, 2)[3] for rank in range(2)]
    wanted = {}
    for i, question in enumerate(whole.questions.tolist()):
        for answer, score in zip(whole.answers.tolist(), whole.teacher[i].tolist(), strict=True):
            wanted[question, answer] = score
    answers = torch.cat([half.answers for half in halves]).tolist()
    assert sorted(answers) == sorted(whole.answers.tolist())
    for half in halves:
        for i, question in enumerate(half.questions.tolist()):
            expected = [wanted[question, answer] for answer in answers]
            assert np.array_equal(half.teacher[i], expected, equal_nan=True)
    assert sum(not math.isnan(score) for score in wanted.values()) >= 16 * 3


def test_cached_gradients_equal_the_plain_ones(config, files):
    made = []
    for more in ((), ("batch.micro_batch=5",)):
        module, _, batches = prepared_module(config(*PLAIN, *files, *more))
        loss = module.double().training_step(batches[5])
        loss.backward()
        made.append((float(loss.detach()), [p.grad for p in module.encoder.parameters()]))
    (plain, wanted), (cached, gradients) = made
    assert abs(plain - cached) < 1e-12
    for one, other in zip(gradients, wanted, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)


def test_the_term_is_recorded_beside_the_sum(config, files):
    module, _ = fit(config(*files, "loss.distillation.loss=kl", "trainer.max_steps=3"))
    for row in module.record:
        assert row["loss"] == pytest.approx(
            row["loss_infonce"] + 0.3 * row["loss_distillation"], abs=1e-6
        )
        assert row["loss_distillation"] > 0


def test_the_content_of_the_file_is_identity_and_its_path_is_not(config, files, tmp_path):
    plain = config(*files[:3])
    marks = fingerprints(plain)
    assert "teacher" not in marks
    assert marks == fingerprints(config(*files[:2])) and schema.run_id(plain, {}) == schema.run_id(
        config(*files[:2], "loss.distillation.loss=kl", "loss.distillation.temperature=3"), {}
    )
    first = fingerprints(config(*files))
    copy = tmp_path / "copy.tsv"
    text = (tmp_path / "scores.tsv").read_text()
    copy.write_text(text)
    moved = config(*files, f"loss.distillation.path={copy}")
    assert fingerprints(moved) == first and schema.run_id(moved, {}) == schema.run_id(
        config(*files), {}
    )
    copy.write_text("".join(reversed(text.splitlines(keepends=True))))
    assert fingerprints(moved)["teacher"] != first["teacher"]
    for baseline in (schema.untrained, schema.bm25):
        assert "teacher" not in fingerprints(baseline(config(*files)))


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("config.loss.distillation.weight", ["loss.distillation.weight=1"]),
        ("config.loss.distillation.weight", ["loss.distillation.weight=-1"]),
        ("config.loss.distillation.over", ["loss.distillation.weight=1", "loss.distillation.path=a"]),
        ("config.loss.distillation.loss", ["loss.distillation.weight=1", "loss.distillation.loss=mse"]),
        ("config.loss.distillation.temperature", ["loss.distillation.weight=1", "loss.distillation.temperature=0"]),
        ("config.loss.distillation.temperature", ["loss.distillation.weight=1", "loss.distillation.temperature=nan"]),
        (
            "config.loss.distillation.weight",
            ["loss.distillation.weight=1", "loss.distillation.path=a", "loss.distillation.over=batch", "+data@more.b=synthetic"],
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_distilled_is_refused(config, key, words):
    with refused(key):
        config(*words)
