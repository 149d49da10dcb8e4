"""The card of a kept model: a header that the hub reads, scores that are those of the run, and no
trace of the machine.
"""

import dataclasses
import logging
import math

import pytest
from huggingface_hub import ModelCard

from hybrid_sweep.config.schema import (
    BatchConfig,
    Config,
    MarcoData,
    MiraclData,
    ModelConfig,
    SyntheticData,
    TinyModel,
)
from hybrid_sweep.inputs.prepare import prepare
from hybrid_sweep.models.loading import build_encoder, save_encoder
from hybrid_sweep.runs import model_card, trained
from hybrid_sweep.runs.model_card import CardFacts, Interval, base_model, card_text, stored_facts
from hybrid_sweep.utils.files import umask, write_json
from tests.finished_runs import finish

RESULT = {
    "collection": "synthetic",
    "measures": ["AWRF@10", "Success@5"],
    "monolingual/RR@10": 0.123456789,
    "monolingual/xa/RR@10": 0.5,
    "micro/monolingual/RR@10": 0.6,
    "monolingual/Success@5": 0.25,
    "cross-lingual/RR@10": 0.0,
    "cross-lingual/AP": None,
    "monolingual/evil | name": 0.9,
}
FURTHER = {"collection": "xquad_r", "multilingual/AP": 0.75}


LANGUAGES = ["xa", "xb"]
PLAIN = Config(
    seed=3,
    data=SyntheticData("synthetic", LANGUAGES),
    model=TinyModel("tiny"),
    batch=BatchConfig(cross_lingual_ratio=0.5),
)


def facts(config=PLAIN, **more) -> CardFacts:
    """The facts of a run with results."""
    provenance = {"fingerprints": {"model": "f" * 12, "collection": "c" * 12}}
    return CardFacts("0" * 12, config, {"": RESULT, "also": FURTHER}, provenance, **more)


def scores(card: ModelCard) -> dict[tuple[str, str], float]:
    """The scores of a card's header by setting and measure."""
    return {
        (result.dataset_config, result.metric_type): result.metric_value
        for result in card.data.eval_results
    }


def test_the_header_has_what_the_hub_shows():
    made = facts(licence="cc-by-4.0")
    card = ModelCard(card_text(made))
    header = card.data.to_dict()
    assert header["language"] == sorted(made.config.data.languages)
    assert header["library_name"] == "sentence-transformers" and header["license"] == "cc-by-4.0"
    assert header["pipeline_tag"] == "sentence-similarity" and "hybrid-sweep" in header["tags"]
    assert scores(card) == {
        ("monolingual", "RR@10"): 0.123457,
        ("monolingual", "Success@5"): 0.25,
        ("cross-lingual", "RR@10"): 0.0,
        ("multilingual", "AP"): 0.75,
    }
    for word in ("| monolingual | RR@10 | 0.1235 |", "xquad\\_r", "| seed | 3 |", "r | 0.5 |"):
        assert word in card.text or word.replace("\\", "") in card.text, word
    assert "evil" not in card.text


@pytest.mark.parametrize("stage", ["centred", "also_centred"])
def test_the_hub_is_told_no_scores_of_centred_vectors(stage):
    made = facts()
    of_centred = {**RESULT, "monolingual/RR@10": 0.987654321}
    made = dataclasses.replace(made, results={**made.results, stage: of_centred})
    card = ModelCard(card_text(made))
    assert scores(card) == scores(ModelCard(card_text(facts())))
    assert "0.9877" in card.text and model_card._OF_CENTRED in card.text
    assert model_card._OF_CENTRED not in card_text(facts())


def test_norwegian_is_a_language_and_no_truth_value():
    made = facts()
    data = dataclasses.replace(made.config.data, languages=["no", "yes", "en"])
    config = dataclasses.replace(made.config, data=data)
    card = ModelCard(card_text(dataclasses.replace(made, config=config)))
    assert card.data.language == ["en", "no", "yes"]


def test_intervals_of_the_sweep_stand_beside_the_values_of_the_run():
    rows = [Interval("monolingual", "RR@10", 0.2, 0.15, 0.25, 4)]
    assert "| monolingual | RR@10 | 4 | 0.2000 | 0.1500 to 0.2500 |" in card_text(
        facts(intervals=rows)
    )
    assert "95 %" not in card_text(facts())


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("intfloat/multilingual-e5-small", "intfloat/multilingual-e5-small"),
        ("bert", None),
        ("/data/secret/place", None),
        ("~/place", None),
        ("tests/runs", None),
    ],
)
def test_the_base_model_is_a_name_of_the_hub_and_never_a_place(path, name):
    made = facts(dataclasses.replace(PLAIN, model=ModelConfig("me5_small", path)))
    assert base_model(made.config) == name
    text = card_text(made)
    assert ModelCard(text).data.base_model == name and (name or path not in text)


def test_names_of_collections_on_the_hub_are_its_own():
    sets = {"data": MarcoData("mmarco", ["en"]), "more": {"second": MiraclData("miracl", ["de"])}}
    header = ModelCard(card_text(facts(dataclasses.replace(PLAIN, **sets)))).data
    assert header.datasets == ["miracl/miracl", "unicamp-dl/mmarco"]
    assert ModelCard(card_text(facts())).data.datasets is None


def test_an_average_says_that_it_was_not_trained():
    average = {"ratios": [0.0, 1.0], "shares": [0.5, 0.5], "parents": ["a" * 12, "b" * 12]}
    text = card_text(facts(average=average))
    assert "a" * 12 in text and "b" * 12 in text and "not trained" in text
    assert "learning rate" not in text


def test_the_other_model_of_a_run_has_no_scores(tmp_path):
    for name in ("model", "model-best"):
        (tmp_path / name).mkdir()
    model_card.write_cards(tmp_path, facts())
    first = ModelCard.load(tmp_path / "model" / "README.md")
    other = ModelCard.load(tmp_path / "model-best" / "README.md")
    assert len(scores(first)) == 4 and other.data.eval_results is None
    assert "0.1235" in first.text and "0.1235" not in other.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "model-best"]


def test_a_card_holds_the_stored_results_of_its_run_alone(tmp_path):
    folder, made = tmp_path / ("0" * 12), PLAIN
    assert stored_facts(folder, made).results == {}
    finish(folder, folder.name, **{"monolingual/RR@10": 0.5})
    assert stored_facts(folder, made).results[""]["monolingual/RR@10"] == 0.5
    finish(folder, "f" * 12, **{"monolingual/RR@10": 0.9})
    assert stored_facts(folder, made).results == {}


def test_a_card_is_no_part_of_the_model(tmp_path):
    folder = tmp_path / ("0" * 12)
    (folder / "model").mkdir(parents=True)
    write_json(folder / "model" / "config.json", {})
    trained.write(folder)
    before = (folder / trained.RECORD).read_bytes()
    model_card.write_cards(folder, facts())
    trained.check(folder, None)
    trained.write(folder)
    assert (folder / trained.RECORD).read_bytes() == before
    assert (folder / "model" / "README.md").stat().st_mode & 0o777 == 0o666 & ~umask()


@pytest.mark.slow
def test_a_kept_model_loads_in_sentence_transformers_without_a_word(
    config, tmp_path, caplog, capfd
):
    """transformers tells of missing weights by its log, which does not propagate."""
    from sentence_transformers import SentenceTransformer

    made = facts(config("batch.cross_lingual_ratio=0.5"))
    source = prepare(made.config).model
    encoder = build_encoder(made.config.model, source, 0)
    save_encoder(encoder, made.config.model, source, tmp_path / "model")
    model_card.write_cards(tmp_path, made)
    logger = logging.getLogger("transformers")
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.WARNING):
            model = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    finally:
        logger.removeHandler(caplog.handler)
    assert caplog.records == [] and "MISSING" not in "".join(capfd.readouterr())
    assert not any("pooler" in name for name in model.state_dict())
    first, second = model.encode_query(["a question"]), model.encode_document(["a passage"])
    assert math.isfinite(float(model.similarity(first, second)))
