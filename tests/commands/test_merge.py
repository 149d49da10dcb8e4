"""The verb merge: what it makes of its options, what it refuses before anything is written, and the
rows, runs and records that it leaves.
"""

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hybrid_sweep.commands import merge
from hybrid_sweep.commands.merge import MergeRequest, mixtures, numbers, seeds_of, settings_of
from hybrid_sweep.config import validate
from hybrid_sweep.models.loading import build_encoder, load_encoder, save_encoder
from hybrid_sweep.runs import trained
from hybrid_sweep.runs.merging import Mixture
from hybrid_sweep.utils import records
from hybrid_sweep.utils.files import read_json, write_json
from tests import ready
from tests.finished_runs import finish
from tests.models.folders import OWN_CODE
from tests.refused import refused
from tests.small import SMALL
from tests.waiting import wait_for


def test_alphas_are_shares_of_the_higher_ratio():
    made = mixtures("1,0", "0.25,0,1,0.250", uniform=False)
    assert [mixture.ratios for mixture in made] == [(0.0, 1.0)] * 3
    assert [mixture.shares for mixture in made] == [(1.0, 0.0), (0.75, 0.25), (0.0, 1.0)]
    assert [mixture.alpha for mixture in mixtures("0,1", None, uniform=False)] == [
        round(place / 10, 6) for place in range(11)
    ]


def test_uniform_gives_every_ratio_one_share():
    ((three,), (two,)) = (mixtures(of, None, uniform=True) for of in ("0,0.5,1", "0.5,0"))
    assert three.shares == (1 / 3,) * 3 and three.ratios == (0.0, 0.5, 1.0)
    # the same average as alpha 0.5, and so the same run
    assert (two,) == mixtures("0,0.5", "0.5", uniform=False)


@pytest.mark.parametrize(
    ("call", "key"),
    [
        (lambda: numbers("0,x", "--alpha"), "merge.numbers"),
        (lambda: numbers("0,,1", "--alpha"), "merge.numbers"),
        (lambda: numbers("nan", "--alpha"), "merge.numbers"),
        (lambda: numbers("-0.1", "--alpha"), "merge.numbers"),
        (lambda: numbers("1.1", "--alpha"), "merge.numbers"),
        (lambda: mixtures("0", None, uniform=False), "merge.parents"),
        (lambda: mixtures("0,0.0", None, uniform=True), "merge.parents"),
        (lambda: mixtures("0,0.5,1", "0.5", uniform=False), "merge.parents"),
        (lambda: mixtures("0,1", "0.5", uniform=True), "merge.uniform_alpha"),
        (lambda: seeds_of("1,x"), "merge.seeds"),
        (lambda: seeds_of(""), "merge.seeds"),
        (lambda: settings_of(["eval.split=dev"]), "merge.word"),
        (lambda: settings_of(["data.path="]), "merge.word"),
        (lambda: settings_of(["dir"]), "merge.word"),
        (lambda: settings_of(["model.remote_code=1"]), "merge.word"),
        (lambda: settings_of(["model.remote_code=false"]), "merge.word"),
    ],
)
def test_options_that_mean_nothing_are_refused(call, key):
    with refused(key):
        call()


def test_words_name_paths_alone():
    words = ["data.path=a=b", "paths.cache=c", "eval.also.x.path=d", "more.y.path=e"]
    assert settings_of(words) == dict(word.split("=", 1) for word in words)
    assert seeds_of("2,0,2") == (0, 2) and seeds_of(None) is None


_written: list[Path] = []  # the folders of a sweep that was made already, to be copied


@pytest.fixture
def sweep(planned, config, cache, tmp_path, tmp_path_factory):
    """A sweep of two ratios and two seeds with models and stand-ins for results; its folder."""
    from hybrid_sweep.inputs.prepare import prepare

    sweep_dir = tmp_path / "sweeps" / "s"
    if _written:
        shutil.copytree(_written[0], tmp_path, dirs_exist_ok=True)
        return sweep_dir
    points = []
    for ratio in (0.0, 1.0):
        for seed in (0, 1):
            words = [f"batch.cross_lingual_ratio={ratio}", f"seed={seed}"]
            folder = planned(*words)
            made = config(*words)
            source = prepare(made).model
            save_encoder(
                build_encoder(made.model, source, seed), made.model, source, folder / "model"
            )
            trained.write(folder)
            finish(folder, folder.name)
            points.append({"run_id": folder.name, "ratio": ratio, "seed": seed, "kind": "trained"})
    write_json(sweep_dir / "points.json", {"name": "s", "margin": 0.01, "points": points})
    template = tmp_path_factory.mktemp("sweep")
    shutil.copytree(tmp_path, template, dirs_exist_ok=True)
    _written.append(template)
    return sweep_dir


HALF = mixtures("0,1", "0.5", uniform=False)


def asked(mixture=HALF, seeds=None, words=None, keep=False) -> MergeRequest:
    return MergeRequest(mixture, seeds, words or {}, keep)


def runs(sweep_dir: Path) -> dict[tuple[float, int], Path]:
    points = read_json(sweep_dir / "points.json")["points"]
    folder = sweep_dir.parent.parent / "runs"
    return {(point["ratio"], point["seed"]): folder / point["run_id"] for point in points}


def state(root: Path) -> dict[str, bytes]:
    """All files below a folder, whose content no refused command changes."""
    return {str(path): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_an_average_has_an_id_by_its_parents_and_shares(sweep):
    first = merge.planned(sweep, asked(mixtures("0,1", "0,0.5", uniform=False)))
    ids = [average.point.run_id for average in first]
    assert len(set(ids)) == 4
    again = merge.planned(sweep, asked(mixtures("0,1", "0.5", uniform=False)))
    assert [average.point.run_id for average in again] == ids[2:]
    config = again[0].point.config
    assert config.trainer.max_steps == 0 and config.seed == 0
    assert config.batch.cross_lingual_ratio == 0.5
    assert config.model.path == str(again[0].point.run_dir / "model")
    parents = [runs(sweep)[ratio, 0].name for ratio in (0.0, 1.0)]
    assert again[0].record["parents"] == parents
    # other weights of a parent are another average
    folder = runs(sweep)[1.0, 0]
    shutil.copyfile(
        runs(sweep)[1.0, 1] / "model/model.safetensors", folder / "model/model.safetensors"
    )
    trained.write(folder)
    other = merge.planned(sweep, asked())
    assert other[0].point.run_id != ids[2] and other[1].point.run_id == ids[3]


def test_shares_of_one_mean_ratio_are_several_averages(sweep):
    first, second = merge.planned(sweep, asked())
    family = [*first.family, second.family[0]]
    ids = set()
    for shares in ((1 / 3,) * 3, (0.25, 0.5, 0.25)):
        mixture = Mixture((0.0, 0.5, 1.0), shares)
        assert mixture.mean_ratio == pytest.approx(0.5)
        ids.add(merge._average(mixture, family, False).point.run_id)
    assert len(ids) == 2


def test_words_and_the_kept_model_are_no_part_of_an_id(sweep):
    plain = merge.planned(sweep, asked())
    kept = merge.planned(sweep, asked(keep=True))
    assert [a.point.run_id for a in kept] == [a.point.run_id for a in plain]
    assert kept[0].point.config.keep.model and not plain[0].point.config.keep.model


def no_parent(sweep):
    content = read_json(sweep / "points.json")
    del content["points"][-1]
    write_json(sweep / "points.json", content)


def no_result(sweep):
    (runs(sweep)[1.0, 1] / "metrics.json").unlink()


def other_rows(sweep):
    (runs(sweep)[1.0, 1] / "per_query.parquet").write_bytes(b"others")


def no_model(sweep):
    shutil.rmtree(runs(sweep)[1.0, 1] / "model")


def no_training(sweep):
    (runs(sweep)[1.0, 1] / "trained.json").unlink()


def other_weights(sweep):
    folder = runs(sweep)[1.0, 1] / "model" / "model.safetensors"
    folder.write_bytes(folder.read_bytes()[:-1] + b"x")


def other_architecture(sweep):
    folder = runs(sweep)[1.0, 1]
    content = read_json(folder / "model/config.json")
    write_json(folder / "model/config.json", {**content, "hidden_act": "relu"})
    trained.write(folder)


def other_shapes(sweep):
    from safetensors.numpy import load_file, save_file

    folder = runs(sweep)[1.0, 1]
    weights = load_file(folder / "model/model.safetensors")
    name = sorted(weights)[0]
    weights[name] = np.concatenate([weights[name], weights[name]])
    save_file(weights, folder / "model/model.safetensors")
    trained.write(folder)


def rewrite(folder: Path, old: str, new: str) -> None:
    text = (folder / "config.yaml").read_text()
    assert old in text
    (folder / "config.yaml").write_text(text.replace(old, new))


def other_seed(sweep):
    rewrite(runs(sweep)[1.0, 1], "seed: 1\n", "seed: 5\n")


def other_ratio(sweep):
    rewrite(runs(sweep)[1.0, 1], "cross_lingual_ratio: 1.0", "cross_lingual_ratio: 0.9")


def other_settings(sweep):
    rewrite(runs(sweep)[1.0, 1], "lr: 0.003", "lr: 0.004")


def other_measures(sweep):
    rewrite(runs(sweep)[1.0, 1], "measures: []", "measures: [P@5]")
    finish(runs(sweep)[1.0, 1], runs(sweep)[1.0, 1].name, measures=["P@5"])


def own_code(sweep):
    rewrite(runs(sweep)[1.0, 1], "remote_code: false", "remote_code: true")


def bring_code(folder: Path, code: str = OWN_CODE) -> None:
    """Let the saved model of a run need code of its own, which the run was permitted to run."""
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("remote_code: false", "remote_code: true"))
    content = read_json(folder / "model/config.json")
    content |= {"model_type": "own-kind", "architectures": ["OwnModel"]}
    content["auto_map"] = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
    write_json(folder / "model/config.json", content)
    (folder / "model/own.py").write_text(code)
    trained.write(folder)


def test_code_of_models_is_permitted_by_a_word_and_the_same_in_all_parents(
    sweep, tmp_path, monkeypatch
):
    first, second = (runs(sweep)[ratio, 0] for ratio in (0.0, 1.0))
    plain = merge.planned(sweep, asked(seeds=(0,)))[0]
    permitted = asked(seeds=(0,), words=settings_of(["model.remote_code=true"]))
    assert merge.planned(sweep, permitted)[0].point == plain.point  # where no run asks for it
    bring_code(first)
    bring_code(second)
    mark = tmp_path / "ran"
    monkeypatch.setenv("OWN_CODE_RAN", str(mark))
    monkeypatch.setattr(
        "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules")
    )
    with refused("merge.remote_code", first, "model.remote_code=true"):
        merge.planned(sweep, asked(seeds=(0,)))
    (average,) = merge.planned(sweep, permitted)
    assert average.point.run_id != plain.point.run_id
    model = average.point.config.model
    assert "model.remote_code=true" in validate.permissions(average.point.config)
    folder = merge._write_model(average)
    assert (folder / "own.py").read_text() == OWN_CODE and not mark.exists()
    assert type(load_encoder(model, folder).transformer).__name__ == "OwnModel" and mark.exists()
    bring_code(second, OWN_CODE + "# other numbers\n")
    with refused("merge.architecture", "own.py"):
        merge.planned(sweep, permitted)
    bring_code(first, OWN_CODE + "# other numbers\n")
    assert merge.planned(sweep, permitted)[0].point.run_id != average.point.run_id


def linked(sweep):
    folder = runs(sweep)[1.0, 1]
    folder.rename(folder.parent.parent / "elsewhere")
    folder.symlink_to(folder.parent.parent / "elsewhere")


BROKEN = {
    no_parent: ("merge.parent_missing", ["seed 1", "r = 1", "--seeds 0"]),
    no_result: ("merge.parent_unfinished", ["seed 1"]),
    other_rows: ("merge.parent_unfinished", ["per_query.parquet"]),
    no_model: ("trained.not_kept", ["keep.model=true", "metrics.json"]),
    no_training: ("trained.unfinished", ["keep.model=true"]),
    other_weights: ("seals.altered", ["model.safetensors", "metrics.json"]),
    other_architecture: ("merge.architecture", ["config.json"]),
    other_shapes: ("merge.architecture", ["model"]),
    other_seed: ("merge.other_run", ["seed 5", "seed 1"]),
    other_ratio: ("merge.other_run", ["0.9"]),
    other_settings: ("merge.settings_differ", ["trainer.lr"]),
    other_measures: ("merge.settings_differ", ["eval.measures"]),
    own_code: ("merge.remote_code", ["model.remote_code=true"]),
    linked: ("files.not_followed", []),
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_what_cannot_be_averaged_is_refused_before_anything_is_written(sweep, broken):
    """Not for seed 0 either, whose parents are whole: a half-made list would be taken for one."""
    broken(sweep)
    before = state(sweep.parent.parent)
    key, facts = BROKEN[broken]
    with refused(key, *facts) as refusal:
        merge.merge(sweep, asked())
    assert "\n" not in refusal.message
    assert state(sweep.parent.parent) == before
    if broken is not linked:
        assert len(merge.planned(sweep, asked(seeds=(0,)))) == 1


def test_a_sweep_without_the_ratio_or_the_seed_is_refused(sweep):
    with refused("merge.parent_missing", "r = 0.5"):
        merge.planned(sweep, asked(mixtures("0,0.5", "0.5", uniform=False)))
    with refused("merge.parent_missing", "seed 7"):
        merge.planned(sweep, asked(seeds=(7,)))


def test_a_collection_of_own_files_needs_its_place(sweep):
    for folder in runs(sweep).values():
        rewrite(folder, "path: null", "path: /nowhere/at/all")
        rewrite(folder, "name: tiny\n  path: /nowhere/at/all", "name: tiny\n  path: null")
        content = read_json(folder / "identity.json")
        content["fingerprints"]["collection"] = "0123456789ab"
        write_json(folder / "identity.json", content)
    with refused("stored.data_path", "data.path=DIR", "0123456789ab"):
        merge.planned(sweep, asked())
    made = merge.planned(sweep, asked(words={"data.path": "/my/own"}))
    assert made[0].point.config.data.path == "/my/own"


def test_the_list_of_averages_keeps_those_of_earlier_commands(sweep):
    merge.record(sweep, merge.planned(sweep, asked()))
    merge.record(sweep, merge.planned(sweep, asked(mixtures("0,1", "0.1", uniform=False))))
    merge.record(sweep, merge.planned(sweep, asked()))
    entries = records.merged(sweep)
    assert [(entry["shares"][1], entry["seed"]) for entry in entries] == [
        (0.1, 0),
        (0.1, 1),
        (0.5, 0),
        (0.5, 1),
    ]
    (sweep / "merged.json").write_text('{"points": 3}')
    with refused("records.field", "merged.json", kind=records.Broken):
        merge.planned(sweep, asked())


WORDS = [
    *SMALL,
    "logger=disabled",
    "sweep.untrained=false",
    "sweep.bm25=false",
    "data.pools=[20]",
    "+data@eval.also.other=synthetic",
    "eval.also.other.groups=60",
    "eval.also.other.seed=3",
]
# of a run folder: what does not hold times
RESULTS = ("per_query.parquet", "merge.json", "identity.json")


def cli(*words, cwd, code=0):
    done = ready.run(["-m", "hybrid_sweep", *words], cwd=cwd)
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def trained_sweep(cache, tmp_path_factory):
    """A trained sweep of two ratios and two seeds, with a pool and a further collection; the folder
    that its commands were run in.
    """
    root = tmp_path_factory.mktemp("trained")
    cli("run", "-m", *WORDS, "batch.cross_lingual_ratio=0,1", "seed=0,1", "sweep.name=s", cwd=root)
    return root


def copied(root: Path, target: Path) -> Path:
    shutil.copytree(root, target, dirs_exist_ok=True)
    return target / "outputs"


def results(outputs: Path, entries) -> dict[str, bytes]:
    """The bytes of all rows of averages, on every collection, and what says what they are."""
    files = {}
    for entry in entries:
        folder = outputs / "runs" / entry["run_id"]
        for name in RESULTS:
            files[f"{entry['run_id']}/{name}"] = (folder / name).read_bytes()
        for path in sorted(folder.glob("evaluations/*/per_query.parquet")):
            files[str(path.relative_to(outputs))] = path.read_bytes()
    return files


def rows_of(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "per_query.parquet").drop(columns="run_id")


@pytest.mark.slow
def test_averages_are_points_of_their_own_and_ends_are_the_parents(trained_sweep, tmp_path):
    outputs = copied(trained_sweep, tmp_path)
    sweep_dir = outputs / "sweeps" / "s"
    before = state(outputs)
    shown = cli("merge", "outputs/sweeps/s", "--alpha", "0,0.3,1", cwd=tmp_path)
    assert "6 averages" in shown and "[6/6]" in shown
    entries = records.merged(sweep_dir)
    assert len(entries) == 6
    for path, content in before.items():
        if not path.endswith("lock"):
            assert Path(path).read_bytes() == content, path
    for entry in entries:
        folder = outputs / "runs" / entry["run_id"]
        assert entry["also"] == ["other", "pool_20"]
        assert not (folder / "model").exists()
        provenance = records.provenance(folder)
        assert provenance["merged"]["parents"] == entry["parents"]
        assert provenance["merged"]["shares"] == entry["shares"]
        assert records.metrics(folder)["seed"] == entry["seed"]
        for stage in ("", "evaluations/other", "evaluations/pool_20"):
            own = rows_of(folder / stage)
            ends = [rows_of(outputs / "runs" / parent / stage) for parent in entry["parents"]]
            for share, end in zip(entry["shares"], ends, strict=True):
                if share == 1:
                    pd.testing.assert_frame_equal(own, end, check_exact=True)
            if max(entry["shares"]) < 1:
                assert not any(own["rank_min"].equals(end["rank_min"]) for end in ends)
    times = {p: p.stat().st_mtime_ns for p in (outputs / "runs").rglob("metrics.json")}
    again = cli("merge", "outputs/sweeps/s", "--alpha", "0,0.3,1", cwd=tmp_path)
    assert "6 of them done" in again and "started" not in again
    assert times == {p: p.stat().st_mtime_ns for p in (outputs / "runs").rglob("metrics.json")}
    cli("freeze", "outputs/sweeps/s", "published", cwd=tmp_path)
    frame = pd.read_csv(tmp_path / "published" / "merged.csv")
    assert set(frame["n_seeds"]) == {2} and set(frame["word"].dropna()) == {"parent", "not tested"}
    ends = frame[(frame["word"] == "parent") & (frame["alpha"] == frame["against"])]
    assert (ends[["mono_delta", "cross_delta"]] == 0).all(axis=None) and len(ends) == 2
    for name in ("on-other", "on-pool_20"):
        assert len(pd.read_csv(tmp_path / "published" / name / "merged.csv")) == len(frame)
        assert (tmp_path / "published" / name / "merged.png").stat().st_size > 5_000
    assert str(tmp_path) not in (tmp_path / "published" / "runs.json").read_text()


@pytest.mark.slow
def test_a_killed_command_goes_on_to_the_same_bytes(trained_sweep, tmp_path):
    words = ["merge", "outputs/sweeps/s", "--alpha", "0.3,0.6", "--seeds", "0"]
    whole = copied(trained_sweep, tmp_path / "whole")
    cli(*words, cwd=tmp_path / "whole")
    entries = records.merged(whole / "sweeps" / "s")
    broken = copied(trained_sweep, tmp_path / "broken")
    program = ready.start(["-m", "hybrid_sweep", *words], cwd=tmp_path / "broken")
    folders = [broken / "runs" / entry["run_id"] for entry in entries]
    wait_for(lambda: any((folder / "status.json").is_file() for folder in folders), 120)
    program.kill()
    program.wait(60)
    wait_for(lambda: not any(_held(folder) for folder in folders), 120)
    # as if it had been stopped while a model was written
    for folder in folders:
        if folder.is_dir():
            (folder / ".tmp-left").mkdir(exist_ok=True)
        shutil.rmtree(folder / "evaluations", ignore_errors=True)
    cli(*words, cwd=tmp_path / "broken")
    assert records.merged(broken / "sweeps" / "s") == entries
    assert results(broken, entries) == results(whole, entries)
    assert not list((broken / "runs").rglob(".tmp-*"))


def _held(folder: Path) -> bool:
    from hybrid_sweep.utils.locks import is_held

    return is_held(folder / "lock")


@pytest.mark.slow
def test_an_interrupted_command_says_so_and_leaves_no_worker(trained_sweep, tmp_path):
    outputs = copied(trained_sweep, tmp_path)
    words = ["merge", "outputs/sweeps/s", "--alpha", "0.45", "--seeds", "1"]
    program = ready.start(["-m", "hybrid_sweep", *words], cwd=tmp_path)
    wait_for(lambda: bool(list(outputs.glob("runs/*/merge.json"))), 120)
    (record,) = outputs.glob("runs/*/merge.json")
    wait_for(lambda: (record.parent / "status.json").is_file(), 120)
    program.send_signal(signal.SIGTERM)
    assert program.wait(60) == 130
    wait_for(lambda: not _held(record.parent), 60)
    cli(*words, cwd=tmp_path)
    assert (record.parent / "per_query.parquet").is_file()


@pytest.mark.slow
def test_a_kept_model_is_the_mean_of_its_parents(trained_sweep, tmp_path):
    from safetensors.numpy import load_file

    outputs = copied(trained_sweep, tmp_path)
    words = ["--of", "0,1", "--uniform", "--seeds", "0", "--keep-models"]
    cli("merge", "outputs/sweeps/s", *words, cwd=tmp_path)
    (entry,) = records.merged(outputs / "sweeps" / "s")
    weights = [
        load_file(outputs / "runs" / name / "model" / "model.safetensors")
        for name in (*entry["parents"], entry["run_id"])
    ]
    for name, value in weights[2].items():
        wanted = 0.5 * weights[0][name].astype(float) + 0.5 * weights[1][name].astype(float)
        assert np.array_equal(value, wanted.astype(np.float32)), name
    assert json.loads((outputs / "runs" / entry["run_id"] / "merge.json").read_text()) == entry
    folder = outputs / "runs" / entry["run_id"] / "model"
    kept = state(folder)
    shutil.rmtree(folder)
    cli("merge", "outputs/sweeps/s", *words, cwd=tmp_path)  # also of an average that is done
    assert state(folder) == kept
