"""From raw values to a checked, typed config: what no collection makes valid is refused in one
clear line.
"""

import copy
import dataclasses
import difflib
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hybrid_sweep.config import own_parts
from hybrid_sweep.config.rules import validate
from hybrid_sweep.config.schema import SCHEMAS, Config, DataConfig, ModelConfig
from hybrid_sweep.utils import records, redaction
from hybrid_sweep.utils.errors import UserError

# What no stored config decides, and the field of the model that it is: to run a folder's code, and
# to use the network. So too the parts of a training that are imported: see `own_parts`.
PERMISSIONS = {"model.remote_code": "remote_code", "model.local_files_only": "local_files_only"}
PARTS = (own_parts.LOSS, own_parts.CALLBACKS, own_parts.FOLDER)


def stored(run_dir: Path) -> Config:
    """Return the typed config of a run, as data: nothing in it is interpolated, and it gives no
    permission.

    A permission (`PERMISSIONS`) comes from the words of the user's own command alone: see
    `permitted`.

    Raises:
        UserError: where config.yaml is absent, broken, holds an interpolation, or has a value that
            is refused.
    """
    from omegaconf import OmegaConf

    content = records.config(run_dir)
    if not content:
        raise UserError(f"{run_dir}: no run there (no config.yaml)", key="run.missing")
    try:
        config = typed(OmegaConf.create(content))
    except UserError as error:
        raise UserError(f"{run_dir / 'config.yaml'}: {error}", key=error.key) from error
    model = dataclasses.replace(config.model, remote_code=False, local_files_only=True)
    return dataclasses.replace(config, model=model, trainer=own_parts.without(config.trainer))


def check_stored(config: Config) -> None:
    """Raise UserError where a config could not be stored and read again as it is, or holds a
    secret.
    """
    records.data(dataclasses.asdict(config), "config", complete=False)
    validate(config)
    redaction.check(config)


def permitted(config: Config, words: Sequence[str]) -> Config:
    """Return a stored config with what the words of a command give: permissions, PERMISSION=true
    or =false each, and parts of the user's own.

    Raises:
        UserError: for another word.
    """
    given: dict[str, Any] = {}
    for word in words:
        key, _, value = word.partition("=")
        if key in PARTS and value:
            continue
        if key not in PERMISSIONS or value not in ("true", "false"):
            names = ", ".join(f"{name}=true" for name in PERMISSIONS)
            raise UserError(f"{word}: must be one of {names}, or =false", key="option.permission")
        given[PERMISSIONS[key]] = value == "true"
    model = dataclasses.replace(config.model, **given)
    made = dataclasses.replace(config, model=model, trainer=own_parts.given(words, config.trainer))
    validate(made)
    return made


def permissions(config: Config) -> list[str]:
    """Return the words by which a driver passes on what its own command permits and names; see
    `permitted`.

    Raises:
        UserError: where the module of a part has gone.
    """
    words = []
    for key, field in PERMISSIONS.items():
        if getattr(config.model, field) != getattr(ModelConfig(), field):
            words.append(f"{key}={str(getattr(config.model, field)).lower()}")
    return [*words, *own_parts.words(config.trainer)]


def typed(node: Any) -> Config:
    """Return a checked `Config` from a composed or stored OmegaConf node; raises UserError for what
    `validate` refuses.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

    try:
        container = OmegaConf.to_container(node, resolve=True)
        assert isinstance(container, dict)
        # What is left of an escaped interpolation would be resolved by the next merge, and by every
        # reader.
        records.data(container, "config", complete=False)
        config = _of_values(container)
    except OmegaConfBaseException as error:
        unknown = isinstance(error, ConfigAttributeError | ConfigKeyError)
        raise UserError(
            f"config: {str(error).splitlines()[0]} ({error.full_key or 'unknown key'})",
            key="config.unknown_key" if unknown else "config.type",
        ) from error
    except (
        AttributeError,
        TypeError,
        ValueError,
        OverflowError,
    ) as error:  # a group that is no mapping, a name that is no text
        raise UserError(
            f"config: a value of another type ({str(error).splitlines()[0]})", key="config.type"
        ) from error
    check_stored(config)
    return config


def typed_with(values: dict[str, Any]) -> Config:
    """Return the checked `Config` of plain values whose texts were checked before: a point of a
    sweep that differs from another one in numbers alone.

    Raises:
        UserError: for what `validate` refuses.
        OmegaConfBaseException: for a value of another type than its field has.
    """
    config = _of_values(values)
    validate(config)
    return config


def _of_values(values: dict[Any, Any]) -> Config:
    from omegaconf import OmegaConf

    parts = {str(key): value for key, value in values.items()}
    further: dict[str, dict[Any, Any]] = {"more": parts.pop("more", None) or {}}
    if isinstance(parts.get("eval"), dict):
        parts["eval"] = dict(parts["eval"])
        further["also"] = parts["eval"].pop("also", None) or {}
    config = _converted(parts)
    for kind, collections in further.items():
        for name, value in collections.items():
            data = OmegaConf.to_object(_in_its_type("data", value))
            assert isinstance(data, DataConfig)
            (config.more if kind == "more" else config.eval.also)[str(name)] = data
    return config


# what the values of a group became, by its name and their repr
_known: dict[tuple[str, str], Any] = {}
MOST_KNOWN = 1000


def _converted(parts: dict[str, Any]) -> Config:
    """Return the config of the values of each group.

    The points of a sweep differ in few groups; each value of a group is converted once.
    """
    from omegaconf import OmegaConf

    keys = {field.name: (field.name, "absent") for field in dataclasses.fields(Config)}
    keys |= {name: (name, repr(value)) for name, value in parts.items()}
    fresh = [name for name, key in keys.items() if key not in _known]
    if len(_known) > MOST_KNOWN and fresh:
        _known.clear()
        fresh = list(keys)
    if fresh:
        given = {name: parts[name] for name in fresh if name in parts}
        for name in given:
            if name in SCHEMAS:
                given[name] = _in_its_type(name, given[name])
        merged: Any = OmegaConf.merge(_schema(Config), given)
        for name in fresh:
            value = merged[name]
            _known[keys[name]] = OmegaConf.to_object(value) if OmegaConf.is_config(value) else value
    return Config(**{name: copy.deepcopy(_known[key]) for name, key in keys.items()})


@functools.cache
def _schema(kind: type) -> Any:
    """Return the OmegaConf node of a dataclass; a merge into it makes a new one."""
    from omegaconf import OmegaConf

    return OmegaConf.structured(kind)


def _in_its_type(group: str, value: dict[str, Any]) -> Any:
    """Return a group's values under its schema, known by the group's name: a stored config comes
    back in its own type.
    """
    from omegaconf import OmegaConf

    schema = SCHEMAS[group]
    kind = schema.get(value.get("name", ""), schema.get("pretrained", DataConfig))
    return OmegaConf.merge(_schema(kind), value)


def nearest(name: str, names: list[str]) -> str:
    """Return a hint for an unknown name: the nearest known ones, and all of them."""
    near = difflib.get_close_matches(name, names, n=2, cutoff=0.5)
    hint = ""
    if near:
        hint = f"did you mean {' or '.join(near)}? "
    return f"{hint}there are: {', '.join(names)}"
