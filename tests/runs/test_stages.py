"""Several evaluations of a run: each by itself, each again only where something else is asked of
it.
"""

import dataclasses
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from omegaconf import OmegaConf

from hybrid_sweep.config.compose import points
from hybrid_sweep.config.schema import bm25, identity, to_dict
from hybrid_sweep.data import collection
from hybrid_sweep.inputs import prepare, splits
from hybrid_sweep.models import encoding
from hybrid_sweep.runs import execute, stages, trained, vectors
from hybrid_sweep.sweeps import point_list
from hybrid_sweep.utils.files import read_json, write_json
from tests.refused import refused

SMALL = ["data=synthetic", "data.groups=60", "trainer.max_steps=0", "batch.cross_lingual_ratio=0"]
ALSO = ["+data@eval.also.other=synthetic", "eval.also.other.groups=60", "eval.also.other.seed=9"]
THIRD = [
    "+data@eval.also.third=synthetic",
    "eval.also.third.groups=60",
    "eval.also.third.languages=[xa,xd]",
]


@pytest.fixture
def ask(planned, monkeypatch):
    """Runs a point of these words in this process; its folder, and the names of the collections
    that were encoded.
    """

    def work(*words):
        folder, encoded, real = planned(*SMALL, *words), [], encoding.encode_jobs

        def noted(jobs, *more):
            encoded.append(jobs[0].folder.parent.parent)
            real(jobs, *more)

        monkeypatch.setattr(encoding, "encode_jobs", noted)
        execute.execute(folder)
        monkeypatch.setattr(encoding, "encode_jobs", real)
        return folder, [path.name if path != folder else "" for path in encoded]

    return work


@pytest.mark.slow
def test_every_collection_leaves_its_own_table_and_result(ask):
    folder, encoded = ask(*ALSO, *THIRD, "data.languages=[xa,xb,xc]")
    assert encoded == ["", "other", "third"]
    tables = {
        name: pd.read_parquet(folder / name / "per_query.parquet")
        for name in (".", "evaluations/other")
    }
    assert not tables["."]["query_id"].equals(tables["evaluations/other"]["query_id"])
    assert list(tables["."].columns) == list(tables["evaluations/other"].columns)
    main, other, third = (
        read_json(folder / name / "metrics.json")
        for name in (".", "evaluations/other", "evaluations/third")
    )
    assert main["run_id"] == other["run_id"] == third["run_id"] == folder.name
    assert not {"fingerprint", "measures", "run_depth"} & set(main)
    assert (other["stage"], other["measures"], other["run_depth"]) == ("other", [], 0)
    assert third["languages"] == ["xa", "xd"] and third["fingerprint"] != other["fingerprint"]
    provenance = read_json(folder / "evaluations/other/provenance.json")
    assert provenance["fingerprints"]["collection"] == other["fingerprint"]
    # xd is not trained on.
    assert {
        "monolingual/unseen/RR@10",
        "monolingual/trained/RR@10",
        "micro/multilingual/AP",
    } <= set(third)
    assert "monolingual/trained/RR@10" not in main and "micro/monolingual/RR@10" in main
    assert not list(folder.rglob("encoding")), "vectors are left behind"


def test_bm25_is_scored_on_every_collection_and_encodes_nothing(config, tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "encode_batch", None)
    made = bm25(config(*SMALL, *ALSO))
    OmegaConf.save(OmegaConf.create(to_dict(made)), tmp_path / "config.yaml")
    write_json(
        tmp_path / "identity.json",
        {"run_id": tmp_path.name, "fingerprints": prepare.fingerprints(made)},
    )
    execute.execute(tmp_path)
    for name in (".", "evaluations/other"):
        assert 0.2 < read_json(tmp_path / name / "metrics.json")["monolingual/RR@10"] <= 1


@pytest.mark.slow
def test_asking_for_more_does_only_what_is_missing(ask):
    folder, _ = ask()
    table = (folder / "per_query.parquet").read_bytes()
    metrics = (folder / "metrics.json").read_bytes()
    again, encoded = ask(*ALSO)
    assert again == folder and encoded == ["other"]
    assert (folder / "per_query.parquet").read_bytes() == table and (
        folder / "metrics.json"
    ).read_bytes() == metrics
    assert ask(*ALSO)[1] == [] and ask()[1] == []
    assert ask(*ALSO[:2], "eval.also.other.seed=10")[1] == ["other"], (
        "another collection under the same name"
    )
    assert ask(*ALSO[:2], "eval.also.other.seed=10", "eval.also.other.languages=[xa,xb]")[1] == [
        "other"
    ]
    assert ask(*THIRD)[1] == ["third"] and read_json(folder / "status.json")["state"] == "done"


def test_a_new_measure_is_added_and_an_earlier_one_kept(ask):
    folder, _ = ask(*ALSO)
    assert ask(*ALSO, "eval.measures=[RR@100]")[1] == ["", "other"]
    assert read_json(folder / "metrics.json")["measures"] == ["RR@100"]
    assert ask("eval.measures=[success@1]")[1] == [""]
    assert read_json(folder / "metrics.json")["measures"] == ["success@1", "RR@100"]
    assert {"RR@100", "success@1"} <= set(pd.read_parquet(folder / "per_query.parquet").columns)
    assert ask("eval.measures=[RR@100]")[1] == [] and ask()[1] == []


def test_run_files_are_written_where_they_are_asked_for(ask):
    folder, _ = ask()
    assert ask("eval.run_depth=5")[1] == [""] and ask("eval.run_depth=3")[1] == []
    assert (folder / "runs" / "qrels.trec").is_file() and list(
        (folder / "runs").glob("multilingual.*.all.trec")
    )
    assert ask("eval.measures=[RR@5]")[1] == [""]
    assert read_json(folder / "metrics.json")["run_depth"] == 5


def test_the_times_of_a_training_outlive_another_evaluation(ask):
    folder, _ = ask("trainer.max_steps=2")
    record = read_json(folder / "provenance.json")
    times = record["times"]
    assert times["steps"] == 2
    # Times that no clock can show again by chance.
    marked = {**times, "train_seconds": 1234.5, "evaluate_seconds": 1234.5}
    write_json(folder / "provenance.json", {**record, "times": marked})
    again, encoded = ask("trainer.max_steps=2", "eval.measures=[RR@5]")
    after = read_json(folder / "provenance.json")["times"]
    assert again == folder and encoded == [""]
    assert (
        after["train_seconds"] == 1234.5
        and after["steps"] == 2
        and after["evaluate_seconds"] < 1000
    )


def test_a_point_is_done_when_all_its_stages_are(ask, config):
    folder, _ = ask(*ALSO)
    made = config(*SMALL, *ALSO, *THIRD, f"paths.outputs={folder.parent.parent}")
    marks = read_json(folder / "identity.json")["fingerprints"]
    point = point_list.Point(folder.name, "untrained", (), made, marks)
    assert point.run_dir == folder and not point_list.is_done(point)
    assert point_list.state_of(point) == point_list.State("to do", "to be evaluated on third")
    asked = dataclasses.replace(point, kind="trained")  # what is said of one that had to be trained
    again = "its training is not finished and is trained again; to be evaluated on third"
    assert point_list.state_of(asked).reason == again
    for name in ("steps.parquet", "model/modules.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    trained.write(folder)
    assert point_list.state_of(asked).reason == "trained; to be evaluated on third"
    fewer = dataclasses.replace(
        made, eval=dataclasses.replace(made.eval, also={"other": made.eval.also["other"]})
    )
    assert point_list.is_done(dataclasses.replace(point, config=fewer))
    for content in ({"run_id": "another"}, {"run_id": folder.name}, "{half"):
        write_json(folder / "evaluations" / "other" / "metrics.json", content)
        assert not point_list.is_done(dataclasses.replace(point, config=fewer))


def test_a_stage_that_was_stopped_is_done_from_where_it_was(ask, planned, monkeypatch):
    real = splits.score

    def stopped(config, *more):
        if config.data.seed == 9:
            raise KeyboardInterrupt
        return real(config, *more)

    monkeypatch.setattr(splits, "score", stopped)
    with pytest.raises(KeyboardInterrupt):
        ask(*ALSO, "sweep.name=stopped")
    folder = planned(*SMALL, *ALSO)
    assert (folder / "metrics.json").is_file() and not (
        folder / "evaluations/other/metrics.json"
    ).exists()
    vectors = folder / "evaluations/other/encoding/passages/vectors.npy"
    assert vectors.is_file()
    monkeypatch.setattr(splits, "score", real)
    monkeypatch.setattr(encoding, "encode_batch", None)  # nothing is encoded again
    assert ask(*ALSO)[1] == ["other"] and not vectors.exists()
    assert read_json(folder / "evaluations/other/metrics.json")["run_id"] == folder.name


def test_a_further_collection_that_is_bad_is_found_before_training(config, tmp_path):
    def say(_):
        pass

    for words, key, facts in (
        (
            ["+data@eval.also.q=xquad_r", f"eval.also.q.path={tmp_path / 'none'}"],
            "data.folder_missing",
            ["eval.also.q: ", tmp_path / "none"],
        ),
        (
            [*ALSO, "eval.also.other.languages=[xa,zz]"],
            "data.language_missing",
            ["eval.also.other: ", "zz"],
        ),
    ):
        with refused(key, *facts):
            point_list.expand([((), config(*words))], say)


def test_a_split_that_a_further_collection_lacks_is_told(config, cache):
    whole = prepare.whole_collection(config(*SMALL))
    kept = whole.queries.filter(pc.not_equal(whole.queries["split"], "dev"))
    collection.save(
        collection.make("cut", kept, whole.passages, whole.qrels.slice(0, 0), {}), cache / "cut"
    )
    words = [
        "+data@eval.also.cut=xquad_r",
        f"eval.also.cut.path={cache / 'cut'}",
        "eval.also.cut.languages=[xa,xb]",
    ]
    asked(config(*SMALL, *words))
    with refused("data.split_missing", "eval.also.cut: ", "cut", "split dev"):
        asked(config(*SMALL, *words, "eval.split=dev"))
    whole = f"data.path={cache / 'cut'}"
    with refused("evaluation.no_texts", "query", "split dev"):
        asked(other("data=xquad_r", "data.languages=[xa,xb]", whole, "eval.split=dev"))


def other(*words):
    """The config of an evaluation by words, on another collection than the small one."""
    rest = ["model.vocabulary=600", "trainer.max_steps=0", "batch.cross_lingual_ratio=0"]
    [(_, made)] = points([*words, *rest], multirun=False)
    return made


def asked(made):
    """Ask what a driver asks of a config before anything starts."""
    stages.check(made, prepare.prepare(made), print)


@pytest.mark.parametrize("space", [" ", "\u00a0", "\u2003", "\x0b", "\x1c", "\x85", "\u3000"])
@pytest.mark.parametrize("side", ["queries", "passages"])
def test_ids_that_a_run_file_cannot_hold_are_refused_before_anything_is_encoded(
    config, cache, tmp_path, space, side
):
    whole = prepare.whole_collection(config(*SMALL))
    tables = {"queries": whole.queries, "passages": whole.passages}
    spaced = pc.binary_join_element_wise(tables[side]["id"], pa.scalar("x"), space)
    place = tables[side].schema.get_field_index("id")
    tables[side] = tables[side].set_column(place, "id", spaced)
    qrels = whole.qrels.slice(0, 0)
    collection.save(
        collection.make("spaced", tables["queries"], tables["passages"], qrels, {}), tmp_path / "s"
    )
    words = ["data=xquad_r", f"data.path={tmp_path / 's'}", "data.languages=[xa,xb]"]
    asked(other(*words))
    with refused("run_file.white_space", "eval.run_depth=0"):
        asked(other(*words, "eval.run_depth=5"))
    also = ["+data@eval.also.s=xquad_r", f"eval.also.s.path={tmp_path / 's'}"]
    also.append("eval.also.s.languages=[xa,xb]")
    with refused("run_file.white_space", "eval.also.s: "):
        asked(config(*SMALL, *also, "eval.run_depth=5"))


def test_more_cells_than_passages_are_refused_before_anything_is_encoded(config):
    asked(config(*SMALL, "eval.index=ivf", "eval.ivf_lists=2"))
    with refused("config.eval.ivf_lists", "eval.ivf_lists=99999"):
        asked(config(*SMALL, "eval.index=ivf", "eval.ivf_lists=99999"))


def test_a_further_collection_does_not_move_the_run_id(planned):
    plain = planned(*SMALL)
    assert planned(*SMALL, *ALSO, "eval.measures=[RR@5]", "eval.run_depth=9") == plain


def test_torch_is_not_imported():
    program = (
        "import sys, hybrid_sweep.runs.stages; sys.exit('torch' in sys.modules or 'pandas' in"
        " sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_smaller_pools_rank_the_same_vectors_again(ask):
    folder, encoded = ask(
        *ALSO, "data.pools=[9,3,9]", "eval.also.other.pools=[3,9]", "keep.vectors=true"
    )
    names = ["", "pool_3", "pool_9", "other", "other_pool_3", "other_pool_9"]
    assert encoded == [
        "",
        "",
        "",
        "other",
        "other",
        "other",
    ], "the vectors of a collection lie in one place"
    places = [folder / "evaluations" / name if name else folder for name in names]
    tables = [pd.read_parquet(place / "per_query.parquet") for place in places]
    for whole, small, large in (tables[:3], tables[3:]):
        key = [
            "setting",
            "query_lang",
            "passage_lang",
            "query_id",
            "n_relevant",
            "collection",
            "run_id",
        ]
        assert small[key].equals(whole[key]) and large[key].equals(whole[key])
        assert (small["rank_max"] <= large["rank_max"]).all() and (
            large["rank_max"] <= whole["rank_max"]
        ).all()
        assert (small["rank_max"] < whole["rank_max"]).any()
    assert read_json(places[1] / "metrics.json")["passages"]["xa"] == 3
    assert read_json(places[5] / "metrics.json")["stage"] == "other_pool_9"
    assert not list(folder.rglob("encoding")), "vectors are left behind"
    assert [path.parent for path in folder.rglob("vectors")] == [
        folder,
        folder / "evaluations/other",
    ]


MORE = [*ALSO, "data.pools=[3,5,7]", "eval.also.other.pools=[3,5,7]"]


def test_a_pool_is_added_to_a_finished_run_and_takes_one_encoding(ask, monkeypatch):
    texts, real = [], encoding.encode_batch
    folder, _ = ask(*ALSO)
    table = (folder / "per_query.parquet").read_bytes()
    monkeypatch.setattr(
        encoding, "encode_batch", lambda *words: texts.append(words) or real(*words)
    )
    assert ask("data.pools=[3]", "eval.run_depth=0")[1] == [""]
    once = len(texts)
    assert ask(*MORE)[1] == ["", "", "other", "other", "other"]
    assert len(texts) == 3 * once and (folder / "per_query.parquet").read_bytes() == table
    assert ask(*MORE)[1] == [] and ask(*ALSO)[1] == []


def test_a_run_file_is_of_all_passages(ask):
    folder, _ = ask("data.pools=[3]", "eval.run_depth=5")
    assert (folder / "runs").is_dir() and not (folder / "evaluations/pool_3/runs").exists()
    assert ask("data.pools=[3]", "eval.run_depth=5")[1] == []


@pytest.mark.parametrize(
    ("words", "key", "fact"),
    [
        (["data.pools=[0]"], "config.data.pools", "data.pools=[0]"),
        (["data.pools=[5]", "eval.index=ivf"], "config.data.pools", "eval.index=flat"),
        (["+data@eval.also.pool_7=synthetic"], "config.eval.also", "eval.also=pool_7"),
    ],
)
def test_pools_that_cannot_be_are_refused(config, words, key, fact):
    with refused(key, fact):
        config(*SMALL, *words)


def test_pools_are_stages_of_the_plan(config):
    made = config(*SMALL, *ALSO, "data.pools=[3]")
    assert stages.further(made) == ["other", "pool_3"]
    assert [each.data.seed for each in stages.collections(made)] == [9]


def brute_rank(split, passages, queries, row):
    """The rank of the first passage of the query's group in the languages of a row: by products in
    float64 over all passages, ties by id.
    """
    asked = split.queries["id"].to_pylist().index(row.query_id)
    group = split.queries["group"][asked].as_py()
    scored = []
    for place, (name, own, lang) in enumerate(
        zip(*(split.passages[key].to_pylist() for key in ("id", "group", "lang")), strict=True)
    ):
        if row.passage_lang in ("*", lang):
            score = round(float(queries[asked].astype(float) @ passages[place]), 9)
            scored.append((-score, name, own))
    return next(rank for rank, (*_, own) in enumerate(sorted(scored), 1) if own == group)


def test_centred_vectors_are_searched_by_a_stage_of_their_own(ask, monkeypatch):
    kept, real = [], vectors.centred

    def noted(ranker, split, folder):
        kept.append((ranker.query_vectors.copy(), ranker.passage_vectors.copy(), split))
        return real(ranker, split, folder)

    monkeypatch.setattr(vectors, "centred", noted)
    words = ["data.languages=[xa,xb]", "sweep.centred=true", "data.groups=40"]
    folder, encoded = ask(*words)
    assert encoded == ["", ""] and not list(folder.rglob("encoding"))
    ((queries, plain, split),) = kept
    centred = plain.astype(float)
    lang = split.passages["lang"].to_numpy()
    for name in ("xa", "xb"):
        centred[lang == name] -= centred[lang == name].mean(axis=0)
    centred /= np.sqrt((centred**2).sum(axis=1, keepdims=True))
    centred = centred.astype(np.float32).astype(float)
    table = pd.read_parquet(folder / "evaluations/centred/per_query.parquet")
    assert set(table["setting"]) == {"monolingual", "cross-lingual", "multilingual"}
    for row in table.itertuples():
        assert row.rank_min == brute_rank(split, centred, queries, row)
    whole = pd.read_parquet(folder / "per_query.parquet")
    assert not table["rank_min"].equals(whole["rank_min"])
    assert read_json(folder / "evaluations/centred/metrics.json")["stage"] == "centred"
    assert ask(*words)[1] == []


def test_centring_keeps_the_run_and_leaves_bm25_alone(config):
    plain, asked = (config(*SMALL, *ALSO, f"sweep.centred={word}") for word in ("false", "true"))
    assert identity(plain) == identity(asked)
    assert stages.further(asked) == ["centred", "other", "other_centred"]
    assert [each.data.seed for each in stages.collections(asked)] == [9]
    assert stages.further(bm25(asked)) == ["other"]
    with refused("config.eval.also", "a_centred"):
        config(*SMALL, "+data@eval.also.a_centred=synthetic")
