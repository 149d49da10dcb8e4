"""The runs whose weights are averaged: which they are, whether each can be used, and how their
average is evaluated.

All of it is checked before anything is written.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid_sweep.commands.evaluate import check_prepared
from hybrid_sweep.config import schema, validate
from hybrid_sweep.config.schema import Config, DataConfig, ModelConfig, cache_dir
from hybrid_sweep.inputs import prepare
from hybrid_sweep.models.folder import model_fingerprint
from hybrid_sweep.runs import finished, merging, stages, trained
from hybrid_sweep.sweeps import recorded_points
from hybrid_sweep.utils import digests, records, safe_paths
from hybrid_sweep.utils.errors import UserError

# Fields of `recorded_points.settings` and of a config in which two parents may differ.
VARIED = ("batch.cross_lingual_ratio", "batch.added")
REMOTE_CODE = "model.remote_code"
FREE = ("trainer.devices", "trainer.nodes")  # encoding alone gives the same vectors


@dataclass(frozen=True)
class RunPlaces:
    """Where the runs of a sweep lie, and what the words of the command say.

    outputs: the folder of runs/ and sweeps/. name: of the sweep. words: values by the keys
    data.path, more.NAME.path, eval.also.NAME.path, paths.cache and model.remote_code.
    """

    outputs: Path
    name: str
    words: Mapping[str, str]

    def run_dir(self, run_id: str) -> Path:
        """Return the folder of a run."""
        return safe_paths.inside(self.outputs, "runs", run_id)


@dataclass(frozen=True)
class Parent:
    """A trained run with a model that can be used.

    evaluated: the config that evaluates its model, or an average of it and others, but for the
    folder of that model. fingerprints: of its data. model: what names its weights.
    """

    folder: Path
    ratio: float
    seed: int
    evaluated: Config
    settings: Mapping[str, Any]
    fingerprints: Mapping[str, Any]
    model: str


def trained_runs(plan: Mapping[str, Any]) -> dict[int, dict[float, str]]:
    """Return the ids of the trained runs of a sweep, by seed and ratio."""
    runs: dict[int, dict[float, str]] = {}
    for point in plan["points"]:
        if point["kind"] == "trained":
            runs.setdefault(point["seed"], {})[round(point["ratio"], 6)] = point["run_id"]
    return runs


def parents(
    source: RunPlaces,
    runs: Mapping[int, Mapping[float, str]],
    ratios: Sequence[float],
    seeds: Sequence[int],
) -> dict[int, list[Parent]]:
    """Return the runs that are averaged, by seed, in the order of the ratios.

    Args:
        source: where they lie.
        runs: as `trained_runs` gives them.
        ratios: of the parents.
        seeds: each has a run at every ratio.

    Raises:
        UserError: where a run is missing, is not finished, is another one than the sweep says, or
            has no model as it was saved, and where two parents cannot be averaged.
    """
    for seed in seeds:
        for ratio in ratios:
            if ratio not in runs.get(seed, {}):
                raise _lacking(source, runs, ratios, seed)
    return {
        seed: _family([_parent(source, runs[seed][ratio], ratio, seed) for ratio in ratios])
        for seed in seeds
    }


def _lacking(
    source: RunPlaces, runs: Mapping[int, Mapping[float, str]], ratios: Sequence[float], seed: int
) -> UserError:
    whole = []
    for other, by_ratio in sorted(runs.items()):
        if set(ratios) <= by_ratio.keys():
            whole.append(str(other))
    lacking = [f"{ratio:g}" for ratio in ratios if ratio not in runs.get(seed, {})]
    way_out = "run it with hybrid-sweep run"
    if whole:
        way_out += f", or leave the seed out with --seeds {','.join(whole)}"
    there = sorted({ratio for by_ratio in runs.values() for ratio in by_ratio})
    listed = ", ".join(f"{ratio:g}" for ratio in there)
    return UserError(
        f"sweep {source.name}: seed {seed} has no run at r = {', '.join(lacking)} (the sweep has"
        f" r = {listed}); {way_out}",
        key="merge.parent_missing",
    )


def _parent(source: RunPlaces, run_id: str, ratio: float, seed: int) -> Parent:
    folder = source.run_dir(run_id)
    safe_paths.check_links(folder)
    config = _config(source, folder, ratio, seed)
    for stage in stages.of(config, folder):
        problem = finished.problem(folder, stage.folder)
        if problem:
            named = f" on {stage.name}" if stage.name else ""
            raise UserError(
                f"{folder}: the run at r = {ratio:g}, seed {seed} has no result{named} ({problem}):"
                " run the command of the sweep again, which does what is missing",
                key="merge.parent_unfinished",
            )
    evaluated = _evaluation(source, folder, config)
    cache = cache_dir(evaluated)
    try:
        trained.check(folder, digests.memory_of(cache, folder))
    except trained.Untrained as error:
        raise UserError(
            f"{error}; to train this run again, to the same weights: remove"
            f" {folder / 'metrics.json'}, and run the command of the sweep with keep.model=true",
            key=error.key,
        ) from error
    return Parent(
        folder,
        ratio,
        seed,
        evaluated,
        recorded_points.settings(config),
        _data_of(records.identity(folder)["fingerprints"]),
        model_fingerprint(folder / "model", cache),
    )


def _config(source: RunPlaces, folder: Path, ratio: float, seed: int) -> Config:
    """Return the config of a trained run; raises UserError where it is not what its sweep says.

    Code that a model brings is permitted by the words of the command, and by nothing that is
    stored. Parents are averaged only where that code is the same (`merging.difference`), and it is
    a part of the fingerprints of their models, and so of the id of the average.
    """
    config = validate.stored(folder)
    is_trained = config.trainer.max_steps > 0
    own = round(config.batch.cross_lingual_ratio, 6)
    if not is_trained or own != ratio or config.seed != seed:
        raise UserError(
            f"{folder}: its config.yaml is of r = {own:g}, seed {config.seed}"
            f"{'' if is_trained else ', without training'}, and points.json says r = {ratio:g},"
            f" seed {seed}: run the command of the sweep again",
            key="merge.other_run",
        )
    if records.config(folder).get("model", {}).get("remote_code"):
        if REMOTE_CODE not in source.words:
            raise UserError(
                f"{folder}: its model needs Python code of its own, which its average is evaluated"
                f" with; {REMOTE_CODE}=true runs it, if you trust the code in {folder}/model",
                key="merge.remote_code",
            )
        return validate.permitted(config, [f"{REMOTE_CODE}=true"])
    return config


def _data_of(fingerprints: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fingerprints of the collections of a run, as a run of no steps has them."""
    marks = {"collection": fingerprints.get("collection")}
    more = {}
    for name, own in fingerprints.get("more", {}).items():
        more[name] = {"collection": own.get("collection")}
    if more:
        return {**marks, "more": more}
    return marks


def _evaluation(source: RunPlaces, folder: Path, config: Config) -> Config:
    """Return the config by which the model of a run is evaluated as the run itself was.

    No path in the stored config is followed: what needs one is found in the cache, or named by the
    words of the command.
    """
    paths = schema.PathsConfig(str(source.outputs), source.words.get("paths.cache"))
    config = dataclasses.replace(config, paths=paths)
    marks = records.identity(folder)["fingerprints"]
    local = _Local(source, folder, config)
    more = {}
    for name, data in config.more.items():
        mark = marks.get("more", {}).get(name, {}).get("collection")
        more[name] = local.data(f"more.{name}", data, mark)
    also = {}
    for name, data in config.eval.also.items():
        measured = records.metrics(stages.folder_of(folder, name)) or {}
        also[name] = local.data(f"eval.also.{name}", data, measured.get("fingerprint"))
    kept = {
        field.name: getattr(config.model, field.name) for field in dataclasses.fields(ModelConfig)
    }
    # The saved weights have all layers that were built, and the adapters in them.
    kept |= {"name": "saved", "path": None, "layers": None, "lora_rank": 0, "lora_targets": []}
    made = dataclasses.replace(
        config,
        data=local.data("data", config.data, marks.get("collection")),
        more=more,
        model=ModelConfig(**kept),
        eval=dataclasses.replace(config.eval, also=also),
        logger=schema.LoggerConfig(mode="disabled"),
        keep=schema.KeepConfig(model=False),
        sweep=dataclasses.replace(config.sweep, name=source.name),
    )
    return dataclasses.replace(schema.untrained(made), seed=config.seed)


@dataclass(frozen=True)
class _Local:
    """Finds the collections of a run on this machine."""

    source: RunPlaces
    folder: Path
    config: Config

    def data(self, key: str, data: DataConfig, mark: object) -> DataConfig:
        """Return the settings of a collection with a path that may be followed.

        Args:
            key: of these settings.
            data: as stored.
            mark: the fingerprint of the collection.
        """
        local = dataclasses.replace(data, path=None, negatives=None, mirror=None)
        stated = self.source.words.get(f"{key}.path")
        if stated is not None:
            return dataclasses.replace(local, path=stated)
        if data.path is None:
            check_prepared(self.folder, dataclasses.replace(self.config, data=local))
            return local
        cache = cache_dir(self.config)
        built = prepare.built(cache, str(mark))
        if built is None:
            raise UserError(
                f"{self.folder}: its collection {data.name} ({mark}) is not in the cache {cache},"
                " and a path in a stored config is not followed: add"
                f" {key}.path=DIR to the command, or paths.cache=DIR",
                key="stored.data_path",
            )
        return dataclasses.replace(local, path=str(built))


def _family(members: Sequence[Parent]) -> list[Parent]:
    """Return the parents of one seed; raises UserError where two of them cannot be averaged."""
    first = members[0]
    for other in members[1:]:
        key = _first_difference(first, other)
        if key:
            raise UserError(
                f"{first.folder} and {other.folder} differ in {key}: only runs of one sweep that"
                " differ in the ratio alone can be averaged; run both again with one setting",
                key="merge.settings_differ",
            )
        told = merging.difference(first.folder / "model", other.folder / "model")
        if told:
            raise UserError(
                f"{first.folder}/model and {other.folder}/model are of other architectures, or use"
                f" other texts ({told}): only models of one architecture can be averaged",
                key="merge.architecture",
            )
    return list(members)


def _first_difference(first: Parent, second: Parent) -> str:
    """Return the first setting, or kind of data, in which two runs differ beside the ratio."""
    pairs = [
        (first.settings, second.settings),
        (_flat(first.evaluated), _flat(second.evaluated)),
        (first.fingerprints, second.fingerprints),
    ]
    for one, other in pairs:
        for key in sorted({**one, **other}):
            if key not in (*VARIED, *FREE) and one.get(key) != other.get(key):
                return str(key)
    return ""


def _flat(config: Config) -> dict[str, Any]:
    """Return the values of a config by their keys of two levels."""
    values: dict[str, Any] = {}
    for group, value in dataclasses.asdict(config).items():
        if isinstance(value, dict) and group != "more":
            values |= {f"{group}.{name}": inner for name, inner in value.items()}
        else:
            values[group] = value
    return values
