"""Code-switched queries: a share of the words, keyed, counted, and lexicons with bad lines."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_sweep.config.schema import run_id
from hybrid_sweep.data.code_switching import CodeSwitch, lexicon_digests, read_lexicon
from hybrid_sweep.inputs.batch_schedule import BatchSchedule
from hybrid_sweep.inputs.plan import plan_of
from hybrid_sweep.inputs.prepare import fingerprints_of, prepare
from hybrid_sweep.training.batches import HybridBatches
from hybrid_sweep.training.lightning_module import WORDS
from tests.refused import refused
from tests.training.test_batches import texts_of
from tests.training.test_lightning_module import fit, prepared_module

ENTRIES = {f"w{number}": (f"d{number}",) for number in range(0, 60, 2)}
KEY = (3, 7, 5)


def switched(texts, share, *, groups=None, key=KEY, lexicons=(ENTRIES,), languages=None):
    groups = np.arange(len(texts)) if groups is None else np.array(groups)
    switch = CodeSwitch(share, {"en": lexicons})
    return switch.switched(texts, languages or ["en"] * len(texts), groups, key)


def texts(count=40, words=9, seed=0):
    draw = np.random.default_rng(seed)
    return [" ".join(f"w{n}" for n in draw.integers(0, 60, words)) for _ in range(count)]


@settings(max_examples=30, deadline=None)
@given(low=st.floats(0, 1), high=st.floats(0, 1), seed=st.integers(0, 9))
def test_counts_are_exact_and_a_higher_share_switches_further_words(low, high, seed):
    asked, (low, high) = texts(seed=seed), sorted((low, high))
    (less, few), (more, many) = switched(asked, low), switched(asked, high)
    for made, counts in ((less, few), (more, many)):
        pairs = [
            (old, new)
            for old_text, new_text in zip(asked, made, strict=True)
            for old, new in zip(old_text.split(" "), new_text.split(" "), strict=True)
        ]
        changed = [(old, new) for old, new in pairs if old != new]
        assert all(ENTRIES[old] == (new,) for old, new in changed)
        words, replaced, without = counts.row
        assert words == len(pairs) == 360 and replaced == len(changed)
        assert counts.drawn == replaced + without
    for old, one, other in zip(asked, less, more, strict=True):
        for word, first, second in zip(old.split(), one.split(), other.split(), strict=True):
            assert first in (word, second)
    assert abs(many.drawn / 360 - high) < 0.12


def test_all_or_nothing():
    asked = texts()
    same, none = switched(asked, 0.0)
    assert same == asked and none.row == [360, 0, 0]
    _, every = switched(asked, 1.0)
    has = sum(word in ENTRIES for text in asked for word in text.split())
    assert every.row == [360, has, 360 - has]


def test_the_draw_is_of_the_key_the_group_and_the_place_alone():
    asked = texts()
    made, _ = switched(asked, 0.5)
    assert switched(asked, 0.5)[0] == made
    part, _ = switched(asked[30:], 0.5, groups=range(30, 40))
    assert part == made[30:]
    assert switched(asked, 0.5, key=(3, 7, 6))[0] != made
    twice, _ = switched([asked[0]] * 2, 0.5, groups=[4, 4])
    assert twice[0] == twice[1]


def test_signs_and_spaces_stay_and_words_are_also_looked_up_in_lower_case():
    lexicon = {"sleep": ("schlafen",), "देश": ("Land",)}
    asked = ['  (Sleep), "sleep"?\n देश! ... unknown ']
    made, counts = switched(asked, 1.0, lexicons=(lexicon,))
    assert made == ['  (schlafen), "schlafen"?\n Land! ... unknown ']
    assert counts.row == [4, 3, 1]
    other, none = switched(["sleep"], 1.0, languages=["fr"], lexicons=(lexicon,))
    assert other == ["sleep"] and none.row == [1, 0, 1]


def test_several_translations_and_lexicons_are_drawn_evenly():
    lexicons = ({"a": ("x", "y")}, {"a": ("z",), "b": ("v",)})
    made, _ = switched(["a"] * 2000, 1.0, lexicons=lexicons)
    shares = [made.count(word) / 2000 for word in "xyz"]
    assert np.allclose(shares, [0.25, 0.25, 0.5], atol=0.04)
    assert switched(["b"], 1.0, lexicons=lexicons)[0] == ["v"]


def test_a_lexicon_is_read_and_its_bad_lines_are_refused(tmp_path):
    path = tmp_path / "en-de.txt"
    path.write_text("sleep schlafen\nsleep\tein Schlaf\nsea\tMeer\nsleep schlafen\n")
    assert read_lexicon(path) == {"sleep": ("schlafen", "ein Schlaf"), "sea": ("Meer",)}
    bad = ["one", "a b c", "a\tb\tc", " b", "a ", "a\t", "\tb", "a  b", "a\t b"]
    for line in bad:
        path.write_text(f"sea Meer\n{line}\n")
        with refused("line.lexicon", path, "line 2"):
            read_lexicon(path)
    path.write_text("")
    with refused("line.lexicon", path):
        read_lexicon(path)
    path.write_bytes(b"sea Meer\nsalz \xff\n")
    with refused("line.encoding", "line 2"):
        read_lexicon(path)
    with refused("data.file_missing", "none.txt"):
        read_lexicon(tmp_path / "none.txt")


@pytest.fixture
def lexicon(config, tmp_path):
    """Of every second word of the queries of xa."""
    queries = prepare(config()).collection.queries.to_pylist()
    asked = [row["text"] for row in queries if row["lang"] == "xa"]
    words = sorted({word for text in asked for word in text.lower().split()})[::2]
    path = tmp_path / "xa-xb.txt"
    path.write_text("".join(f"{word} zz{place}\n" for place, word in enumerate(words)))
    return path


def test_training_reads_switched_queries_that_are_the_same_at_every_ratio(config, lexicon):
    words = ["batch.code_switch.share=0.5", f"batch.code_switch.lexicon={{xa-xb: {lexicon}}}"]
    seen, counts = [], []
    for ratio in (0, 1):
        made = config(*words, f"batch.cross_lingual_ratio={ratio}")
        prepared = prepare(made)
        plan = plan_of(made, prepared.all_pairs)
        batches = HybridBatches(prepared, plan, made)
        halves = [HybridBatches(prepared, plan, made, rank, 2) for rank in range(2)]
        plain = HybridBatches(prepared, plan, config(f"batch.cross_lingual_ratio={ratio}"))
        schedule = BatchSchedule.from_config(made)
        for step in range(12):
            batch, old = batches[step], texts_of(plain[step])
            queries, passages = texts_of(batch)[:16], texts_of(batch)[16:]
            assert passages == old[16:]
            is_xa = (batch.query_language == 0).tolist()
            changed = [one != other for one, other in zip(queries, old[:16], strict=True)]
            assert not any(change and not xa for change, xa in zip(changed, is_xa, strict=True))
            total, replaced, without = batch.switched.tolist()
            asked, _ = schedule.texts(step)
            assert replaced == " ".join(asked).count("zz") and total >= replaced + without
            assert (replaced > 0) == any(changed)
            parts = [half[step] for half in halves]
            assert sum(part.switched for part in parts).tolist() == [total, replaced, without]
            assert [text for part in parts for text in texts_of(part)[:8]] == queries
            seen.append(queries)
            counts.append(replaced)
    assert seen[:12] == seen[12:] and sum(counts) > 20


def test_the_record_counts_the_words_of_each_step(config, lexicon):
    made = config(
        "batch.code_switch.share=0.5",
        f"batch.code_switch.lexicon={{xa-xb: {lexicon}}}",
        "trainer.max_steps=4",
    )
    module, plan = fit(made)
    prepared = prepare(made)
    batches = HybridBatches(prepared, plan, made)
    assert len(module.record) == 4
    for row in module.record:
        counts = [row[name] for name in WORDS]
        assert counts == batches[row["step"]].switched.tolist() and counts[0] > 16


def test_the_whole_vocabulary_is_trained_and_the_files_are_in_the_id(config, lexicon):
    words = ["batch.code_switch.share=0.5", f"batch.code_switch.lexicon={{xa-xb: {lexicon}}}"]
    made = config(*words)
    module, _, batches = prepared_module(made)
    assert module.vocabulary is None and prepared_module(config())[0].vocabulary is not None
    for step in range(3):
        assert module.training_step(batches[step]).isfinite()
    prepared = prepare(made)
    before = run_id(made, fingerprints_of(made, prepared))
    assert set(lexicon_digests(made)) == {"xa-xb"}
    plain = config(words[1])
    assert run_id(plain, fingerprints_of(plain, prepared)) == run_id(
        config(), fingerprints_of(config(), prepared)
    )
    lexicon.write_text(lexicon.read_text() + "more mehr\n")
    assert run_id(made, fingerprints_of(made, prepared)) != before
    lexicon.write_text("bad\n")
    with refused("line.lexicon", lexicon, "line 1"):
        plan_of(made, prepared.all_pairs)


def test_shares_and_pairs_that_say_nothing_are_refused(config):
    with refused("config.batch.code_switch.share", "1.5"):
        config("batch.code_switch.share=1.5", "batch.code_switch.lexicon={xa-xb: x}")
    with refused("config.batch.code_switch.lexicon", "0.5"):
        config("batch.code_switch.share=0.5")
    for name in ("xaxb", "qq-xa", "xa-"):
        with refused("config.batch.code_switch.lexicon", name, "xa, xb, xc, xd"):
            config("batch.code_switch.share=0.5", f"batch.code_switch.lexicon={{{name}: x}}")
    with refused("config.batch.code_switch.lexicon", "~nobody-is-here/x"):
        lexicon = "batch.code_switch.lexicon={xa-xb: '~nobody-is-here/x'}"
        config("batch.code_switch.share=0.5", lexicon)
