"""The verb `push`: kept models, each with its card, as repositories of the Hugging Face hub.

What leaves the machine is the saved model and its card, and nothing else of the run.
"""

import dataclasses
import math
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid_sweep.config import validate
from hybrid_sweep.runs import model_card, trained
from hybrid_sweep.runs.model_card import Interval
from hybrid_sweep.utils import records, safe_paths
from hybrid_sweep.utils.arguments import say
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import atomic_dir
from hybrid_sweep.utils.redaction import line_of

DIGITS = 6  # digits of a ratio in the name of a repository


@dataclass(frozen=True)
class PushRequest:
    """What the words of the command ask for.

    source: folder of a run or a sweep. name: ORG/NAME. ratio, seed: of a sweep these points alone.
    licence: of the model, by its identifier on the hub. is_public: whether anybody may see a new
    repository. is_dry: write the folders, and ask no server.
    """

    source: Path
    name: str
    ratio: float | None = None
    seed: int | None = None
    licence: str | None = None
    is_public: bool = False
    is_dry: bool = False


@dataclass(frozen=True)
class Upload:
    """A model to push: the folder of its run, its repository, and what the sweep says of it."""

    run_dir: Path
    name: str
    intervals: tuple[Interval, ...] = ()


def push(asked: PushRequest) -> None:
    """Bring the models that are asked for to the hub, or with is_dry write what would be sent.

    Raises:
        UserError: before anything is sent, for a name that cannot be one, a model that was not kept
            or is not the one that was saved, and without a token; while it is sent, for what the
            server refuses.
    """
    safe_paths.check_links(asked.source)
    uploads = _uploads(asked)
    for upload in uploads:
        _check_name(upload.name)
        _check_model(upload.run_dir)
    if asked.is_dry:
        places = [asked.source.resolve().parent.parent / "hub" / one.name for one in uploads]
        for upload, folder in zip(uploads, places, strict=True):
            _check_place(folder, upload.run_dir)
        for upload, folder in zip(uploads, places, strict=True):
            with atomic_dir(folder) as temporary:
                _stage(upload, asked, temporary)
            say(f"{upload.name}: {folder} holds what would be pushed; nothing was sent")
        return
    api = _api()
    for upload in uploads:
        with tempfile.TemporaryDirectory() as temporary:
            _stage(upload, asked, Path(temporary))
            say(f"{upload.name}: {_send(api, upload.name, Path(temporary), asked.is_public)}")


def _uploads(asked: PushRequest) -> list[Upload]:
    """Return the models of a run, or of the points of a sweep that are asked for."""
    if not (asked.source / "points.json").is_file():
        if asked.ratio is not None or asked.seed is not None:
            raise UserError(
                f"{asked.source} is no sweep (no points.json), so that --ratio and --seed choose"
                " nothing: leave them out",
                key="push.no_sweep",
            )
        return [Upload(asked.source, asked.name)]
    runs = asked.source.resolve().parent.parent / "runs"
    intervals = _intervals(asked.source)
    uploads = []
    for row in records.points(asked.source)["points"]:
        ratio, seed = round(float(row["ratio"]), DIGITS), row["seed"]
        is_chosen = asked.ratio in (None, ratio) and asked.seed in (None, seed)
        if row["kind"] == "trained" and is_chosen:
            name = f"{asked.name}-r{ratio:g}-s{seed}"
            run_dir = safe_paths.inside(runs, row["run_id"])
            uploads.append(Upload(run_dir, name, tuple(intervals.get(ratio, ()))))
    if not uploads:
        raise UserError(
            f"{asked.source}: no trained point at --ratio {asked.ratio} and --seed {asked.seed}"
            " (None: any); hybrid-sweep plan lists them",
            key="push.no_point",
        )
    return uploads


def _intervals(sweep_dir: Path) -> dict[float, list[Interval]]:
    """Return, by ratio, the means over seeds that have an interval, from the rows of the sweep."""
    from hybrid_sweep.report import load, results

    table = results.aggregate(load.load([sweep_dir]))
    by_ratio: dict[float, list[Interval]] = {}
    for setting in model_card.SETTINGS:
        for measure in sorted(set(table["measure"][table["setting"] == setting])):
            for row in results.picked(table, setting, measure):
                low, high = float(row["low"]), float(row["high"])
                if math.isfinite(low) and math.isfinite(high):
                    mean, seeds = float(row["mean"]), int(row["n_seeds"])
                    interval = Interval(setting, measure, mean, low, high, seeds)
                    by_ratio.setdefault(float(row["ratio"]), []).append(interval)
    return by_ratio


def _check_name(name: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
        if name.count("/") != 1:
            raise HFValidationError("it must be ORG/NAME")
    except HFValidationError as error:
        raise UserError(
            f"{name} is no name of a repository: {line_of(error)}", key="push.name"
        ) from error


def _check_model(run_dir: Path) -> None:
    """Raise UserError where a run has no model that can be pushed."""
    if not (run_dir / "config.yaml").is_file():
        raise UserError(
            f"{run_dir}: neither a run (no config.yaml) nor a sweep (no points.json)",
            key="push.no_run",
        )
    average = records.merge(run_dir)
    if average is None:
        trained.check(run_dir, None)
    elif not (run_dir / "model").is_dir():
        raise UserError(
            f"{run_dir}: the averaged model was not kept; hybrid-sweep merge --keep-models keeps"
            " it",
            key="push.average_not_kept",
        )


def _check_place(folder: Path, run_dir: Path) -> None:
    """Raise UserError where a folder that a dry run would replace holds more than an earlier one
    wrote: a clone of the repository, or notes.
    """
    own = {Path(name).relative_to("model") for name in trained.model_files(run_dir)}
    own |= {parent for name in own for parent in name.parents} | {Path(model_card.CARD)}
    others = sorted(path for path in folder.rglob("*") if path.relative_to(folder) not in own)
    if folder.is_file() or folder.is_symlink():
        others = [folder]
    if others:
        raise UserError(
            f"{others[0]} was not written by a dry run, and {folder} would be replaced: move it",
            key="push.occupied",
        )


def _stage(upload: Upload, asked: PushRequest, folder: Path) -> None:
    """Write into a folder what a repository is to hold: the files of the saved model, and the card.

    Notes that were put beside the model, and hidden files, stay here.
    """
    run_dir = upload.run_dir
    for name in trained.model_files(run_dir):
        target = folder / Path(name).relative_to("model")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(run_dir / name, target)
    facts = model_card.stored_facts(run_dir, validate.stored(run_dir))
    facts = dataclasses.replace(
        facts, intervals=upload.intervals, name=upload.name, licence=asked.licence
    )
    (folder / model_card.CARD).write_text(model_card.card_text(facts), encoding="utf-8")


def _api() -> Any:
    """Return the client of the hub.

    Raises:
        UserError: where it may not be asked, or knows no token.
    """
    from huggingface_hub import HfApi, constants, get_token

    if constants.HF_HUB_OFFLINE:
        raise UserError(
            "HF_HUB_OFFLINE is set, so that the hub is not asked: unset it, or give --dry-run",
            key="push.offline",
        )
    if not get_token():
        raise UserError(
            "no token for the Hugging Face hub: run `hf auth login`, or set HF_TOKEN to one that"
            " may write; --dry-run needs none",
            key="push.no_token",
        )
    return HfApi()


def _send(api: Any, name: str, folder: Path, is_public: bool) -> str:
    """Bring a repository up to date with a folder in one commit, and return its address; what the
    repository has besides stays.
    """
    try:
        address = api.create_repo(name, private=not is_public, exist_ok=True)
        message = "Model and card by hybrid-sweep push"
        api.upload_folder(repo_id=name, folder_path=folder, commit_message=message)
    except Exception as error:  # the client raises many kinds
        raise UserError(
            f"{name}: the hub did not take it ({line_of(error)}); the same command tries again",
            key="push.refused",
        ) from error
    return str(address)


def run_words(words: Sequence[str]) -> int:
    """Run the verb on its words, and return the exit code."""
    from hybrid_sweep.utils.arguments import Parser

    parser = Parser("push")
    parser.add_argument("source", metavar="RUN_DIR|SWEEP_DIR", type=Path)
    parser.add_argument("name", metavar="ORG/NAME")
    parser.add_argument("--ratio", type=float)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--license", dest="licence")
    parser.add_argument("--public", action="store_true")
    parser.add_argument("--dry-run", action="store_true")
    args = parser.parse_intermixed_args(list(words))
    ratio = None if args.ratio is None else round(args.ratio, DIGITS)
    asked = PushRequest(
        args.source, args.name, ratio, args.seed, args.licence, args.public, args.dry_run
    )
    push(asked)
    return 0
