"""A saved model scored again gives the numbers of its run; folders bring their own pooling and
prompts.
"""

import dataclasses
import json

import pandas as pd
import pytest

from hybrid_sweep.commands import evaluate
from hybrid_sweep.commands.evaluate import config_of, evaluate_words, table
from hybrid_sweep.runs import finished, stages, trained
from hybrid_sweep.sweeps.point_list import Point
from hybrid_sweep.utils.files import read_json, write_json
from tests import ready
from tests.refused import refused


@pytest.mark.slow
def test_a_run_evaluated_again_has_its_own_numbers_and_another_split_has_others(run, tmp_path):
    folder = run("batch.cross_lingual_ratio=0.5", "model.query_prompt='q: '")
    outputs = f"paths.outputs={tmp_path / 'out'}"
    metrics = read_json(folder / "metrics.json")

    def evaluated(*words):
        done = ready.run(
            ["-m", "hybrid_sweep", "evaluate", *words, outputs, "logger=disabled"], timeout=300
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return "\n".join(line for line in done.stdout.splitlines() if not line.startswith("["))

    again = evaluated(folder)
    assert again.splitlines()[:4] == table(metrics, folder).splitlines()[:4]
    data = ["data=synthetic", "data.groups=300", "model.query_length=32", "model.passage_length=64"]
    by_path = evaluated(f"model.path={folder / 'model'}", *data)
    assert by_path.splitlines()[:4] == again.splitlines()[:4]
    labelled = evaluated(folder, "label.ratio=0.5", "label.seed=3")
    rows = pd.read_parquet(tmp_path / "out/labelled/labelled/ratio=0.5,seed=3.parquet")
    assert "--table" in labelled and set(rows["ratio"]) == {"0.5"} and set(rows["seed"]) == {3}
    mono = rows[(rows["measure"] == "RR@10") & ~rows["language"].str.contains(">")]
    by_language = mono.groupby("language")["value"].mean()
    assert by_language.mean() == pytest.approx(metrics["monolingual/RR@10"], abs=1e-9)
    further = ["+data@eval.also.other=synthetic", "eval.also.other.groups=60"]
    other = evaluated(folder, "eval.split=dev", *further)
    assert "\n\non other:\n" in other and "evaluations/other/per_query.parquet" in other
    assert other.splitlines()[1:4] != again.splitlines()[1:4]


def test_what_is_printed_are_the_macro_means_to_four_decimals(tmp_path):
    found = {
        f"{setting}/AP": value
        for setting, value in (("monolingual", 0.79904), ("multilingual", 0.298765))
    }
    found |= {
        "cross-lingual/AP": 0.63956,
        "micro/monolingual/AP": 0.5,
        "monolingual/unseen/AP": 0.4,
    }
    lines = table({**found, "monolingual/RR@10": 1.0}, tmp_path).splitlines()
    assert [line.split() for line in lines[:4]] == [
        ["RR@10", "AP", "nDCG@10", "R@100"],
        ["monolingual", "1.0000", "0.7990", "-", "-"],
        ["cross-lingual", "-", "0.6396", "-", "-"],
        ["multilingual", "-", "0.2988", "-", "-"],
    ]
    assert lines[4].startswith("macro over languages and pairs")


def test_a_run_without_a_model_is_refused(planned, tmp_path):
    folder = planned("batch.cross_lingual_ratio=0.5")
    with refused("trained.unfinished", folder):
        evaluate_words([str(folder)])
    write_json(folder / "trained.json", {"run_id": folder.name, "files": {"steps.parquet": "x"}})
    with refused("trained.not_kept", folder):
        evaluate_words([str(folder)])
    with refused("run.missing", tmp_path):
        evaluate_words([str(tmp_path)])


def test_a_folder_brings_its_own_prompts_and_modules_unless_words_say_otherwise(tmp_path):
    prompts = {"prompts": {"query": 'q "x": ', "document": "p: "}}
    write_json(tmp_path / "config_sentence_transformers.json", prompts)
    words = [f"model.path={tmp_path}", "data=synthetic"]
    model = config_of(words).model
    assert (model.pooling, model.query_prompt, model.passage_prompt) == ("auto", 'q "x": ', "p: ")
    stated = config_of([*words, "model.pooling=mean", "model.query_prompt=''"]).model
    assert (stated.pooling, stated.query_prompt, stated.passage_prompt) == ("mean", "", "p: ")


def test_a_folder_is_known_by_what_its_word_composes(tmp_path, monkeypatch):
    """Quotes, escapes, references and signs change nothing: it brings its prompts all the same."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOLDERS", str(tmp_path))
    write_json(tmp_path / "a=b" / "config_sentence_transformers.json", {"prompts": {"query": "q "}})
    for value in ('"a=b"', "'a=b'", "a\\=b", "${oc.env:FOLDERS}/a\\=b"):
        for sign in ("", "++"):
            model = config_of([f"{sign}model.path={value}", "data=synthetic"]).model
            assert model.query_prompt == "q "
    for word in ("model=tiny", "model=bm25"):
        with refused("config.model.path", "model.path"):
            config_of([word, "++model.path=x", "data=synthetic"])


@pytest.mark.parametrize(
    "word",
    ["trainer.lr=3", "++batch.size=3", "trainer.max_steps=9", "eval.dev_every=2", "seed=7"],
)
def test_a_word_without_effect_on_an_evaluation_is_refused(tmp_path, word):
    path = f"model.path={tmp_path}"
    with refused("option.no_effect", word.lstrip("+")):
        config_of([path, "data=synthetic", word])
    config_of([path, "data=synthetic", "seed=0", "trainer.precision=32-true"])


def test_the_model_of_a_run_is_not_changed_by_words(planned):
    folder = planned("batch.cross_lingual_ratio=0.5")
    write_json(folder / "model" / "config.json", {})
    trained.write(folder)
    for word in ("model.pooling=cls", "model.path=x", "++model.query_length=9"):
        with refused("option.no_effect", word.lstrip("+")):
            config_of([str(folder), word])
    assert config_of([str(folder), "model.pooling=mean"]).model.pooling == "mean"


def test_a_run_lies_in_any_folder(planned, tmp_path):
    folder = planned("trainer.max_steps=0")
    folder.rename(tmp_path / "lr=1e-3")
    assert config_of([str(tmp_path / "lr=1e-3")]).model.name == "tiny"


@pytest.mark.parametrize(
    ("stated", "typed", "lengths"),
    [
        ({"max_seq_length": 5}, [], (5, 5)),
        ({"max_seq_length": 512}, [], (128, 128)),
        ({}, [], (64, 64)),
        ({"max_seq_length": 5}, ["model.passage_length=9"], (5, 9)),
        ({"max_seq_length": 5}, ["++model.query_length=9", "model.passage_length=9"], (9, 9)),
    ],
)
def test_texts_are_cut_where_the_folder_says_unless_words_say_otherwise(
    tmp_path, capsys, stated, typed, lengths
):
    write_json(tmp_path / "config.json", {"max_position_embeddings": 64})
    write_json(tmp_path / "sentence_bert_config.json", stated)
    model = config_of([f"model.path={tmp_path}", "data=synthetic", *typed]).model
    assert (model.query_length, model.passage_length) == lengths
    is_said = f" {stated.get('max_seq_length', 64)}" in capsys.readouterr().out
    assert is_said == (len(typed) < 2)


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("multilingual-e5-small", "query: "),
        ("me5-small-l4", "query: "),
        ("me50", ""),
        ("labse", ""),
    ],
)
def test_the_prompts_of_e5_go_by_the_name_of_the_folder_and_are_said(tmp_path, capsys, name, query):
    made = config_of([f"model.path={tmp_path / name}", "data=xquad_r"])
    assert (made.model.query_prompt, made.model.passage_prompt) == (
        query,
        query.replace("query", "passage"),
    )
    assert ("prompts of the E5 models" in capsys.readouterr().out) == bool(query)
    assert made.model.query_length == made.model.passage_length == 128
    own = config_of([f"model.path={tmp_path / name}", "data=xquad_r", "model.query_prompt=ask"])
    assert own.model.query_prompt == "ask"
    write_json(
        tmp_path / name / "config_sentence_transformers.json", {"prompts": {"query": "its own "}}
    )
    assert (
        config_of([f"model.path={tmp_path / name}", "data=xquad_r"]).model.query_prompt
        == "its own "
    )


def test_a_hub_name_brings_the_prompts_that_its_model_states(tmp_path, monkeypatch, capsys):
    """Scored without its prompts a model is another one; nobody is asked unless that is allowed."""
    import huggingface_hub
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    words = ["model.path=some/encoder", "data=xquad_r"]
    assert config_of(words).model.query_prompt == ""
    assert "config_sentence_transformers.json is not in the local cache" in capsys.readouterr().out

    def refuse(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with refused("model.prompts_unknown", "some/encoder", "OSError"):
        config_of([*words, "model.local_files_only=false"])
    known = tmp_path / "hub" / "models--some--encoder"
    (known / "snapshots" / "abc").mkdir(parents=True)
    (known / "refs").mkdir()
    (known / "refs" / "main").write_text("abc")
    stated = {"prompts": {"query": "ask: ", "document": "tell: "}}
    write_json(known / "snapshots" / "abc" / "config_sentence_transformers.json", stated)
    for more in ([], ["model.local_files_only=false"]):
        made = config_of([*words, *more]).model
        assert (made.query_prompt, made.passage_prompt) == ("ask: ", "tell: ")
    assert "local cache" not in capsys.readouterr().out


def test_adapters_of_a_run_are_in_its_saved_weights(planned):
    folder = planned(
        "batch.cross_lingual_ratio=0.5", "model.lora_rank=4", "model.lora_targets=[query]"
    )
    write_json(folder / "model" / "config.json", {})
    trained.write(folder)
    model = config_of([str(folder)]).model
    assert (model.lora_rank, model.lora_targets, model.path) == (0, [], str(folder / "model"))


def test_a_run_on_another_collection_knows_the_languages_it_was_trained_on(planned):
    """Else all languages would count as trained, and none as unseen."""
    folder = planned("data.languages=[xa,xb]")
    write_json(folder / "model" / "config.json", {})
    trained.write(folder)
    made = config_of([str(folder), "data=synthetic", "data.languages=[xb,xc]"])
    assert made.data.languages == ["xb", "xc"]
    assert [stage.trained for stage in stages.of(made, folder)] == [("xa", "xb")]


def test_what_is_scored_of_a_folder_has_its_pooling_and_its_head(config, tmp_path):
    import torch

    from hybrid_sweep.inputs.prepare import prepare
    from hybrid_sweep.models.loading import build_encoder, save_encoder

    made = config("model.pooling=cls")
    source = prepare(made).model
    encoder = build_encoder(made.model, source, 0)
    encoder.head = torch.nn.Sequential(torch.nn.Linear(32, 8), torch.nn.Tanh())
    save_encoder(encoder, made.model, source, tmp_path / "m")
    words = [f"model.path={tmp_path / 'm'}", "data=synthetic", "data.groups=300", "logger=disabled"]
    scored = config_of([*words, "model.query_length=32", "model.passage_length=64"])
    found = build_encoder(scored.model, prepare(scored).model, scored.seed)
    state = found.state_dict()
    assert found.pooling == "cls" and state.keys() == encoder.state_dict().keys()
    assert all(torch.equal(value, state[name]) for name, value in encoder.state_dict().items())


@pytest.mark.parametrize(
    ("name", "path", "facts"),
    [
        ("saved", "runs/abc/model", ("trained run", "abc")),
        ("tiny", None, ("untrained run", "abc")),
    ],
)
def test_an_evaluation_of_a_run_is_called_that(config, tmp_path, name, path, facts):
    """The name of a point of a sweep would call a trained run untrained."""
    (folder := tmp_path / "abc").mkdir()
    made = config()
    made = dataclasses.replace(made, model=dataclasses.replace(made.model, name=name, path=path))
    told = evaluate._title([str(folder), "seed=1"], made)
    assert all(fact in told for fact in facts) and ("untrained" in told) == (
        "untrained run" in facts
    )
    point = Point("id", "untrained", (), made, {}, title=told)
    assert point.label == told
    assert dataclasses.replace(point, title="").label.startswith("untrained")


def test_an_evaluation_of_a_model_is_called_by_its_path(config):
    made = config()
    model = dataclasses.replace(made.model, name="pretrained", path="org/model")
    assert "org/model" in evaluate._title(
        ["model.path=org/model"], dataclasses.replace(made, model=model)
    )
    assert evaluate._title(["model=tiny"], made) == ""


@pytest.mark.parametrize(
    ("path", "is_relative"), [("data/mine", True), ("/data/mine", False), ("~/mine", False)]
)
def test_a_stored_relative_path_says_where_it_leads_from(path, is_relative):
    assert bool(evaluate._from_where(path)) == is_relative


@pytest.mark.slow
def test_an_evaluation_keeps_which_questions_belong_together(tmp_path):
    parts = {"passages": [], "queries": [], "qrels": []}
    for number in range(6):
        text = f"word{number} word{number + 1}"
        parts["passages"].append({"id": f"d{number}", "text": text, "lang": "en"})
        query = {"id": f"q{number}", "text": text, "lang": "en", "cluster": f"page{number // 2}"}
        parts["queries"].append(query)
        parts["qrels"].append({"query": f"q{number}", "passage": f"d{number}", "grade": 1})
    for name, nodes in parts.items():
        lines = [json.dumps(node) for node in nodes]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    words = ["model=bm25", "data=files", f"data.path={tmp_path}", "data.languages=[en]"]
    words += [f"paths.outputs={tmp_path / 'out'}", "logger=disabled", "label.r=0", "label.seed=0"]
    done = ready.run(["-m", "hybrid_sweep", "evaluate", *words], timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    [run_dir] = (tmp_path / "out" / "runs").iterdir()
    wanted = {f"q{number}": f"page{number // 2}" for number in range(6)}
    assert finished.clusters(run_dir) == wanted
    assert set(read_json(run_dir / "metrics.json")["clusters"]) == {finished.CLUSTERS}
    rows = pd.read_parquet(tmp_path / "out/labelled/labelled/r=0,seed=0.parquet")
    assert dict(zip(rows["query"], rows["cluster"], strict=True)) == wanted
