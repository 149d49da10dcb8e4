"""The parts of a training that are a user's own: trainer.loss and trainer.callbacks.

A driver whose command names them tells its workers by words, each with the folder of its module: a
name in a stored config is data, and nothing is imported for it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from hybrid_sweep.config.schema import TrainerConfig
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.own_code import CodeFile, source_of

LOSS, CALLBACKS = "trainer.loss", "trainer.callbacks"
FOLDER = "folder"  # of a module, in the words of a worker


def named(trainer: TrainerConfig) -> list[tuple[str, str]]:
    """Return the field of the config and the name, module:name, of each part."""
    if trainer.loss is not None:
        loss = [(LOSS, trainer.loss)]
    else:
        loss = []
    return [*loss, *((CALLBACKS, name) for name in trainer.callbacks)]


def without(trainer: TrainerConfig) -> TrainerConfig:
    """Return the settings without parts of a user's own, as a stored config is read."""
    return dataclasses.replace(trainer, loss=None, callbacks=[])


def sources(
    trainer: TrainerConfig, folders: Sequence[Path] = ()
) -> dict[tuple[str, str], CodeFile]:
    """Return the file behind each part, by field and name; nothing is imported.

    Args:
        trainer: the settings that name the parts.
        folders: where modules lie that are not installed; none given: the current folder.

    Raises:
        UserError: for a module that is not there.
    """
    places = list(folders) or [Path.cwd()]
    return {(field, name): source_of(field, name, places) for field, name in named(trainer)}


def fingerprints(sources: Mapping[tuple[str, str], CodeFile]) -> dict[str, dict[str, str]]:
    """Return what identifies the parts: {"own_parts": {name: digest}} of the whole files; {} where
    there are none.
    """
    digests = {name: source.digest for (_, name), source in sources.items()}
    if digests:
        return {"own_parts": digests}
    return {}


def words(trainer: TrainerConfig) -> list[str]:
    """Return the words by which a driver passes on the parts of its own command; see `given`.

    A module that has gone meanwhile is left to the worker, which says so for its own point.
    """
    made = [f"{field}={name}" for field, name in named(trainer)]
    try:
        folders = [str(source.folder) for source in sources(trainer).values()]
    except UserError:
        return made
    return [*made, *(f"{FOLDER}={folder}" for folder in dict.fromkeys(folders))]


def given(words: Sequence[str], trainer: TrainerConfig) -> TrainerConfig:
    """Return settings with the parts that the words of a worker name.

    Args:
        words: trainer.loss=NAME, trainer.callbacks=NAME for each class, folder=DIR.
        trainer: the settings, without parts.
    """
    pairs = [word.partition("=")[::2] for word in words]
    losses = [value for key, value in pairs if key == LOSS]
    callbacks = [value for key, value in pairs if key == CALLBACKS]
    return dataclasses.replace(trainer, loss=losses[-1] if losses else None, callbacks=callbacks)


def folders(words: Sequence[str]) -> list[Path]:
    """Return the folders that the words of a worker name."""
    pairs = [word.partition("=")[::2] for word in words]
    return [Path(value) for key, value in pairs if key == FOLDER]
