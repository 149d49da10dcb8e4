"""The evaluations of a run: of its own collection, of each of eval.also, of smaller pools of these
(data.pools), and of centred vectors (sweep.centred).

Each is done, and done again, by itself; those of one collection share its vectors.

No torch here: the driver asks what is missing.
"""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid_sweep.config import validate
from hybrid_sweep.config.schema import Bm25Model, Config, cache_dir
from hybrid_sweep.inputs import prepare
from hybrid_sweep.inputs.prepare import Prepared
from hybrid_sweep.retrieval import limits, measures
from hybrid_sweep.runs import finished, trained
from hybrid_sweep.utils import records
from hybrid_sweep.utils.digests import memory_of
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import read_own_json

Say = Callable[[str], None]
CENTRED = "centred"  # stages of centred vectors are named so


@dataclass(frozen=True)
class Stage:
    """One evaluation of a run.

    name: "" for the run's own collection, else its name in eval.also; of a smaller pool pool_SIZE
    or NAME_pool_SIZE, of centred vectors centred or NAME_centred. source: of which collection it
    is: "" or the name in eval.also. pool: passages of each language that are searched, None for
    all. config: that of the run, as if the stage's collection were its own and only one. folder: of
    per_query.parquet and, written last, metrics.json. vectors: where the collection is encoded
    meanwhile. trained: the languages that the run trains on, sorted. centred: whether each
    passage's vector is searched without the mean of its language's.
    """

    name: str
    source: str
    pool: int | None
    config: Config
    folder: Path
    vectors: Path
    trained: tuple[str, ...]
    centred: bool = False

    @property
    def is_whole(self) -> bool:
        """Return whether all passages are searched, as they are encoded."""
        return self.pool is None and not self.centred


def of(config: Config, run_dir: Path) -> list[Stage]:
    """Return the stages that a config asks for: the run's own collection, then the further ones by
    name, each with its pools.
    """
    alone = dataclasses.replace(config, eval=dataclasses.replace(config.eval, also={}))
    configs = {"": alone}
    for name, data in sorted(config.eval.also.items()):
        configs[name] = dataclasses.replace(alone, data=data, more={})
    languages = trained_languages(config)
    stages = []
    for source, whole in configs.items():
        vectors = folder_of(run_dir, source) / "encoding"
        stages.append(
            Stage(source, source, None, whole, folder_of(run_dir, source), vectors, languages)
        )
        # run files are of all passages
        part = dataclasses.replace(whole, eval=dataclasses.replace(whole.eval, run_depth=0))
        for pool in sorted(set(whole.data.pools)):
            name = pool_name(source, pool)
            folder = folder_of(run_dir, name)
            stages.append(Stage(name, source, pool, part, folder, vectors, languages))
        if config.sweep.centred and not isinstance(config.model, Bm25Model):
            name = centred_name(source)
            folder = folder_of(run_dir, name)
            stages.append(Stage(name, source, None, part, folder, vectors, languages, True))
    return stages


def folder_of(run_dir: Path, name: str) -> Path:
    """Return where the stage of this name has its files."""
    if name:
        return run_dir / "evaluations" / name
    return run_dir


def pool_name(source: str, pool: int | None) -> str:
    """Return the name of the stage that searches a pool of a collection, "" where that is the run's
    own; None: all of it.
    """
    if pool is None:
        return source
    if source:
        return f"{source}_pool_{pool}"
    return f"pool_{pool}"


def centred_name(source: str) -> str:
    """Return the name of the stage that searches the centred vectors of a collection, "" where that
    is the run's own.
    """
    if source:
        return f"{source}_{CENTRED}"
    return CENTRED


def is_centred(name: str) -> bool:
    """Return whether a name is one of `centred_name`: no eval.also may have such a name."""
    return name == CENTRED or name.endswith(f"_{CENTRED}")


def collections(config: Config) -> list[Config]:
    """Return the config of each further collection, as `Stage.config`."""
    return [stage.config for stage in of(config, Path()) if stage.source and stage.is_whole]


def further(config: Config) -> list[str]:
    """Return the names of all stages but that of the run's own collection, sorted."""
    return sorted(stage.name for stage in of(config, Path()) if stage.name)


def untrained(run_dir: Path, cache: Path | None = None) -> str | None:
    """Return why the training of a run has to be done, or done again; None where only evaluations
    can be missing.

    Args:
        run_dir: the folder of the run. cache: the program's cache folder, where digests of the
            model's files are remembered; None computes them.
    """
    try:
        trained.check(run_dir, memory_of(cache, run_dir) if cache else None)
    except trained.Untrained as error:
        return error.reason
    return None


def is_trained(run_dir: Path, cache: Path | None = None) -> bool:
    """Return whether training has left all its files, whole, so that what is missing is only
    evaluated; see `untrained`.
    """
    return untrained(run_dir, cache) is None


def is_done(stage: Stage, run_id: str) -> bool:
    """Return whether the result is there, and holds what is asked: the measures, the run files, of
    a further stage the texts.

    A further collection that is not at hand counts as unchanged.
    """
    asked = stage.config.eval
    if stage.name:
        run_dir = stage.folder.parent.parent
    else:
        run_dir = stage.folder
    if run_dir.name != run_id:
        return False
    try:
        metrics = finished.metrics(run_dir, stage.folder)
    except finished.Unfinished:
        return False
    if not set(asked.measures) <= set(metrics.get("measures", [])):
        return False
    if asked.run_depth > metrics.get("run_depth", 0):
        return False
    if not stage.name:
        return True  # its collection is part of the run's id
    if metrics.get("languages") != sorted(set(stage.config.data.languages)):
        return False
    fingerprint = _fingerprint(stage.config)
    return not fingerprint or metrics.get("fingerprint") == fingerprint


def pending(config: Config, run_dir: Path, run_id: str) -> list[Stage]:
    """Return the stages that are not done, each with the measures and run files that an earlier
    result of it has, too.
    """
    waiting = []
    for stage in of(config, run_dir):
        if is_done(stage, run_id):
            continue
        asked = stage.config.eval
        try:
            earlier = records.metrics(stage.folder)
        except records.Broken:
            earlier = None
        if earlier is not None and earlier["run_id"] == run_id:
            named = list(dict.fromkeys([*asked.measures, *_known_measures(earlier)]))
            depth = max(asked.run_depth, earlier.get("run_depth", 0))
            asked = dataclasses.replace(asked, measures=named, run_depth=depth)
        its = dataclasses.replace(stage.config, eval=asked)
        waiting.append(dataclasses.replace(stage, config=its))
    return waiting


def _known_measures(metrics: dict[str, Any]) -> list[str]:
    """Return the further measures of an earlier result; [] where this version does not know all of
    them.
    """
    named = list(metrics.get("measures", []))
    try:
        measures.check(named)
    except UserError:
        return []
    return named


def check(config: Config, main: Prepared, say: Say) -> None:
    """Build what the further stages of a config read, and refuse what no evaluation could do:
    before anything is trained.

    Args:
        config: of a run.
        main: what it reads itself.
        say: is told what is built.

    Raises:
        UserError: as `prepared` does; for a split without texts, ids that a run file cannot hold,
            and more cells of an index than passages.
    """
    for stage in of(config, Path()):
        if stage.is_whole:
            _check_texts(stage, prepared(stage, main, say))


def _check_texts(stage: Stage, texts: Prepared) -> None:
    """Refuse an evaluation that would find no texts, or could not write or search them."""
    asked = stage.config.eval
    collection = texts.collection
    is_ivf = asked.index == "ivf" and not isinstance(stage.config.model, Bm25Model)
    try:
        for kind, table, splits in (
            ("query", collection.queries, (asked.split,)),
            ("passage", collection.passages, (asked.split, "*")),
        ):
            if not limits.counts(table["split"]).keys() & set(splits):
                raise UserError(
                    f"nothing to evaluate: no {kind} of {collection.name} in the split"
                    f" {asked.split} and these languages; choose others",
                    key="evaluation.no_texts",
                )
            if asked.run_depth:
                limits.check_ids(limits.part(table, splits, "id"))
            if is_ivf and kind == "passage":
                fewest = min(limits.counts(limits.part(table, splits, "lang")).values())
                limits.check_cells(asked.ivf_lists, fewest)
    except UserError as error:
        where = ""
        if stage.source:
            where = f"eval.also.{stage.source}: "
        raise UserError(f"{where}{error}", key=error.key) from error


def prepared(stage: Stage, main: Prepared, say: Say = print) -> Prepared:
    """Return what the evaluation of a stage reads; `main` is the run's own, whose model folder
    serves all stages.

    Raises UserError, with the name of a further stage, for data that is not there, is bad, or has
    no text to evaluate.
    """
    if not stage.source:
        return main
    try:
        texts = prepare.evaluated(stage.config, main, say)
        collection = texts.collection
        split = stage.config.eval.split
        for table, splits in (
            (collection.queries, {split}),
            (collection.passages, {split, "*"}),
        ):
            if not splits & set(table["split"].unique().to_pylist()):
                raise UserError(
                    f"collection {collection.name} has no split {split} to evaluate",
                    key="data.split_missing",
                )
    except UserError as error:
        raise UserError(f"eval.also.{stage.source}: {error}", key=error.key) from error
    return texts


def trained_languages(config: Config) -> tuple[str, ...]:
    """Return the languages that a run trains on, sorted: those of its own collection and of
    config.more.

    A run that only evaluates the model of another one has the languages of that.
    """
    stored = Path(config.model.path or "").parent
    if config.model.name == "saved" and (stored / "config.yaml").is_file():
        config = validate.stored(stored)
    languages = set(config.data.languages)
    for data in config.more.values():
        languages.update(data.languages)
    return tuple(sorted(languages))


_known: dict[str, str] = {}


def _fingerprint(config: Config) -> str | None:
    """Return the fingerprint of a built collection, read once per process: plan and launch see the
    same content; else None.
    """
    key = json.dumps([dataclasses.asdict(config.data), str(cache_dir(config).absolute())])
    if key not in _known:
        try:
            info: Any = read_own_json(prepare.collection_folder(config) / "info.json")
        except UserError:
            return None
        if not isinstance(info, dict) or "fingerprint" not in info:
            return None
        _known[key] = str(info["fingerprint"])
    return _known[key]
