"""What enters the loss is what the plan says; a step depends on nothing but (seed, step, rank)."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from hybrid_sweep.batching.audit import check_realised, planned
from hybrid_sweep.inputs.plan import plan_of
from hybrid_sweep.inputs.prepare import prepare
from hybrid_sweep.models.loading import build_encoder, prepare_for_training
from hybrid_sweep.training.batches import HybridBatches, HybridData
from hybrid_sweep.training.lightning_module import Retriever, clip, make_trainer, rate
from hybrid_sweep.training.loss import info_nce
from tests.refused import refused


def fit(config, plan=None, loss=info_nce):
    torch.set_num_threads(1)
    prepared = prepare(config)
    plan = plan or plan_of(config, prepared.all_pairs)
    encoder = build_encoder(config.model, prepared.model, config.seed)
    module = Retriever(encoder, config, prepared, loss)
    prepare_for_training(module.encoder, config.trainer)
    make_trainer(config, []).fit(
        module, datamodule=HybridData(prepared, plan, config, 0, code_of(module))
    )
    return module, plan


def code_of(module):
    return module.vocabulary.code if module.vocabulary else None


@pytest.mark.parametrize("ratio", [0, 0.3, 1])
def test_the_record_of_the_loss_equals_the_plan(config, ratio):
    module, plan = fit(config(f"batch.cross_lingual_ratio={ratio}"))
    record = pd.DataFrame(module.record)
    check_realised(record, plan)
    assert (
        record["n_cross"].sum() == round(ratio * 12) * 16 and record["n_examples"].sum() == 12 * 16
    )


def test_the_record_names_the_collection_of_each_step(config):
    module, plan = fit(
        config("+data@more.other=synthetic", "more.other.seed=7", "trainer.max_steps=6")
    )
    record = pd.DataFrame(module.record)
    check_realised(record, plan)
    assert set(record["source"]) == {"synthetic", "other"}
    with pytest.raises(RuntimeError, match="step 0"):
        check_realised(
            record.assign(source="other" if record["source"][0] == "synthetic" else "synthetic"),
            plan,
        )


def test_a_step_that_trained_on_something_else_is_found(config):
    module, plan = fit(config("batch.cross_lingual_ratio=0.5"))
    record = pd.DataFrame(module.record)
    for change in ({"groups": "00000000"}, {"n_cross": 1}, {"passage_lang": "xa+xb"}):
        wrong = record.copy()
        for name, value in change.items():
            wrong.loc[5, name] = value
        with pytest.raises(RuntimeError, match="step 5"):
            check_realised(wrong, plan)
    with pytest.raises(RuntimeError, match="step 11"):
        check_realised(record[:11], plan)


def prepared_module(made):
    """A module, its plan and the batches it is fed, outside a trainer."""
    prepared = prepare(made)
    plan = plan_of(made, prepared.all_pairs)
    module = Retriever(build_encoder(made.model, prepared.model, made.seed), made, prepared)
    module.note = lambda *_: None
    return module, plan, HybridBatches(prepared, plan, made, code=code_of(module))


def test_every_known_answer_of_a_question_is_masked(config):
    """Two pairs of one question lie in one batch: neither passage is a negative of the other's
    query.
    """
    module, _, batches = prepared_module(config())
    batch = batches[3]
    questions = batch.questions.clone()
    questions[1] = questions[0]  # the second pair's question becomes the first's
    module.judged_0 = torch.sort(questions * module.widths[0] + batch.answers).values
    masked = module.loss_input(replace(batch, questions=questions))["masked"]
    wanted = np.zeros((16, 16), dtype=bool)
    wanted[0, 1] = wanted[1, 0] = True
    assert (masked.numpy() == wanted).all()


def test_passages_of_a_question_in_other_languages_are_no_negatives_of_it(config):
    words = ["batch.composition=per_language", "batch.size=15", "batch.cross_lingual_ratio=0.5"]
    module, _, batches = prepared_module(config(*words))
    for step in range(3):
        batch = batches[step]
        assert len(set(batch.groups.tolist())) == 5
        assert len(set(batch.passage_language.tolist())) == 4
        same = batch.groups[:, None] == batch.groups[None, :]
        wanted = same & ~torch.eye(15, dtype=torch.bool)
        assert wanted.any() and (module.loss_input(batch)["masked"] == wanted).all()


def test_dropout_is_a_function_of_seed_and_step_alone(config):
    """A step must not feel what random numbers were drawn before it: a log line, a resume, another
    ratio.
    """
    module, _, batches = prepared_module(config("model.dropout=0.3"))
    module.train()
    losses = []
    for disturbance in (1, 2):
        torch.manual_seed(disturbance)
        losses.append([module.training_step(batches[step]).item() for step in (3, 4)])
    assert losses[0] == losses[1]
    same_batch = [module.training_step(replace(batches[3], step=step)).item() for step in (3, 4)]
    assert same_batch[0] != same_batch[1]


def test_the_sub_batches_of_a_step_have_dropout_of_their_own(config):
    module, _, batches = prepared_module(config("model.dropout=0.3"))
    batch = batches[0]
    ids, mask = batch.parts[0]
    module.train()
    first, again = (
        module.vectors(replace(batch, parts=[(ids, mask)] * 2))[batch.places[: len(ids)]]
        for _ in range(2)
    )
    assert torch.equal(first, again)
    one, other = (module._part(ids, mask, seed) for seed in (1, 2))
    assert not torch.equal(one, other)
    seeds, inner = [], module._part
    module._part = lambda ids, mask, seed, *more: (
        seeds.append(seed) or inner(ids, mask, seed, *more)
    )
    for step in (0, 1):
        module.vectors(batches[step])
    assert len(set(seeds)) == len(seeds) > 2


def test_a_step_equals_a_brute_force_in_float64(config):
    """Texts one by one without padding, pooling, cosine, mask and loss written out: the loss and
    every gradient.
    """
    made = config(
        "trainer.precision=64-true",
        "batch.cross_lingual_ratio=0.5",
        "trainer.compact_vocabulary=false",
    )
    module, plan, batches = prepared_module(made)
    module.double().eval()
    step = 5
    loss = module.training_step(batches[step])
    loss.backward()
    found = {name: parameter.grad.clone() for name, parameter in module.encoder.named_parameters()}
    prepared = prepare(made)
    source, batch = prepared.sources[0], plan.batch(step)

    def vector(tokens, row):
        ids = torch.tensor(
            np.array(tokens.ids[tokens.starts[row] : tokens.starts[row + 1]], np.int64)
        )[None]
        hidden = module.encoder.transformer(
            input_ids=ids, attention_mask=torch.ones_like(ids)
        ).last_hidden_state[0]
        return hidden.mean(0) / hidden.mean(0).norm()

    module.zero_grad()
    pairs = zip(batch.groups, batch.query_language, batch.passage_language, strict=True)
    rows = [(source.pairs.query[a, g], source.pairs.passage[b, g]) for g, a, b in pairs]
    queries = [vector(source.queries, row) for row, _ in rows]
    passages = [vector(source.passages, row) for _, row in rows]
    losses = []
    for i, query in enumerate(queries):
        scores = torch.stack([query @ passage for passage in passages]) / made.model.temperature
        # distinct questions with one answer each: nothing is masked
        losses.append(scores.logsumexp(0) - scores[i])
    wanted = torch.stack(losses).mean()
    wanted.backward()
    assert abs(float(loss) - float(wanted)) < 1e-12
    for name, parameter in module.encoder.named_parameters():
        assert torch.allclose(found[name], parameter.grad, rtol=0, atol=1e-12), name


def gradients(made, step=5):
    module, _, batches = prepared_module(made)
    if made.trainer.precision == "64-true":
        module.double()
    module.train()
    loss = module.training_step(batches[step])
    loss.backward()
    return float(loss), {name: parameter.grad for name, parameter in module.named_parameters()}


def test_length_buckets_equal_one_padded_batch(config):
    """Vectors and loss to 1e-6 as trained, loss and gradients to 1e-12 where rounding plays no
    part.
    """
    words = ("batch.cross_lingual_ratio=0.5", "batch.size=32")
    found, wanted = (
        prepared_module(config(*words, f"trainer.length_buckets={way}"))
        for way in ("true", "false")
    )
    assert len(found[2][5].parts) > 2 == len(wanted[2][5].parts)
    vectors = [module.vectors(batches[5]) for module, _, batches in (found, wanted)]
    assert torch.allclose(*vectors, rtol=0, atol=1e-6)
    losses = [
        float(module.training_step(batches[5]).detach()) for module, _, batches in (found, wanted)
    ]
    assert abs(losses[0] - losses[1]) < 1e-6
    loss, found = gradients(config(*words, "trainer.precision=64-true"))
    plain, wanted = gradients(
        config(*words, "trainer.precision=64-true", "trainer.length_buckets=false")
    )
    assert abs(loss - plain) < 1e-12
    assert all(torch.allclose(found[name], wanted[name], rtol=0, atol=1e-12) for name in wanted)


@pytest.mark.parametrize("architecture", ["bert", "xlm-roberta"])
def test_one_look_up_of_the_embeddings_equals_one_for_each_sub_batch(
    config, monkeypatch, architecture
):
    """XLM-R counts positions by the ids where it has them: with padding on the right both ways
    count the same.
    """
    from transformers import XLMRobertaConfig, XLMRobertaModel

    from hybrid_sweep.training import lightning_module

    made = config("trainer.precision=64-true", "batch.cross_lingual_ratio=0.5")
    found = []
    for large in (0, 2**40):
        monkeypatch.setattr(lightning_module, "LARGE", large)
        module, _, batches = prepared_module(made)
        if architecture == "xlm-roberta":
            torch.manual_seed(0)
            shape = dict(
                hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
            )
            rows = len(module.encoder.transformer.get_input_embeddings().weight)
            settings = XLMRobertaConfig(vocab_size=rows, pad_token_id=0, **shape)
            module.encoder.transformer = XLMRobertaModel(settings, add_pooling_layer=False)
        assert module.at_once == (large == 0)
        module.double().eval()
        loss = module.training_step(batches[5])
        loss.backward()
        assert len(batches[5].parts) > 1
        found.append(
            (
                float(loss),
                {name: p.grad for name, p in module.named_parameters() if p.grad is not None},
            )
        )
    (loss, one), (other, many) = found
    assert abs(loss - other) < 1e-12 and one.keys() == many.keys()
    assert all(torch.allclose(one[name], many[name], rtol=0, atol=1e-12) for name in many)


@pytest.mark.parametrize("buckets", ["true", "false"])
def test_cached_gradients_equal_the_plain_ones(config, buckets):
    words = ("trainer.precision=64-true", f"trainer.length_buckets={buckets}")
    loss, wanted = gradients(config(*words))
    for size in (1, 5, 1000):
        cached, found = gradients(config(*words, f"batch.micro_batch={size}"))
        assert abs(cached - loss) < 1e-13
        assert all(torch.allclose(found[name], wanted[name], rtol=0, atol=1e-13) for name in wanted)


def test_sub_batches_by_tokens_give_the_loss_and_the_gradients_of_the_whole_batch(config):
    words = ("trainer.precision=64-true",)
    loss, wanted = gradients(config(*words))
    for tokens in (128, 200, 100_000):
        made = config(*words, f"batch.micro_tokens={tokens}")
        cached, found = gradients(made)
        assert abs(cached - loss) < 1e-13
        assert all(torch.allclose(found[name], wanted[name], rtol=0, atol=1e-13) for name in wanted)
        _, _, batches = prepared_module(made)
        assert max(ids.numel() for ids, _ in batches[5].parts) <= tokens
    assert len(batches[5].parts) < len(
        prepared_module(config(*words, "batch.micro_tokens=128"))[2][5].parts
    )


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("config.batch.micro_tokens", ["batch.micro_tokens=20"]),
        ("config.batch.micro_tokens", ["batch.micro_tokens=128", "batch.micro_batch=4"]),
        (
            "config.batch.micro_tokens",
            ["batch.micro_tokens=128", "trainer.length_buckets=false"],
        ),
    ],
)
def test_tokens_that_cannot_be_are_refused(config, key, words):
    with refused(key):
        config(*words)


def test_cached_gradients_are_those_of_the_dropout_that_made_the_loss(config):
    """The second forward pass must draw what the first drew: then a cached step is a plain one of
    the same sub-batches.
    """
    words = ("trainer.precision=64-true", "model.dropout=0.3", "batch.micro_batch=4")
    made = config(*words)
    module, _, batches = prepared_module(made)
    module.double().train()
    cached = module.training_step(batches[5])
    cached.backward()
    found = {name: parameter.grad.clone() for name, parameter in module.named_parameters()}
    module.zero_grad()
    module.config = replace(made, batch=replace(made.batch, micro_batch=None))
    plain = module.training_step(batches[5])  # the same parts, without the cache
    plain.backward()
    assert float(plain) == float(cached)
    assert all(
        torch.allclose(found[name], p.grad, rtol=0, atol=1e-13)
        for name, p in module.named_parameters()
    )


def test_the_norm_of_the_gradients_is_clipped():
    parameters = [torch.nn.Parameter(torch.zeros(3, 4)), torch.nn.Parameter(torch.zeros(5))]
    draw = torch.Generator().manual_seed(0)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=draw)
    before = [parameter.grad.clone() for parameter in parameters]
    whole = float(torch.cat([gradient.flatten() for gradient in before]).double().norm())
    assert abs(clip(parameters, 0) - whole) < 1e-6 and abs(clip(parameters, 100.0) - whole) < 1e-6
    assert all(
        torch.equal(parameter.grad, gradient)
        for parameter, gradient in zip(parameters, before, strict=True)
    )
    assert abs(clip(parameters, 0.5) - whole) < 1e-6
    assert abs(float(torch.cat([p.grad.flatten() for p in parameters]).norm()) - 0.5) < 1e-6


def test_rows_without_a_gradient_leave_the_norm_as_it_is():
    """A compacted table and a full one must be scaled by the same number, or their weights part in
    the last digit.
    """
    draw = np.random.default_rng(0)
    for _ in range(300):
        rows, all_rows = (
            draw.normal(size=(40, 24)).astype(np.float32),
            np.zeros((100, 24), np.float32),
        )
        all_rows[np.sort(draw.choice(100, 40, replace=False))] = rows
        norms = []
        for gradient in (rows, all_rows):
            parameter = torch.nn.Parameter(torch.zeros(gradient.shape))
            parameter.grad = torch.from_numpy(gradient.copy())
            norms.append(clip([parameter], 1.0))
        assert norms[0] == norms[1]


def test_half_precision_keeps_the_scores_whole(config):
    """Finite losses, and scores not rounded to 8 bits."""
    seen = []

    def watched(**given):
        seen.append((given["queries"].dtype, torch.is_autocast_enabled("cpu")))
        return info_nce(**given)

    words = ["trainer.max_steps=4"]
    module, _ = fit(config("trainer.precision=bf16-mixed", *words), loss=watched)
    full, _ = fit(config(*words), loss=watched)
    losses = [np.array([row["loss"] for row in each.record]) for each in (module, full)]
    assert seen == [(torch.float32, False)] * 8
    assert np.isfinite(losses[0]).all() and np.abs(losses[0] - losses[1]).max() < 0.05
    assert all(parameter.dtype == torch.float32 for parameter in module.parameters())


def test_two_fits_are_bit_equal_and_another_seed_is_not(config):
    first, second, other = (
        fit(config("model.dropout=0.2", f"seed={seed}"))[0] for seed in (0, 0, 1)
    )
    assert [r["loss"] for r in first.record] == [r["loss"] for r in second.record]
    assert [r["loss"] for r in first.record] != [r["loss"] for r in other.record]
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_only_the_converted_steps_differ_between_ratios(config):
    """Until the first converted step two ratios are one training: same weights, same losses."""
    low, plan = fit(config("batch.cross_lingual_ratio=0", "trainer.max_steps=20"))
    high, other = fit(config("batch.cross_lingual_ratio=0.1", "trainer.max_steps=20"))
    first = int((other.n_cross > 0).argmax())
    losses = [np.array([r["loss"] for r in module.record]) for module in (low, high)]
    assert (
        (other.n_cross > 0).sum() == 2
        and (losses[0][:first] == losses[1][:first]).all()
        and losses[0][first] != losses[1][first]
    )
    assert [r["lr"] for r in low.record] == [r["lr"] for r in high.record]
    assert [p["groups"] for p in planned(plan)] == [p["groups"] for p in planned(other)]


def test_embeddings_biases_and_norms_are_not_decayed(config):
    made = config()
    prepared = prepare(made)
    module = Retriever(build_encoder(made.model, prepared.model, 0), made, prepared)
    decayed, others = module.configure_optimizers()["optimizer"].param_groups
    assert decayed["weight_decay"] == 0.01 and others["weight_decay"] == 0.0
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    assert all("embeddings" not in names[id(p)] and p.ndim == 2 for p in decayed["params"])
    assert len(decayed["params"]) + len(others["params"]) == len(names)


def test_the_learning_rate_rises_and_falls():
    rates = [rate(step, 100, 0.1) for step in range(100)]
    assert (
        np.isclose(rates[0], 0.1) and rates[9] == rates[10] == 1.0 and np.isclose(rates[-1], 1 / 90)
    )
    assert rate(0, 10, 0.0) == 1.0 and rate(9, 10, 1.0) == 1.0


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_step(config):
    made = config()
    prepared = prepare(made)
    module = Retriever(build_encoder(made.model, prepared.model, 0), made, prepared)
    step = module.training_step
    module.training_step = lambda batch: step(batch) * (float("nan") if batch.step == 1 else 1.0)
    data = HybridData(prepared, plan_of(made, prepared.all_pairs), made, 0, code_of(module))
    with pytest.raises(RuntimeError, match=r"the loss is nan at step 2 \(groups \["):
        make_trainer(made, []).fit(module, datamodule=data)


def test_a_run_of_several_machines_says_how_it_is_started(config, monkeypatch):
    for name in ("RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    with refused(
        "config.trainer.nodes", "trainer.nodes=2", "torchrun --nnodes=2 --nproc-per-node=4"
    ):
        make_trainer(config("trainer.nodes=2", "trainer.devices=4"), [])


PEAK = """
import sys, torch
from pathlib import Path
from hybrid_sweep.config.validate import stored
from hybrid_sweep.training.batches import HybridBatches
from hybrid_sweep.models.loading import build_encoder
from hybrid_sweep.inputs.plan import plan_of
from hybrid_sweep.inputs.prepare import prepare
from hybrid_sweep.training.lightning_module import Retriever

torch.set_num_threads(1)
made = stored(Path(sys.argv[1]))
prepared = prepare(made)
module = Retriever(build_encoder(made.model, prepared.model, 0), made, prepared)
module.note = lambda *_: None
code = module.vocabulary.code if module.vocabulary else None
batch = HybridBatches(prepared, plan_of(made, prepared.all_pairs), made, code=code)[0]
module.training_step(batch).backward()
# of this program alone: getrusage reports the parent's peak where that was larger
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(int(status["VmHWM"].split()[0]) * 1024)
"""


@pytest.mark.slow
def test_a_batch_of_4096_trains_in_the_memory_of_32_and_its_scores(config, tmp_path):
    import subprocess
    import sys

    from omegaconf import OmegaConf

    from hybrid_sweep.config.schema import to_dict

    def peak(*words):
        made = config("data.groups=7400", "model.hidden_size=64", "trainer.max_steps=1", *words)
        OmegaConf.save(OmegaConf.create(to_dict(made)), tmp_path / "config.yaml")
        command = [sys.executable, "-c", PEAK, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return int(done.stdout.split()[-1])

    scores = 4096**2 * 4
    small, cached, plain = (
        peak(*words)
        for words in (
            ["batch.size=32"],
            ["batch.size=4096", "batch.micro_batch=32"],
            ["batch.size=4096"],
        )
    )
    # The scores, their logarithms, the gradients of both, the mask, and what the allocator holds on
    # to.
    assert cached < small + 6 * scores < plain
