"""What a process reads of a step: the plan's texts, its own slice of them, each once."""

import dataclasses

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from hybrid_sweep.batching.audit import check_realised, groups_digest, names
from hybrid_sweep.data import collection as collections
from hybrid_sweep.data.negatives import Negatives
from hybrid_sweep.data.pairs import pairs
from hybrid_sweep.inputs.batch_schedule import BatchSchedule
from hybrid_sweep.inputs.plan import plan_of
from hybrid_sweep.inputs.prepare import Prepared, TrainingSource, prepare
from hybrid_sweep.models.tokens import Tokens
from hybrid_sweep.training.batches import HybridBatches, language_numbers
from tests.refused import refused


def texts_of(batch):
    """The token ids of all texts of a batch, in their order; an empty list for an absent one."""
    total = len(batch.groups) + len(batch.answers)
    found = [[] for _ in range(total)]
    kept = [
        ids[mask.bool()].tolist() for part in batch.parts for ids, mask in zip(*part, strict=True)
    ]
    for place, text in zip(batch.places.tolist(), kept, strict=True):
        assert not found[place]  # each text once
        found[place] = text
    return found


def table_of(source, kind):
    table = getattr(source.collection, kind)
    tokens = getattr(source, kind)
    return {
        (group, language): tokens.ids[tokens.starts[row] : tokens.starts[row + 1]].tolist()
        for row, (group, language) in enumerate(
            zip(table["group"].to_pylist(), table["lang"].to_pylist(), strict=True)
        )
    }


@pytest.mark.parametrize("composition", ["per_batch", "per_example", "per_language"])
@pytest.mark.parametrize("buckets", ["true", "false"])
def test_batches_hold_the_texts_of_the_plan(config, composition, buckets):
    made = config(
        "batch.cross_lingual_ratio=0.5",
        "batch.pairs={xa-xb:1,xa-xc:1}" if composition == "per_language" else "seed=0",
        f"batch.composition={composition}",
        f"trainer.length_buckets={buckets}",
    )
    prepared = prepare(made)
    plan = plan_of(made, prepared.all_pairs)
    batches = HybridBatches(prepared, plan, made)
    (source,) = prepared.sources
    queries, passages = table_of(source, "queries"), table_of(source, "passages")
    # one passage for each question: the groups are the questions
    names = sorted({group for group, _ in queries})
    names = [name for name in names if name in set(_groups(source))]
    for step in range(len(plan)):
        batch, planned = batches[step], plan.batch(step)
        texts = texts_of(batch)
        for place, group in enumerate(batch.groups.tolist()):
            name = names[group]
            asked, answered = (
                plan.languages[int(languages[place])]
                for languages in (planned.query_language, planned.passage_language)
            )
            assert texts[place] == queries[name, asked]
            assert texts[16 + place] == passages[name, answered]
        assert batch.query_language.tolist() == planned.query_language.tolist()
        assert batch.passage_language.tolist() == planned.passage_language.tolist()
        assert batch.answers.tolist() == source.pairs.answer[planned.groups].tolist()


def _groups(source):
    table = source.collection.queries.to_pandas()
    return table[table["split"] == "train"]["group"]


@pytest.mark.parametrize("pairs", ["{}", "{xa-xb:3,xb-xa:1}"])
def test_ranks_share_the_global_batch(config, pairs):
    """Dealing whole batches to ranks would give them different kinds and languages in one step."""
    made = config("batch.cross_lingual_ratio=0.5", f"batch.pairs={pairs}")
    prepared = prepare(made)
    plan = plan_of(made, prepared.all_pairs)
    whole = HybridBatches(prepared, plan, made)
    for world in (2, 4):
        parts = [HybridBatches(prepared, plan, made, rank, world) for rank in range(world)]
        for step in range(len(plan)):
            together = [part[step] for part in parts]
            assert (
                torch.cat([batch.groups for batch in together]).tolist()
                == whole[step].groups.tolist()
            )
            queries = [text for batch in together for text in texts_of(batch)[: len(batch.groups)]]
            assert queries == texts_of(whole[step])[:16]
            assert len({int(code) for batch in together for code in batch.query_language}) == 1
            assert len({int(code) for batch in together for code in batch.passage_language}) == 1


def test_ranks_share_the_questions_with_several_languages(config):
    """A question may stand in the parts of two processes: together they are the global batch."""
    made = config("batch.composition=per_language", "batch.size=18")
    prepared = prepare(made)
    plan = plan_of(made, prepared.all_pairs)
    whole = HybridBatches(prepared, plan, made)
    for world in (2, 9):
        parts = [HybridBatches(prepared, plan, made, rank, world) for rank in range(world)]
        for step in range(0, len(plan), 5):
            for field in ("groups", "questions", "query_language", "passage_language"):
                together = torch.cat([getattr(part[step], field) for part in parts])
                assert torch.equal(together, getattr(whole[step], field))


def test_a_micro_batch_is_the_most_that_a_part_holds(config):
    for buckets in ("true", "false"):
        made = config("batch.micro_batch=3", f"trainer.length_buckets={buckets}")
        prepared = prepare(made)
        batch = HybridBatches(prepared, plan_of(made, prepared.all_pairs), made)[0]
        assert max(len(ids) for ids, _ in batch.parts) == 3 and all(texts_of(batch))


def triples(folder, prepared, groups=range(0, 150), each=3):
    """A file of hard negatives: for some questions, passages of the questions behind them."""
    names = sorted(set(_groups(prepared.sources[0])))
    lines = [
        f"{names[g]}\t{names[g]}\t{names[(g + n) % len(names)]}\n"
        for g in groups
        if g < len(names)
        for n in range(1, each + 1)
    ]
    path = folder / "triples.tsv"
    path.write_text("".join(lines))
    return path, names


def test_hard_negatives_stay_where_the_ratio_changes_the_queries(config, tmp_path):
    """The passages of a step of a language that only asks are in one language at every ratio."""
    path, _ = triples(tmp_path, prepare(config()))
    answers = []
    for ratio in (0, 1):
        made = config(
            f"data.negatives={path}",
            "batch.hard_negatives=2",
            "batch.passage_languages=[xb]",
            f"batch.cross_lingual_ratio={ratio}",
        )
        prepared = prepare(made)
        batches = HybridBatches(prepared, plan_of(made, prepared.all_pairs), made)
        asked = {int(code) for step in range(6) for code in batches[step].query_language}
        assert (asked == {1}) == (ratio == 0)
        answers.append([batches[step].answers.tolist() for step in range(6)])
    assert answers[0] == answers[1] and max(map(max, answers[0])) >= 0


def test_hard_negatives_stand_behind_the_passages_in_the_language_of_the_passages(config, tmp_path):
    path, names = triples(tmp_path, prepare(config()), groups=range(0, 150))
    drawn = {}
    for ratio in (0, 1):
        made = config(
            f"data.negatives={path}", "batch.hard_negatives=2", f"batch.cross_lingual_ratio={ratio}"
        )
        prepared = prepare(made)
        plan = plan_of(made, prepared.all_pairs)
        batches = HybridBatches(prepared, plan, made)
        (source,) = prepared.sources
        passages = table_of(source, "passages")
        absent = 0
        for step in range(len(plan)):
            batch, planned = batches[step], plan.batch(step)
            assert len(batch.answers) == 16 * 3 and len(batch.groups) == 16
            texts = texts_of(batch)[32:]
            for place, group in enumerate(planned.groups.tolist()):
                language = plan.languages[int(planned.passage_language[place])]
                near = (
                    {names[(group + n) % len(names)] for n in range(1, 4)} if group < 150 else set()
                )
                numbers = batch.answers[16 + 2 * place : 18 + 2 * place].tolist()
                own = [passages[name, language] for name in near if (name, language) in passages]
                for number, text in zip(numbers, texts[2 * place : 2 * place + 2], strict=True):
                    assert (number == -1) == (text == []) and (number == -1 or text in own)
                    absent += number == -1
                assert len({number for number in numbers if number >= 0}) == sum(
                    number >= 0 for number in numbers
                )
            drawn[ratio, step] = batch.answers.tolist()
        assert 0 < absent < 12 * 32  # both cases are there
    # the ratio changes their language alone
    assert all(drawn[0, step] == drawn[1, step] for step in range(12))


@pytest.mark.parametrize("language", ["passage", "query", "mixed"])
def test_negatives_are_read_in_the_stated_language_and_are_the_same_at_every_ratio(
    config, tmp_path, language
):
    path, _ = triples(tmp_path, prepare(config()))
    answers, seen = [], set()
    for ratio in (0, 0.5, 1):
        made = config(
            f"data.negatives={path}",
            "batch.hard_negatives=3",
            "batch.composition=per_example",
            f"batch.negatives_language={language}",
            f"batch.cross_lingual_ratio={ratio}",
        )
        prepared = prepare(made)
        plan = plan_of(made, prepared.all_pairs)
        batches = HybridBatches(prepared, plan, made)
        schedule = BatchSchedule.from_config(made)
        table = prepared.collection.passages["lang"].to_pylist()
        for step in range(12):
            batch, rows = batches[step], schedule[step].negative_rows
            asked, answered = (
                codes.numpy()[:, None] + np.zeros((1, 3), np.int64)
                for codes in (batch.query_language, batch.passage_language)
            )
            read = np.array([plan.languages.index(table[row]) for row in rows.ravel()])
            read = np.where(rows < 0, -1, read.reshape(-1, 3))
            if language != "passage":
                assert np.array_equal(batch.negative_language.numpy(), read.ravel())
            wanted = answered if language == "passage" else asked
            where = (rows >= 0) & ((language != "mixed") | (asked == answered))
            assert (read[where] == wanted[where]).all()
            third = (rows >= 0) & (read != asked) & (read != answered)
            seen |= set(read[third].tolist())
        answers.append([batches[step].answers[16:].tolist() for step in range(12)])
    assert answers[0] == answers[1] == answers[2] and max(map(max, answers[0])) >= 0
    assert seen == ({0, 1, 2, 3} if language == "mixed" else set())


def test_mixed_negatives_are_in_languages_that_answer(config, tmp_path):
    """And the record says in which; those of the query need passages in its language."""
    path, _ = triples(tmp_path, prepare(config()))
    words = [f"data.negatives={path}", "batch.hard_negatives=2", "batch.cross_lingual_ratio=1"]
    words += ["batch.query_languages=[xa]", "batch.passage_languages=[xb,xc]"]
    made = config(*words, "batch.negatives_language=mixed")
    prepared = prepare(made)
    batches = HybridBatches(prepared, plan_of(made, prepared.all_pairs), made)
    for step in range(4):
        assert set(batches[step].negative_language.tolist()) - {-1} == {1, 2}


def test_negatives_of_a_language_without_passages_are_refused(config):
    made = config("batch.negatives_language=query", "batch.hard_negatives=1", "data.negatives=x")
    pairs_of = dict(training_pairs_without(config, "xb"))
    with refused("config.batch.negatives_language", "xb"):
        plan_of(made, pairs_of)
    with refused("config.batch.negatives_language", "batch.hard_negatives"):
        config("batch.negatives_language=query")


def test_the_passages_of_another_collection_are_no_negatives(config):
    words = ["batch.negatives_language=query", "batch.hard_negatives=1", "data.negatives=x"]
    made = config(*words, "+data@more.other=synthetic", "batch.cross_lingual_ratio=1")
    whole = prepare(config()).pairs
    ((_, lacking),) = training_pairs_without(config, "xb")
    with refused("config.batch.negatives_language", "xb"):
        plan_of(made, {"synthetic": lacking, "other": whole})
    none = Negatives.none(lacking.question, len(lacking.languages))
    plan_of(made, {"synthetic": whole, "other": dataclasses.replace(lacking, negatives=none)})


def training_pairs_without(config, language):
    """The pairs of a collection in which a language only asks."""
    prepared = prepare(config())
    ((name, own),) = prepared.all_pairs.items()
    passage = np.array(own.passage)
    passage[own.languages.index(language)] = -1
    yield name, dataclasses.replace(own, passage=passage, one_sided=(language,))


def test_an_absent_negative_changes_nothing_and_a_relevant_one_is_masked(config, tmp_path):
    from hybrid_sweep.training.loss import info_nce
    from tests.training.test_lightning_module import prepared_module

    path, _ = triples(tmp_path, prepare(config()), groups=range(0, 40))
    module, _, batches = prepared_module(config(f"data.negatives={path}", "batch.hard_negatives=2"))
    seen = []
    module.loss = lambda **given: seen.append(given) or info_nce(**given)
    for step in range(6):
        loss = module.training_step(batches[step])
        loss.backward()
        passages, positive, masked = (seen[-1][name] for name in ("passages", "positive", "masked"))
        absent = batches[step].answers < 0
        assert passages.shape[0] == 48 and positive.tolist() == list(range(16))
        assert masked[:, absent].all() and (passages[absent] == 0).all() and torch.isfinite(loss)
        # A negative that is the answer of another question in the batch is masked for that
        # question.
        judged = {
            (int(q), int(a))
            for q, a in zip(batches[step].questions, batches[step].answers[:16], strict=True)
        }
        for i, question in enumerate(batches[step].questions.tolist()):
            for j, answer in enumerate(batches[step].answers.tolist()):
                is_no_negative = answer < 0 or (question, answer) in judged
                assert bool(masked[i, j]) == (i != j and is_no_negative)
    assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)


def test_each_step_reads_its_own_collection(config):
    made = config(
        "+data@more.other=synthetic",
        "more.other.seed=7",
        "more.other.groups=200",
        "data.share=1",
        "more.other.share=2",
    )
    prepared = prepare(made)
    plan = plan_of(made, prepared.all_pairs)
    batches = HybridBatches(prepared, plan, made)
    found = [batches[step].source for step in range(len(plan))]
    assert found == [plan.batch(step).source for step in range(len(plan))] and np.bincount(
        found
    ).tolist() == [4, 8]
    for step, source in enumerate(found):
        known = set(map(tuple, table_of(prepared.sources[source], "passages").values()))
        assert all(tuple(text) in known for text in texts_of(batches[step])[16:])


@pytest.mark.parametrize(
    "count, width", [(0, 1), (1, 1), (127, 1), (128, 1), (129, 2), (32_768, 2), (32_769, 4)]
)
def test_languages_have_numbers_of_their_own_however_many_there_are(count, width):
    names = [f"l{number}" for number in range(count)]
    found = language_numbers(pa.chunked_array([pa.array([*names, "other"])]), names)
    assert found.tolist() == [*range(count), -1] and found.dtype == np.dtype(f"i{width}")


MANY = [f"x{number:03d}" for number in range(140)]


@pytest.fixture
def many(tmp_path):
    """A run's data in 140 languages: 20 questions, of which each language has the first 18 or
    all.
    """
    rows = [
        (f"g{group:02d}@{language}", f"g{group:02d}", language, "train", f"{language} {group}")
        for place, language in enumerate(MANY)
        for group in range(18 + place % 3)
    ]
    table = pa.table(
        dict(zip(collections.TEXTS.names, map(list, zip(*rows, strict=True)), strict=True))
    )
    names = sorted(set(table["group"].to_pylist()))
    qrels = pa.table({"query_group": names, "passage_group": names, "grade": [1] * len(names)})
    collection = collections.make("many", table, table, qrels, {})
    row = np.arange(len(table) + 1)
    tokens = Tokens(row[:-1] + 1000, row)  # each text is one token, its row
    source = TrainingSource(
        "many", collection, pairs(collection, "train"), tokens, tokens, np.arange(len(MANY))
    )
    return Prepared(collection, tmp_path, tokens, tokens, [source], MANY)


@pytest.mark.parametrize("composition", ["per_batch", "per_example"])
def test_more_languages_than_a_byte_counts_train_on_what_the_plan_says(config, many, composition):
    made = config(
        "batch.cross_lingual_ratio=0.5", f"batch.composition={composition}", "trainer.max_steps=150"
    )
    plan = plan_of(made, many.all_pairs)
    batches, record, seen = HybridBatches(many, plan, made), [], set()
    table = many.collection.queries
    languages, groups = table["lang"].to_pylist(), table["group"].to_pylist()
    for step in range(len(plan)):
        batch = batches[step]
        texts = [text[0] - 1000 for text in texts_of(batch)]
        numbers = torch.cat([batch.query_language, batch.passage_language]).tolist()
        assert [languages[text] for text in texts] == [MANY[number] for number in numbers]
        assert [groups[text] for text in texts] == [
            f"g{group:02d}" for group in batch.groups.tolist() * 2
        ]
        seen |= set(numbers)
        query, passage = batch.query_language, batch.passage_language
        entry = {"step": step, "source": "many", "n_examples": len(batch.groups)}
        entry |= {
            "query_lang": names(MANY, query.numpy()),
            "passage_lang": names(MANY, passage.numpy()),
        }
        entry |= {
            "n_cross": int((query != passage).sum()),
            "groups": groups_digest(batch.groups.numpy()),
        }
        record.append(entry)
    assert max(seen) > 135 and len(seen) > 80
    check_realised(pd.DataFrame(record), plan)
