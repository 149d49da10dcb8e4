"""From Hydra's words to typed points: the one place that composes, so that `plan`, `run` and the
launcher agree.
"""

import copy
import dataclasses
import difflib
import functools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hybrid_sweep.config.origin import with_origin
from hybrid_sweep.config.rules import check_paths, check_used
from hybrid_sweep.config.schema import SCHEMAS, Config, config_dir, register
from hybrid_sweep.config.validate import nearest, typed
from hybrid_sweep.config.varied import Varied, numbers
from hybrid_sweep.config.words import as_typed, is_list
from hybrid_sweep.config.words import key_of as key_of_word
from hybrid_sweep.utils.errors import UserError, config_key

Job = tuple[tuple[str, ...], Config]  # a point with the words that compose it


@contextmanager
def _composer(search: str | None = None) -> Iterator[Any]:
    """Give Hydra's compose function over conf/ (and `search`, the user's --config-dir, before
    it).
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    register()
    if GlobalHydra.instance().is_initialized():
        yield compose  # inside `run`, Hydra already knows the folders
        return
    with initialize_config_dir(str(config_dir().resolve()), version_base="1.3"):
        yield functools.partial(_remembered, compose, search)


MOST_COMPOSED = 100
# what Hydra has composed, by the words and the state of the files
_composed: dict[tuple[Any, ...], Any] = {}


def _remembered(
    compose: Any, search: str | None, name: str, overrides: list[str], **more: Any
) -> Any:
    """Return what Hydra composes of the words: the same node, not to be changed, as long as the
    files of the config stay.
    """
    if search:
        extra = [f"hydra.searchpath=[file://{search}]"]
    else:
        extra = []
    words = [*overrides, *extra]
    if any("searchpath" in word for word in overrides):  # of files that are not looked at here
        return compose(name, overrides=words, **more)
    key = (_state(search), name, tuple(words), tuple(sorted(more.items())))
    if key not in _composed:
        if len(_composed) >= MOST_COMPOSED:
            _composed.clear()
        _composed[key] = compose(name, overrides=words, **more)
    return _composed[key]


def _state(search: str | None) -> tuple[tuple[str, int, int], ...]:
    """Return path, time and size of each file that a config can be composed of."""
    if search:
        folders = [config_dir(), Path(search)]
    else:
        folders = [config_dir()]
    states = []
    for folder in folders:
        for path in sorted(folder.rglob("*.yaml")):
            about = path.stat()
            states.append((str(path), about.st_mtime_ns, about.st_size))
    return tuple(states)


def points(overrides: Sequence[str], *, multirun: bool, search: str | None = None) -> list[Job]:
    """Return every point that these command-line words mean: one, or the product of a sweep in
    Hydra's order.

    Each comes with the overrides that Hydra gives its job: without the words that steer Hydra
    (hydra.sweep.dir=...). Raises UserError for what cannot be composed (unknown group, option or
    key, wrong type) or is refused by `validate`.
    """
    overrides = as_typed(overrides)
    try:
        return _points(overrides, multirun=multirun, search=search)
    except UserError as error:
        raise with_origin(error, overrides, search) from error


def _points(overrides: Sequence[str], *, multirun: bool, search: str | None) -> list[Job]:
    with _composer(search) as compose:
        if not multirun:
            mode = _guard(lambda: str(_settings(compose, overrides).get("mode") or ""))
            multirun = mode.endswith("MULTIRUN")
        if multirun:
            jobs = _guard(lambda: _jobs(compose, overrides, search))
        else:
            jobs = [tuple(overrides)]
        bases: dict[tuple[str, ...], Any] = {}
        varied = Varied()
        made = []
        for job in jobs:
            words = tuple(word for word in job if not _steers_hydra(word))
            made.append((words, _one(compose, job, bases, varied)))
        return made


def point(overrides: Sequence[str], *, search: str | None = None) -> Config:
    """Return the one point that words mean, whatever an experiment among them says of sweeps.

    Raises:
        UserError: as `points`.
    """
    overrides = as_typed(overrides)
    words = tuple(word for word in overrides if not _steers_hydra(word))
    try:
        with _composer(search) as compose:
            return _one(compose, words, {}, Varied())
    except UserError as error:
        raise with_origin(error, overrides, search) from error


def is_search(overrides: Sequence[str], *, multirun: bool, search: str | None = None) -> bool:
    """Return whether Hydra's sweeper is a search (`hydra/sweeper=optuna`) rather than every
    combination.

    multirun: whether -m is given, in whose place an experiment may say so.

    Raises:
        UserError: for a search of a single run.
    """
    with _composer(search) as compose:
        settings = _guard(lambda: _settings(compose, overrides))
    if str(settings.runtime.choices["hydra/sweeper"]) != "optuna":
        return False
    if not multirun and not str(settings.get("mode") or "").endswith("MULTIRUN"):
        raise UserError(
            "hydra/sweeper=optuna: a search makes many runs; add -m", key="search.single"
        )
    return True


def launcher(overrides: Sequence[str], *, search: str | None = None) -> str:
    """Return the name of Hydra's launcher that a sweep of these words has: local, unless they or an
    experiment say otherwise.
    """
    with _composer(search) as compose:
        settings = _guard(lambda: _settings(compose, overrides))
    return str(settings.runtime.choices["hydra/launcher"])


def searched(
    overrides: Sequence[str], *, search: str | None = None
) -> tuple[list[Any], dict[str, Any]]:
    """Return Hydra's reading of the parameters of its sweeper and, behind them, of the words that
    set keys of a point; and the settings of the sweeper.
    """
    from omegaconf import OmegaConf

    with _composer(search) as compose:
        settings = _guard(lambda: _settings(compose, overrides))
        parsed = _guard(lambda: _sweep_words(settings, overrides, search))
    own = [one for one in parsed if not _steers_hydra(str(one.get_key_element()))]
    sweeper_settings: Any = OmegaConf.to_container(settings.sweeper)
    return own, sweeper_settings


def _steers_hydra(word: str) -> bool:
    return word.lstrip("+~").startswith(("hydra.", "hydra/"))


def _settings(compose: Any, overrides: Sequence[str]) -> Any:
    """Return Hydra's own part of the config of a sweep, which no value of a point changes unless it
    refers to one.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    parsed = OverridesParser.create().parse_overrides(list(overrides))
    plain, chosen = [], []
    for word, override in zip(overrides, parsed, strict=True):
        if not override.is_sweep_override():
            plain.append(word)
            if not _is_value(word, override):
                chosen.append(word)
    settings = compose("config", overrides=chosen, return_hydra_config=True).hydra
    if "${" in str(OmegaConf.to_container(settings.sweeper, resolve=False)):
        settings = compose("config", overrides=plain, return_hydra_config=True).hydra
    return settings


def _is_value(word: str, parsed: Any) -> bool:
    """Return whether a word sets a plain value of a point: no group, no sweep, and nothing that
    steers Hydra.
    """
    if (
        parsed.type is None
        or parsed.type.name != "CHANGE"
        or parsed.is_sweep_override()
        or _steers_hydra(word)
    ):
        return False
    return parsed.package is None and ("." in parsed.key_or_group or parsed.key_or_group == "seed")


def _jobs(compose: Any, overrides: Sequence[str], search: str | None) -> list[tuple[str, ...]]:
    """Return the product of the sweep, expanded by Hydra's own basic sweeper."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    parsed = _sweep_words(_settings(compose, overrides), overrides, search)
    return [tuple(job) for batch in BasicSweeper.split_arguments(parsed, None) for job in batch]


def _sweep_words(settings: Any, overrides: Sequence[str], search: str | None) -> list[Any]:
    """Return Hydra's reading of the parameters of its sweeper and, behind them, of the words.

    settings: Hydra's own part of the config.
    """
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.utils import create_config_search_path
    from hydra.core.override_parser.overrides_parser import OverridesParser

    places = create_config_search_path(str(config_dir().resolve()))
    if search:
        places.append("command-line", f"file://{search}")
    # It knows the names that glob(...) stands for.
    parser = OverridesParser.create(config_loader=ConfigLoaderImpl(config_search_path=places))
    params = [f"{key}={value}" for key, value in (settings.sweeper.get("params") or {}).items()]
    parsed: list[Any] = parser.parse_overrides([*params, *overrides])
    return parsed


def _one(
    compose: Any, overrides: tuple[str, ...], bases: dict[tuple[str, ...], Any], varied: Varied
) -> Config:
    """Return the checked config of the words of a point.

    Args:
        compose: Hydra's function.
        overrides: the words, without those that steer Hydra.
        bases: what was composed of groups alone, by their words.
        varied: what was composed of the points before, for those like them.
    """
    parsed = _parsed(overrides)
    words = None
    if parsed is not None:
        words = numbers(overrides, parsed, _is_value)
    config = varied.like(words)
    if config is None:
        node = None
        if parsed is not None:
            node = _from_base(compose, overrides, parsed, bases)
        if node is None:
            node = _guard(lambda: compose("config", overrides=list(overrides)))
        config = typed(node)
        varied.keep(words, node)
    check_used(config)
    check_paths(config)
    return config


def _parsed(overrides: Sequence[str]) -> list[Any] | None:
    """Return Hydra's reading of words that are choices of groups or plain values; None where there
    is another word, which is left to Hydra, as is saying what is wrong with it.
    """
    from hydra.errors import HydraException

    read = []
    for word in overrides:
        try:
            override = _read(word)
            changes = (
                override.type is not None
                and override.type.name == "CHANGE"
                and not override.is_sweep_override()
            )
            group = override.package is not None or (changes and isinstance(override.value(), str))
        except HydraException:
            return None
        if _steers_hydra(word) or not (_is_value(word, override) or group):
            return None
        read.append(override)
    return read


@functools.lru_cache(maxsize=10_000)
def _read(word: str) -> Any:
    """Return Hydra's reading of a word, not to be changed: the points of a sweep share most."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create().parse_override(word)


def _from_base(
    compose: Any,
    overrides: tuple[str, ...],
    parsed: Sequence[Any],
    bases: dict[tuple[str, ...], Any],
) -> Any:
    """Return what Hydra composes of these words, by setting values in what it composed of the
    groups among them; else None.

    The points of a sweep mostly choose the same groups, and a tenth of a second for each adds up.
    parsed: Hydra's reading of the words. bases: what was composed of groups alone.
    """
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        plain = list(map(_is_value, overrides, parsed))
        groups = tuple(word for word, value in zip(overrides, plain, strict=True) if not value)
        if groups not in bases:
            bases[groups] = compose("config", overrides=list(groups))
        node = copy.deepcopy(bases[groups])
        for value, override in zip(plain, parsed, strict=True):
            if value:
                OmegaConf.update(node, override.key_or_group, override.value(), merge=True)
        return node
    except (HydraException, OmegaConfBaseException):
        return None


def _guard(action: Any) -> Any:
    """Run `action`, turning what Hydra and OmegaConf say about a user's mistake into one line."""
    from hydra.errors import HydraException, MissingConfigException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import MarkedYAMLError

    try:
        return action()
    except MarkedYAMLError as error:
        mark = error.problem_mark
        reason = error.problem
        where = "a file of the config"
        if mark:
            where = f"{mark.name}, line {mark.line + 1}"
        raise UserError(f"{where}: is not YAML ({reason})", key="config.yaml") from error
    except MissingConfigException as error:
        missing = error.missing_cfg_file or ""
        options = list(error.options or [])
        if not options:
            raise UserError(one_line(error), key=key_of(error)) from error
        group, _, name = missing.rpartition("/")
        raise UserError(
            f"{group or 'config'}={name}: unknown name; {nearest(name, options)}",
            key="config.unknown_name",
        ) from error
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(one_line(error), key=key_of(error)) from error


def one_line(error: BaseException) -> str:
    """Return one line of an exception's words: the key, the reason, no hints about Hydra's
    internals.
    """
    from hydra.errors import OverrideParseException

    if isinstance(error, OverrideParseException):
        return (
            f"{error.override}: not a valid override, which is KEY=VALUE"
            f" ({error.message.splitlines()[0]})"
        )
    key, text = _said(error)
    word = re.match(r"Ambiguous value for argument '([^']*)'", text)
    if word and (listed := _as_list(word[1])):
        return listed
    if "is not a ListConfig" in text and key:
        return f"{key}: a list has brackets, in quotes for the shell: '{key}=[A,B]'"
    text = re.sub(
        r"^Ambiguous value for argument '([^']*)'", r"\1: several values are a sweep; add -m", text
    )
    text = re.sub(
        r"^Sweep parameters '([^']*)' requires --multirun.*",
        r"\1: several values are a sweep; add -m",
        text,
    )
    text = re.sub(
        r"^Multiple values for (\S+)\..*", r"\1: given twice; write \1=NAME, without a +", text
    )
    text = re.sub(
        r".*'hydra/launcher/submitit_slurm'.*",
        "hydra/launcher=slurm: pip install 'hybrid-sweep[slurm]' first",
        text,
    )
    text = re.sub(
        r"^Could not override ''.*", "'=': not a valid override, which is KEY=VALUE", text
    )
    text = re.sub(r"^Could not override '([^']*)'.*", r"\1: no such group", text)
    file = _file_at_fault(error)
    if _is_unknown(text):
        return f"{file}{key}: unknown key{_near_key(str(key))}"
    return file + (f"{key}: {text}" if key and not text.startswith(str(key)) else text)


def _as_list(word: str) -> str | None:
    """Return how to write several values of a key that takes a list; None for another key."""
    key, _, value = word.partition("=")
    name = key_of_word(key)
    if not is_list(name):
        return None
    return f"{word}: a list has brackets, in quotes for the shell: '{name}=[{value}]'"


FILE_AT_FAULT = re.compile(r"In '([^']*)': \w+ raised while composing config:\s*")


def _file_at_fault(error: BaseException) -> str:
    """Return the file that Hydra names as the one with a mistake, as the beginning of a line."""
    named = FILE_AT_FAULT.match(str(error))
    if named:
        return f"{named[1]}.yaml: "
    return ""


def key_of(error: BaseException) -> str:
    """Return the key of what Hydra or OmegaConf refuse: the field at fault, or the kind of
    mistake.
    """
    from hydra.errors import MissingConfigException, OverrideParseException

    key, text = _said(error)
    if "'hydra/launcher/submitit_slurm'" in text:
        return "install.slurm"
    if isinstance(error, OverrideParseException) or text.startswith("Could not override ''"):
        return "config.override"
    if text.startswith("Ambiguous value for argument"):
        return "config.several_values"
    if text.startswith("Multiple values for"):
        return "config.given_twice"
    if isinstance(error, MissingConfigException):
        return "config.unknown_name"
    if text.startswith("Could not override"):
        return "config.unknown_group"
    if _is_unknown(text):
        return "config.unknown_key"
    if key:
        return config_key(str(key))
    return "config.refused"


def _said(error: BaseException) -> tuple[str | None, str]:
    """Return the field at fault, where an exception names one, and the first line of its words."""
    cause = error
    if error.__cause__ is not None:
        cause = error.__cause__
    key = getattr(cause, "full_key", None)
    told = FILE_AT_FAULT.sub("", str(cause if key else error))
    words = [line.strip() for line in told.splitlines() if line.strip()]
    if not key and (stated := re.search(r"^\s*full_key: (\S+)", told, re.MULTILINE)):
        key = stated[1]
    return key, words[0] if words else type(error).__name__


def _is_unknown(text: str) -> bool:
    return (
        "is not in struct" in text
        or "not in 'Config'" in text
        or re.search(r"Key '.*' not in", text) is not None
    )


def _near_key(key: str) -> str:
    """Return a hint for a key that is not there: whose it is, or the known ones whose whole or last
    word is near.
    """
    owners: dict[str, list[str]] = {name: [] for name in _keys(Config())}
    for group, schemas in SCHEMAS.items():
        for name, schema in schemas.items():
            for item in dataclasses.fields(schema):
                owners.setdefault(f"{group}.{item.name}", []).append(f"{group}={name}")
    if owners.get(key):
        return f" here; it belongs to {' and '.join(owners[key])}"
    last = {name.split(".")[-1]: name for name in owners}
    word = key.split(".")[-1]
    near = [name for name in owners if name.split(".")[-1] == word]
    near += difflib.get_close_matches(key, list(owners), n=2, cutoff=0.85)
    near += [last[name] for name in difflib.get_close_matches(word, list(last), n=2, cutoff=0.7)]
    near += [name for name in owners if word in name.split(".")[-1].split("_")]
    if near:
        return f"; did you mean {' or '.join(list(dict.fromkeys(near))[:2])}?"
    return ""


def _keys(node: Any, prefix: str = "") -> set[str]:
    keys = set()
    for item in dataclasses.fields(node):
        value = getattr(node, item.name)
        if dataclasses.is_dataclass(value):
            keys |= _keys(value, f"{prefix}{item.name}.")
        else:
            keys.add(prefix + item.name)
    return keys
