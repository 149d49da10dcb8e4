"""LAReQA's construction: by hand on small files, and its published counts on the real ones."""

import gzip
import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_sweep.config.compose import points
from hybrid_sweep.data.collection import select
from hybrid_sweep.data.datasets import lareqa
from hybrid_sweep.data.pairs import pairs
from hybrid_sweep.inputs import prepare
from hybrid_sweep.inputs.plan import plan_of
from hybrid_sweep.retrieval import evaluated_texts
from tests.refused import refused

PUBLISHED = dict(
    ar=1222, de=1276, el=1234, en=1180, es=1215, hi=1244, ru=1219, th=852, tr=1167, vi=1209, zh=1196
)


def question(identifier, start, text="x", **changes):
    return {
        "id": identifier,
        "question": f"{identifier}?",
        "answers": [{"answer_start": start, "text": text}],
        **changes,
    }


def paragraph(text, breaks, *questions):
    return {"context": text, "sentence_breaks": breaks, "sentences": [], "qas": list(questions)}


def write(folder, **languages):
    """A file for each language, one article per paragraph; a str or bytes is written as it is."""
    folder.mkdir(exist_ok=True)
    for language, content in languages.items():
        if isinstance(content, list):
            content = json.dumps(
                {"version": "1.1", "data": [{"title": "t", "paragraphs": [one]} for one in content]}
            )
        (folder / f"{language}.json").write_bytes(
            content.encode() if isinstance(content, str) else content
        )
    return folder


EN = [
    paragraph("One two. Three.", [[0, 8], [9, 15]], question("q1", 9), question("q2", 0)),
    paragraph("One two. Four.", [[0, 8], [9, 14]], question("q3", 10)),
]
DE = [
    paragraph("Eins zwei drei.", [[0, 15]], question("q1", 10)),
    paragraph("Vier.", [[0, 5]], question("q3", 0)),
]


def texts(built):
    return dict(
        zip(built.passages["id"].to_pylist(), built.passages["text"].to_pylist(), strict=True)
    )


def relevant(built):
    return sorted(
        (row["query_group"], row["passage_group"])
        for row in built.qrels.to_pylist()
        if row["grade"] == 1
    )


def test_every_sentence_is_a_candidate_of_its_own_even_where_texts_are_equal(tmp_path):
    built = lareqa.build(write(tmp_path / "x", en=EN, de=DE), "xquad_r")
    assert texts(built) == {
        "en_0_0": "One two.",
        "en_0_1": "Three.",
        "en_1_0": "One two.",
        "en_1_1": "Four.",
        "de_0_0": "Eins zwei drei.",
        "de_1_0": "Vier.",
    }
    assert built.passages["group"].to_pylist() == built.passages["id"].to_pylist()
    assert built.queries["id"].to_pylist() == ["q1@de", "q1@en", "q2@en", "q3@de", "q3@en"]
    assert built.queries["group"].to_pylist() == ["q1", "q1", "q2", "q3", "q3"]
    assert built.languages == ["de", "en"] and built.info["candidates"] == {"de": 2, "en": 4}
    splits = {*built.queries["split"].to_pylist(), *built.passages["split"].to_pylist()}
    assert splits == {"test"} and pairs(built, "train").groups.tolist() == []


def test_relevant_is_the_sentence_where_the_answer_starts_in_each_language(tmp_path):
    built = lareqa.build(write(tmp_path / "x", en=EN, de=DE), "xquad_r")
    assert relevant(built) == [
        ("q1", "de_0_0"),
        ("q1", "en_0_1"),
        ("q2", "en_0_0"),
        ("q3", "de_1_0"),
        ("q3", "en_1_1"),
    ]
    # A judgement of the question's other languages names one passage group, which has one version:
    # no more pairs arise.
    query, passage, _ = evaluated_texts.judged_pairs(built.queries, built.passages, built.qrels)
    names = [built.queries["id"].to_pylist(), built.passages["id"].to_pylist()]
    assert {(names[0][q], names[1][p]) for q, p in zip(query, passage, strict=True)} == {
        (f"{q}@{language}", p)
        for q, p in relevant(built)
        for language in ("de", "en")
        if (q, language) != ("q2", "de")
    }
    only = select(built, ["en"])
    assert len(evaluated_texts.judged_pairs(only.queries, only.passages, only.qrels)[0]) == 3


@pytest.mark.parametrize(
    ("start", "expected"),
    [(0, "en_0_0"), (7, "en_0_0"), (8, None), (9, "en_0_1"), (14, "en_0_1"), (15, None)],
)
def test_a_sentence_reaches_from_its_start_to_before_its_end(tmp_path, start, expected):
    """Between sentences there is none: such a question is left out, and counted."""
    content = [
        paragraph("One two. Three.", [[0, 8], [9, 15]], question("q1", start), question("q2", 0))
    ]
    built = lareqa.build(write(tmp_path / "x", en=content), "xquad_r")
    assert dict(relevant(built)).get("q1") == expected
    assert built.info["counts"]["en"].get("questions without a sentence", 0) == (expected is None)
    assert ("q1@en" in built.queries["id"].to_pylist()) == (expected is not None)


def test_an_answer_beyond_its_sentence_belongs_to_the_one_where_it_starts(tmp_path):
    content = [
        paragraph(
            "One two. Three.",
            [[0, 8], [9, 15]],
            question("q1", 4, "two. Three"),
            question("q2", 4, "two."),
        )
    ]
    built = lareqa.build(write(tmp_path / "x", en=content), "xquad_r")
    assert relevant(built) == [("q1", "en_0_0"), ("q2", "en_0_0")]
    assert built.info["counts"]["en"] == {"answers that end in a later sentence": 1}


def test_a_question_without_an_answer_is_left_out_and_counted(tmp_path):
    content = [paragraph("One.", [[0, 4]], question("q1", 0), question("q2", 0, answers=[]))]
    built = lareqa.build(write(tmp_path / "x", en=content), "xquad_r")
    assert built.queries["group"].to_pylist() == ["q1"]
    assert built.info["counts"]["en"] == {"questions without a sentence": 1}


def test_a_sentence_without_text_is_left_out_and_the_others_keep_their_numbers(tmp_path):
    content = [
        paragraph(
            "One.  Two.", [[0, 4], [4, 6], [6, 6], [6, 10]], question("q1", 6), question("q2", 5)
        )
    ]
    built = lareqa.build(write(tmp_path / "x", en=content), "xquad_r")
    assert texts(built) == {"en_0_0": "One.", "en_0_3": "Two."} and relevant(built) == [
        ("q1", "en_0_3")
    ]
    assert built.info["counts"]["en"] == {
        "sentences without text": 2,
        "questions without a sentence": 1,
    }


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(st.sampled_from("a é😀ก\u0301。\u200f"), min_size=1, max_size=6).filter(str.strip),
        min_size=1,
        max_size=6,
    )
)
def test_offsets_are_code_points_in_any_script(tmp_path_factory, sentences):
    breaks, end = [], 0
    for sentence in sentences:
        breaks.append([end, end + len(sentence)])
        end += len(sentence)
    asked = [question(f"q{n}", start) for n, (start, _) in enumerate(breaks)]
    content = [paragraph("".join(sentences), breaks, *asked)]
    built = lareqa.build(write(tmp_path_factory.mktemp("x"), th=content), "xquad_r")
    assert texts(built) == {f"th_0_{n}": sentence for n, sentence in enumerate(sentences)}
    assert relevant(built) == [(f"q{n}", f"th_0_{n}") for n in range(len(sentences))]


def test_with_context_the_paragraph_follows_and_nothing_else_changes(tmp_path):
    folder = write(tmp_path / "x", en=EN, de=DE)
    plain, whole = (
        lareqa.build(folder, "xquad_r"),
        lareqa.build(folder, "xquad_r_context", context=True),
    )
    assert (
        texts(whole)["en_0_1"] == "Three. One two. Three."
        and texts(whole)["en_1_0"] == "One two. One two. Four."
    )
    assert whole.queries.equals(plain.queries) and whole.qrels.equals(plain.qrels)
    assert whole.passages.drop("text").equals(plain.passages.drop("text"))
    assert whole.fingerprint != plain.fingerprint


GOOD = paragraph("One.", [[0, 4]], question("q1", 0))


@pytest.mark.parametrize(
    ("content", "key", "fact"),
    [
        ("{not json", "data.file_json", "en.json: line 1, column 2: "),
        (b'{"data": "\xff"}', "data.file_encoding", "en.json: byte 10"),
        ("[" * 100_000, "data.file_json", "en.json: "),
        ("[]", "data.file_layout", "en.json: data"),
        ('{"data": [{"title": "t"}]}', "line.field_kind", "en.json: data[0]: paragraphs"),
        ('{"data": []}', "data.no_question", "en.json: "),
        (
            [GOOD, {"context": "a", "qas": []}],
            "line.field_kind",
            "en.json: data[1].paragraphs[0]: sentence_breaks",
        ),
        ([GOOD | {"context": None}], "line.field_kind", "data[0].paragraphs[0]: context"),
        (
            [GOOD | {"context": "\ud800 x."}],
            "line.surrogate",
            "paragraphs[0]: character 0 of context",
        ),
        ([GOOD | {"sentence_breaks": [[0, 4], [4]]}], "line.span", "sentence_breaks[1]: "),
        ([GOOD | {"sentence_breaks": [[0, True]]}], "line.span", "sentence_breaks[0]: "),
        ([GOOD | {"sentence_breaks": [[0, 5]]}], "line.span_outside", "sentence_breaks[0]: 0 to 5"),
        (
            [GOOD | {"sentence_breaks": [[-1, 4]]}],
            "line.span_outside",
            "sentence_breaks[0]: -1 to 4",
        ),
        ([GOOD, GOOD], "line.text_repeated", "data[1].paragraphs[0].qas[0]: the question id 'q1'"),
        ([GOOD | {"qas": [question("q1", 0, question=" ")]}], "line.text_empty", "qas[0]: "),
        (
            [GOOD | {"qas": [question("q1", "0")]}],
            "line.field_kind",
            "qas[0].answers[0]: answer_start",
        ),
    ],
)
def test_bad_files_are_refused_by_file_and_place(tmp_path, content, key, fact):
    folder = write(tmp_path / "x", de=DE, en=content)
    with refused(key, fact) as refusal:
        lareqa.build(folder, "xquad_r")
    assert "\n" not in refusal.message


def test_the_same_question_in_two_files_is_two_versions_and_a_byte_order_mark_is_none(tmp_path):
    folder = write(
        tmp_path / "x",
        en=b"\xef\xbb\xbf" + json.dumps({"data": [{"paragraphs": [GOOD]}]}).encode(),
        de=[GOOD],
    )
    assert lareqa.build(folder, "xquad_r").queries["id"].to_pylist() == ["q1@de", "q1@en"]


def test_by_config_the_context_has_a_cache_of_its_own_and_a_missing_folder_is_told(tmp_path):
    folder = write(tmp_path / "x", en=EN, de=DE)
    common = ["model=me5_small", f"paths.cache={tmp_path / 'cache'}", "data.languages=[en,de]"]

    def composed(*words):
        return points([*common, *words], multirun=False)[0][1]

    plain, whole = (
        prepare.collection_of(composed(f"data={name}", f"data.path={folder}"))
        for name in ("mlqa_r", "mlqa_r_context")
    )
    assert (texts(plain)["de_1_0"], texts(whole)["de_1_0"]) == ("Vier.", "Vier. Vier.")
    assert (plain.name, plain.info["licence"]) == ("mlqa_r", "CC-BY-NC-4.0")
    with refused("data.not_fetched", "hybrid-sweep data prepare xquad_r", "data.path=FOLDER"):
        prepare.collection_of(composed("data=xquad_r"))
    (tmp_path / "empty").mkdir()
    with refused("data.files_missing", "en.json"):
        prepare.collection_of(composed("data=xquad_r", f"data.path={tmp_path / 'empty'}"))
    with refused("data.language_missing", "fr", "de, en"):
        prepare.collection_of(
            composed("data=xquad_r", f"data.path={folder}", "data.languages=[en,fr]")
        )


def test_it_has_nothing_to_train_on(tmp_path):
    folder = write(tmp_path / "x", en=EN, de=DE)
    words = ["data=xquad_r", f"data.path={folder}", "data.languages=[en,de]", "model=me5_small"]
    [(_, config)] = points([*words, f"paths.cache={tmp_path / 'cache'}"], multirun=False)
    with refused("data.nothing_to_train"):
        plan_of(config)
    [(_, config)] = points(
        [*words[:3], "model=tiny", f"paths.cache={tmp_path / 'cache'}"], multirun=False
    )
    with refused("model.no_training_texts"):
        prepare.fingerprints(config)


def test_a_pretrained_model_is_scored_though_there_is_nothing_to_train_on(tmp_path):
    """Each setting against its pool: one relevant sentence of one language, or one of each in the
    pool of all.
    """
    from transformers import BertConfig, BertModel

    from hybrid_sweep.models.loading import build_encoder
    from hybrid_sweep.models.tokens import train_bpe
    from hybrid_sweep.training import dev_evaluation

    folder, model = write(tmp_path / "x", en=EN, de=DE), tmp_path / "model"
    tokenizer = train_bpe(iter(["One two three.", "Eins zwei drei."]), 300)
    size = tokenizer.get_vocab_size()
    BertModel(
        BertConfig(
            vocab_size=size,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
        )
    ).save_pretrained(model)
    tokenizer.save(str(model / "tokenizer.json"))
    words = [
        "data=xquad_r",
        f"data.path={folder}",
        "data.languages=[en,de]",
        f"paths.cache={tmp_path / 'cache'}",
    ]
    [(_, config)] = points(
        [*words, "model=pretrained", f"model.path={model}", "trainer.max_steps=0"], multirun=False
    )
    prepared = prepare.prepare(config)
    table, report = dev_evaluation.evaluate(config, prepared, build_encoder(config.model, model, 0))
    cells = table.groupby(["setting", "query_lang", "passage_lang"])["n_relevant"].agg(
        ["size", "max"]
    )
    assert {
        key: tuple(row) for key, row in zip(cells.index, cells.to_numpy().tolist(), strict=True)
    } == {
        ("monolingual", "en", "en"): (3, 1),
        ("monolingual", "de", "de"): (2, 1),
        ("cross-lingual", "en", "de"): (2, 1),
        ("cross-lingual", "de", "en"): (2, 1),
        ("multilingual", "en", "*"): (3, 2),
        ("multilingual", "de", "*"): (2, 2),
    }
    assert report["passages"] == {"de": 2, "en": 4, "*": 6}
    alone = table[table["setting"] != "multilingual"]
    assert (alone["AP"] == 1 / alone["rank_min"]).all()


@pytest.fixture(scope="module")
def real():
    """The real XQuAD-R; where CI has the folder shared/, it must be in it."""
    shared = Path(__file__).parents[4] / "shared"
    folder = Path(os.environ.get("XQUAD_R") or shared / "data" / "xquad-r")
    if not (folder / "en.json").is_file():
        if os.environ.get("CI") and shared.is_dir():
            pytest.fail(f"no XQuAD-R in {folder}: its counts must be tested here")
        pytest.skip("no XQuAD-R here; set XQUAD_R to LAReQA's folder xquad-r")
    return folder, lareqa.build(folder, "xquad_r")


def test_the_real_files_give_the_published_counts(real):
    _, built = real
    assert built.info["candidates"] == PUBLISHED and len(built.passages) == 13_014
    assert len(built.queries) == len(built.qrels) == 13_090
    assert {key for counts in built.info["counts"].values() for key in counts} == {
        "answers that end in a later sentence"
    }
    assert built.info["counts"]["tr"] == {"answers that end in a later sentence": 20}


def test_every_real_question_has_one_relevant_sentence_in_each_language(real):
    _, built = real
    per_question = {}
    for query, passage in relevant(built):
        per_question.setdefault(query, []).append(passage.split("_")[0])
    assert len(per_question) == 1190 and all(
        found == sorted(PUBLISHED) for found in per_question.values()
    )


def test_the_real_texts_are_those_of_the_offsets(real):
    """They equal the files' own sentences but for two, which the file of Turkish damaged."""
    folder, built = real
    found, differ = texts(built), []
    for language in PUBLISHED:
        content = json.loads((folder / f"{language}.json").read_text(encoding="utf-8"))
        all_paragraphs = [one for article in content["data"] for one in article["paragraphs"]]
        assert len(all_paragraphs) == 240
        for number, one in enumerate(all_paragraphs):
            for index, sentence in enumerate(one["sentences"]):
                if found[f"{language}_{number}_{index}"] != sentence:
                    differ.append(language)
    assert differ == ["tr", "tr"]
    assert re.search(r"\b308\b", found["en_0_0"]) and (
        "56beb4343aeaaa14008c925b",
        "en_0_0",
    ) in relevant(built)


def test_packed_files_are_read_as_plain_ones(tmp_path):
    write(tmp_path, de=[paragraph("Eins. Zwei.", [[0, 5], [6, 11]], question("q", 6, "Zwei"))])
    plain = lareqa.build(tmp_path, "xquad_r")
    file = tmp_path / "de.json"
    (tmp_path / "de.json.gz").write_bytes(gzip.compress(file.read_bytes()))
    with refused("data.file_twice", file):
        lareqa.build(tmp_path, "xquad_r")
    file.unlink()
    packed = lareqa.build(tmp_path, "xquad_r")
    assert packed.fingerprint == plain.fingerprint and packed.languages == ["de"]
    damaged = (tmp_path / "de.json.gz").read_bytes()[:-9]
    (tmp_path / "de.json.gz").write_bytes(damaged)
    with refused("data.file_unreadable", "de.json.gz"):
        lareqa.build(tmp_path, "xquad_r")


def test_a_packed_file_cannot_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(lareqa, "LARGEST", 1000)
    (tmp_path / "de.json.gz").write_bytes(gzip.compress(b" " * 1001))
    with refused("data.file_large", "de.json.gz"):
        lareqa.build(tmp_path, "xquad_r")


def test_a_question_is_of_the_paragraph_that_its_sentence_is_in(tmp_path):
    collection = lareqa.build(write(tmp_path / "files", en=EN, de=DE), "xquad_r")
    assert lareqa.paragraphs(collection) == {"q1": "de_0", "q2": "de_0", "q3": "de_1"}


def test_paragraphs_that_share_a_question_are_one(tmp_path):
    """Of MLQA-R a paragraph has other questions, and another place, in each language."""
    de = [
        paragraph("Fremd.", [[0, 6]], question("q9", 0)),
        paragraph("Eins. Vier.", [[0, 5], [6, 11]], question("q1", 0), question("q3", 6)),
    ]
    collection = lareqa.build(write(tmp_path / "files", en=EN, de=de), "mlqa_r")
    of = lareqa.paragraphs(collection)
    assert of == {"q9": "de_0", "q1": "de_1", "q2": "de_1", "q3": "de_1"}
