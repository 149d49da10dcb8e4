"""The schedule in other training loops: each process draws its part of the same global batches."""

import json
import os
import pickle
import socket
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader

import hybrid_sweep as hs
from hybrid_sweep.data.pairs import pairs
from hybrid_sweep.inputs.plan import plan_of
from hybrid_sweep.inputs.prepare import prepare
from hybrid_sweep.models.loading import build_encoder, save_encoder
from hybrid_sweep.training.batches import HybridBatches
from tests import ready
from tests.refused import refused
from tests.small import SMALL

SCRIPT = Path(__file__).with_name("train_elsewhere.py")
WORDS = [*SMALL, "batch.cross_lingual_ratio=0.5", "seed=3"]


@pytest.fixture
def plan(config):
    return hs.BatchSchedule.from_config(config("batch.cross_lingual_ratio=0.5", "seed=3"))


@pytest.mark.parametrize(
    "words",
    [
        ["batch.cross_lingual_ratio=0.5"],
        ["batch.cross_lingual_ratio=0.3", "batch.composition=per_example"],
        ["batch.ratio_schedule=rising", "batch.cross_lingual_ratio=0.5"],
        ["batch.pairs={xa-xb:3,xb-xa:1}", "batch.cross_lingual_ratio=0.5"],
        ["batch.passage_languages=[xb]", "batch.cross_lingual_ratio=0.5"],
        ["batch.passage_languages=[xb]", "batch.composition=per_example"],
        ["batch.composition=per_language", "batch.size=18"],
        ["batch.pairs={xa-xb:1,xa-xc:1}", "batch.composition=per_language"],
        ["batch.budget=fixed_monolingual", "batch.added=0.5"],
    ],
)
def test_the_schedule_is_the_one_that_training_follows(config, words) -> None:
    """Groups, languages and texts of each step, against the tensors that our own training reads."""
    made = config(*words)
    prepared = prepare(made)
    ours = HybridBatches(prepared, plan_of(made, prepared.all_pairs), made)
    schedule = hs.BatchSchedule.from_config(made)
    codes = np.array(schedule.languages)
    assert len(schedule) == len(ours)
    for step in range(len(ours)):
        batch, tensors = schedule[step], ours[step]
        assert batch.groups.tolist() == tensors.groups.tolist()
        assert batch.query_language.tolist() == codes[tensors.query_language.numpy()].tolist()
        assert batch.passage_language.tolist() == codes[tensors.passage_language.numpy()].tolist()
        collection = schedule.collections[batch.source]
        assert collection.queries["lang"].take(batch.query_rows).to_pylist() == list(
            batch.query_language
        )
        langs = collection.passages["lang"].take(batch.passage_rows).to_pylist()
        assert langs == list(batch.passage_language)
    share = np.concatenate([batch.cross_lingual for batch in schedule]).mean()
    assert share == pytest.approx(made.batch.cross_lingual_ratio, abs=0.05) or "added" in words[-1]


def test_steps_are_counted_like_a_list(plan) -> None:
    assert plan[-1].step == len(plan) - 1 and [batch.step for batch in plan[2:4]] == [2, 3]
    with pytest.raises(IndexError):
        plan[len(plan)]


def test_parts_of_all_ranks_are_the_global_batches(plan) -> None:
    whole = list(hs.ScheduleSampler(plan))
    assert [row for batch in whole for row in batch] == list(range(len(plan) * plan.batch_size))
    for ranks in (1, 2, 4, 16):
        size = plan.batch_size // ranks
        parts = [list(hs.ScheduleSampler(plan, size, rank=rank)) for rank in range(ranks)]
        joined = [np.concatenate(batches).tolist() for batches in zip(*parts, strict=True)]
        assert joined == whole
        dealt = list(hs.ScheduleSampler(plan, size))
        assert [dealt[rank::ranks] for rank in range(ranks)] == parts
        assert len(hs.ScheduleSampler(plan, size)) == len(dealt)


def test_a_resumed_sampler_goes_on_where_it_stopped(plan) -> None:
    for rank in (None, 1):
        whole = list(hs.ScheduleSampler(plan, 4, rank=rank))
        rest = hs.ScheduleSampler(plan, 4, rank=rank, start=5)
        assert list(rest) == whole[-len(rest) :] and len(list(rest)) == len(rest)


def test_examples_of_a_loader_are_the_texts_of_the_step(plan) -> None:
    loader = DataLoader(plan.examples(), batch_sampler=hs.ScheduleSampler(plan), collate_fn=list)
    for step, examples in enumerate(loader):
        queries, passages = plan.texts(step)
        assert [each["anchor"] for each in examples] == queries
        assert [each["positive"] for each in examples] == passages
        assert {each["step"] for each in examples} == {step}


def test_a_collator_puts_prompts_before_texts_and_cuts_them(config, plan) -> None:
    asked = []

    class Tokenizer:
        def __call__(self, texts, **options):
            asked.append((texts, options["max_length"]))
            return texts

    model = config(
        "model.query_prompt='q: '", "model.passage_prompt='p: '", "model.query_length=9"
    ).model
    batch = hs.Collator(Tokenizer(), model)(plan.examples()[:3])
    assert [text[:3] for text in batch["queries"]] == ["q: "] * 3
    assert [text[:3] for text in batch["passages"]] == ["p: "] * 3
    assert [length for _, length in asked] == [9, model.passage_length]


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"batch_size": 5}, "sampler.batch_size"),
        ({"batch_size": 0}, "sampler.batch_size"),
        ({"batch_size": 8, "rank": 2}, "sampler.rank"),
        ({"start": 13}, "sampler.start"),
    ],
)
def test_what_is_no_part_of_a_schedule_is_refused(plan, options, key) -> None:
    with refused(key):
        hs.ScheduleSampler(plan, **options)


def test_another_dataset_size_or_epoch_is_refused(plan) -> None:
    sampler = hs.SentenceTransformersSampler(plan)
    with refused("sampler.dataset"):
        sampler(range(5), batch_size=16)
    with refused("sampler.batch_size"):
        sampler(range(192), batch_size=8)
    with refused("sampler.unpickled"):
        pickle.loads(pickle.dumps(sampler))(range(192), batch_size=16)
    with refused("sampler.epoch"):
        sampler(range(192), batch_size=16).set_epoch(1)


def test_hard_negatives_are_those_that_training_draws(config, tmp_path) -> None:
    """By their texts; columns of examples have no room for them."""
    names = pairs(hs.load_collection(config().data), "train").groups.tolist()
    lines = [
        f"{name} Q0 {names[(place + 1 + more) % len(names)]} {more + 1} 1 x\n"
        for place, name in enumerate(names[::2])
        for more in range(3)
    ]
    (tmp_path / "run.trec").write_text("".join(lines))
    made = config(f"data.negatives={tmp_path / 'run.trec'}", "batch.hard_negatives=2")
    prepared = prepare(made)
    ours = HybridBatches(prepared, plan_of(made, prepared.all_pairs), made)
    schedule = hs.BatchSchedule.from_config(made)
    drawn = 0
    for step in range(len(schedule)):
        batch, tensors = schedule[step], ours[step]
        there = batch.negative_rows >= 0
        answers = tensors.answers[made.batch.size :].numpy().reshape(-1, 2)
        assert (there == (answers >= 0)).all()
        drawn += there.sum()
        langs = prepared.collection.passages["lang"].take(batch.negative_rows[there]).to_pylist()
        asked = np.repeat(batch.passage_language, 2).reshape(-1, 2)[there]
        assert langs == asked.tolist()
    assert drawn > 0
    with refused("schedule.hard_negatives"):
        schedule.examples()


def test_several_pairs_of_a_question_are_no_examples_for_losses_without_masks(config) -> None:
    """The batches themselves have the groups to mask by."""
    schedule = hs.BatchSchedule.from_config(
        config("batch.composition=per_language", "batch.size=6")
    )
    assert schedule[0].groups.reshape(-1, 3).std(axis=1).tolist() == [0, 0]
    with refused("schedule.per_language"):
        schedule.examples()


@pytest.fixture
def model(config, tmp_path):
    """A model that sentence-transformers loads, and its tokens of some texts."""
    made = config("seed=3")
    folder = prepare(made).model
    save_encoder(build_encoder(made.model, folder, 3), made.model, folder, tmp_path / "model")
    return tmp_path / "model"


def trained(model, out, stop):
    """What each of two processes was given: tokens of queries and passages of each step."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    world = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    started = []
    for rank in ("0", "1"):
        around = os.environ | world | {"RANK": rank, "LOCAL_RANK": rank}
        words = [SCRIPT, model, out, str(stop), *WORDS]
        started.append(ready.start(words, env=around))
    for program in started:
        assert program.wait(300) == 0, program.err.read_text()[-2000:]
    return [json.loads((out / f"seen-{rank}-{stop}.json").read_text()) for rank in (0, 1)]


def expected(model, plan, rows):
    """The tokens that sentence-transformers makes of these rows of each step."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    steps = []
    for step in range(len(plan)):
        sides = plan.texts(step)
        cut = {"truncation": True, "max_length": 64}  # what the saved model says
        steps.append([tokenizer(side[rows], **cut)["input_ids"] for side in sides])
    return steps


def without_padding(steps):
    return [[[[t for t in text if t] for text in side] for side in step] for step in steps]


@pytest.mark.slow
def test_the_trainer_of_sentence_transformers_trains_on_the_schedule(model, plan, tmp_path) -> None:
    """Two processes, stopped after five steps, and two that go on from the checkpoint."""
    out = tmp_path / "out"
    for stop, steps in ((5, slice(0, 5)), (0, slice(5, None))):
        seen = trained(model, out, stop)
        for rank, mine in enumerate((slice(0, 8), slice(8, 16))):
            wanted = without_padding(expected(model, plan, mine))
            assert without_padding(seen[rank]) == wanted[steps]
