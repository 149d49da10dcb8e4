"""What enters the loss is what the plan says; a step depends on nothing but (seed, step, rank)."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from hybrid_sweep.encoder import build_encoder
from hybrid_sweep.prepare import plan_of, prepare
from hybrid_sweep.training import HybridBatches, Retriever, check_realised, make_trainer, planned, rate


def fit(config, plan=None):
    from hybrid_sweep.training import HybridData

    torch.set_num_threads(1)
    prepared = prepare(config)
    module = Retriever(build_encoder(config.model, prepared.model, config.seed), config, prepared.pairs)
    plan = plan or plan_of(config, prepared.pairs)
    make_trainer(config, [], None).fit(module, datamodule=HybridData(prepared, plan))
    return module, plan


def test_batches_hold_the_texts_of_the_plan(config):
    made = config("batch.cross_lingual_ratio=0.5")
    prepared = prepare(made)
    plan = plan_of(made, prepared.pairs)
    batches = HybridBatches(prepared, plan)
    queries, passages = prepared.collection.queries, prepared.collection.passages
    for step in range(len(plan)):
        batch = batches[step]
        groups = plan.groups(step)
        names = prepared.pairs.groups[groups].tolist()
        a, b = plan.languages[plan.query_language[step]], plan.languages[plan.passage_language[step]]
        for table, tokens, language, ids, mask, codes in (
            (queries, prepared.queries, a, batch.query_ids, batch.query_mask, batch.query_language),
            (passages, prepared.passages, b, batch.passage_ids, batch.passage_mask, batch.passage_language),
        ):
            where = {
                (g, code): row
                for row, (g, code) in enumerate(zip(table["group"].to_pylist(), table["lang"].to_pylist(), strict=True))
            }
            for place, name in enumerate(names):
                row = where[name, language]
                kept = ids[place][mask[place].bool()].tolist()
                assert kept == tokens.ids[tokens.starts[row] : tokens.starts[row + 1]].tolist()
            assert {plan.languages[code] for code in codes.tolist()} == {language}


def test_ranks_share_the_global_batch(config):
    """Dealing whole batches to ranks would give them different kinds and languages in one step."""
    made = config("batch.cross_lingual_ratio=0.5")
    prepared = prepare(made)
    plan = plan_of(made, prepared.pairs)
    whole = HybridBatches(prepared, plan)
    for world in (2, 4):
        parts = [HybridBatches(prepared, plan, rank, world) for rank in range(world)]
        for step in range(len(plan)):
            together = [part[step] for part in parts]
            assert torch.cat([batch.groups for batch in together]).tolist() == whole[step].groups.tolist()
            assert len({int(code) for batch in together for code in batch.query_language}) == 1
            assert len({int(code) for batch in together for code in batch.passage_language}) == 1


@pytest.mark.parametrize("ratio", [0, 0.3, 1])
def test_the_record_of_the_loss_equals_the_plan(config, ratio):
    module, plan = fit(config(f"batch.cross_lingual_ratio={ratio}"))
    record = pd.DataFrame(module.record)
    check_realised(record, plan)
    assert record["n_cross"].sum() == round(ratio * 12) * 16 and record["n_examples"].sum() == 12 * 16


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


def test_every_known_answer_of_a_question_is_masked(config, monkeypatch):
    """Two pairs of one question lie in one batch: neither passage is a negative of the other's query."""
    from hybrid_sweep import training

    made = config()
    prepared = prepare(made)
    pairs = prepared.pairs
    first, second = plan_of(made, pairs).groups(3)[:2]
    question = pairs.question.copy()
    question[second] = question[first]  # the second pair's question becomes the first's
    keys = question * (pairs.answer.max() + 1) + pairs.answer
    prepared = replace(prepared, pairs=replace(pairs, question=question, judged=np.sort(keys)))
    module = Retriever(build_encoder(made.model, prepared.model, 0), made, prepared.pairs)
    module._note = lambda *_: None
    seen = []
    monkeypatch.setattr(training, "info_nce", lambda *given: seen.append(given[3]) or given[0].sum(dim=1))
    module.training_step(HybridBatches(prepared, plan_of(made, pairs))[3])
    wanted = np.eye(16, dtype=bool)
    wanted[0, 1] = wanted[1, 0] = True
    assert (seen[0].numpy() == wanted).all()


def test_dropout_is_a_function_of_seed_and_step_alone(config):
    """A step must not feel what random numbers were drawn before it: a log line, a resume, another ratio."""
    made = config("model.dropout=0.3")
    prepared = prepare(made)
    plan = plan_of(made, prepared.pairs)
    batches = HybridBatches(prepared, plan)
    module = Retriever(build_encoder(made.model, prepared.model, 0), made, prepared.pairs).train()
    module._note = lambda *_: None
    losses = []
    for disturbance in (1, 2):
        torch.manual_seed(disturbance)
        losses.append([module.training_step(batches[step]).item() for step in (3, 4)])
    assert losses[0] == losses[1]
    same_batch = [module.training_step(replace(batches[3], step=step)).item() for step in (3, 4)]
    assert same_batch[0] != same_batch[1]


def test_two_fits_are_bit_equal_and_another_seed_is_not(config):
    first, second, other = (fit(config("model.dropout=0.2", f"seed={seed}"))[0] for seed in (0, 0, 1))
    assert [r["loss"] for r in first.record] == [r["loss"] for r in second.record]
    assert [r["loss"] for r in first.record] != [r["loss"] for r in other.record]
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_only_the_converted_steps_differ_between_ratios(config):
    """Until the first converted step two ratios are one training: same weights, same losses."""
    low, plan = fit(config("batch.cross_lingual_ratio=0", "trainer.max_steps=20"))
    high, other = fit(config("batch.cross_lingual_ratio=0.1", "trainer.max_steps=20"))
    first = int(other.cross.argmax())
    losses = [np.array([r["loss"] for r in module.record]) for module in (low, high)]
    assert (
        other.cross.sum() == 2
        and (losses[0][:first] == losses[1][:first]).all()
        and losses[0][first] != losses[1][first]
    )
    assert [r["lr"] for r in low.record] == [r["lr"] for r in high.record]
    assert [p["groups"] for p in planned(plan)] == [p["groups"] for p in planned(other)]


def test_embeddings_biases_and_norms_are_not_decayed(config):
    made = config()
    prepared = prepare(made)
    module = Retriever(build_encoder(made.model, prepared.model, 0), made, prepared.pairs)
    decayed, others = module.configure_optimizers()["optimizer"].param_groups
    assert decayed["weight_decay"] == 0.01 and others["weight_decay"] == 0.0
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    assert all("embeddings" not in names[id(p)] and p.ndim == 2 for p in decayed["params"])
    assert len(decayed["params"]) + len(others["params"]) == len(names)


def test_the_learning_rate_rises_and_falls():
    rates = [rate(step, 100, 0.1) for step in range(100)]
    assert np.isclose(rates[0], 0.1) and rates[9] == rates[10] == 1.0 and np.isclose(rates[-1], 1 / 90)
    assert rate(0, 10, 0.0) == 1.0 and rate(9, 10, 1.0) == 1.0


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_step(config):
    with pytest.raises(RuntimeError, match="the loss is nan at step 2"):
        made = config()
        prepared = prepare(made)
        module = Retriever(build_encoder(made.model, prepared.model, 0), made, prepared.pairs)
        step = module.training_step
        module.training_step = lambda batch: step(batch) * (float("nan") if batch.step == 1 else 1.0)
        from hybrid_sweep.training import HybridData

        make_trainer(made, [], None).fit(module, datamodule=HybridData(prepared, plan_of(made, prepared.pairs)))
