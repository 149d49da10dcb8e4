"""Functions and classes of the user's own, named as `module:name`: found, hashed, imported.

To find and to hash a module runs none of it. Who imports one must have its name from the words of
the user's own command: a name in a stored file is data.
"""

import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from hybrid_sweep.utils.digests import LENGTH
from hybrid_sweep.utils.errors import UserError, config_key

_WORD = r"[A-Za-z_][A-Za-z0-9_]*"
NAME = re.compile(rf"{_WORD}(\.{_WORD})*:{_WORD}")
RULE = "must be module:name, as in my_losses:margin_loss"


@dataclass(frozen=True)
class CodeFile:
    """The file of a module, read once: what is hashed is what runs.

    module: its dotted name. file: absolute. folder: from which it is imported, absolute.
    """

    module: str
    file: Path
    folder: Path
    content: bytes

    @property
    def digest(self) -> str:
        """Return the digest of the whole file."""
        return hashlib.sha256(self.content).hexdigest()[:LENGTH]


class _FromSource(SourceFileLoader):
    """Compiles the content of a source: bytecode that was kept may be that of an earlier edit."""

    def __init__(self, source: CodeFile) -> None:
        super().__init__(source.module, str(source.file))
        self.source = source

    def path_stats(self, path: Any) -> Any:
        raise OSError  # then no bytecode is looked for

    def get_data(self, path: Any) -> bytes:
        return self.source.content


def source_of(field: str, name: str, folders: Sequence[Path]) -> CodeFile:
    """Return the file of the module of `name`, without running anything.

    Args:
        field: of the config, for the message.
        name: module:name.
        folders: where it is looked for beside the installed modules.

    Raises:
        UserError: where there is no such module, it has no Python file, or a folder holds another
            one than the one that is installed.
    """
    module = name.partition(":")[0]
    importlib.invalidate_caches()
    specs = _installed(module), _spec(module, [str(folder) for folder in folders])
    origins = [Path(spec.origin or "") for spec in specs if spec is not None]
    if not origins:
        places = " or ".join(str(folder) for folder in folders)
        _refuse(field, name, f"there is no {module}.py in {places}, and no installed module")
    if len({origin.resolve() for origin in origins}) > 1:
        shown = " and ".join(str(origin) for origin in origins)
        _refuse(field, name, f"two modules have this name, {shown}; rename yours")
    file = origins[0].absolute()
    if file.suffix != ".py":
        _refuse(field, name, f"{module} has no Python file, whose text would be hashed")
    # A package is imported from the folder above its own.
    levels = module.count(".") + (1 if file.name == "__init__.py" else 0)
    return CodeFile(module, file, file.parents[levels], file.read_bytes())


def load(field: str, name: str, source: CodeFile) -> Any:
    """Import the module of a source and return what `name` names in it.

    Raises:
        UserError: where it cannot be imported, or does not have the name.
    """
    attribute = name.partition(":")[2]
    try:
        with _importable(str(source.folder)):
            module = _imported(source)
    except (Exception, SystemExit) as error:
        lines = str(error).splitlines() or [""]
        _refuse(field, name, f"{source.file}: {type(error).__name__}: {lines[0]}")
    if Path(module.__file__ or "").resolve() != source.file.resolve():
        _refuse(field, name, f"{source.module} is the module {module.__file__} here; rename yours")
    if not hasattr(module, attribute):
        _refuse(field, name, f"{source.file} has no {attribute}")
    return getattr(module, attribute)


def _refuse(field: str, name: str, reason: str) -> NoReturn:
    raise UserError(f"{field}={name}: {reason}", key=config_key(field))


def _installed(module: str) -> ModuleSpec | None:
    """Return the specification of a module that Python finds by itself."""
    first, _, rest = module.partition(".")
    try:
        spec = importlib.util.find_spec(first)
    except ValueError:  # the program that runs, which has none
        return None
    return _inner(spec, first, rest)


def _spec(module: str, folders: list[str]) -> ModuleSpec | None:
    first, _, rest = module.partition(".")
    return _inner(PathFinder.find_spec(first, folders), first, rest)


def _inner(spec: ModuleSpec | None, name: str, rest: str) -> ModuleSpec | None:
    """Return the specification of a module inside a package, whose own code does not run."""
    for word in rest.split(".") if rest else []:
        if spec is None or spec.submodule_search_locations is None:
            return None
        name = f"{name}.{word}"
        spec = PathFinder.find_spec(name, list(spec.submodule_search_locations))
    return spec


@contextmanager
def _importable(folder: str) -> Iterator[None]:
    """Let imports find what lies in a folder, after all that is installed."""
    if folder in sys.path:
        yield
        return
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _imported(source: CodeFile) -> ModuleType:
    """Return the module of a source: the one that is imported already, or its content run now."""
    name = source.module
    parent, _, last = name.rpartition(".")
    package = None
    if parent:
        package = importlib.import_module(parent)
    if name in sys.modules and not _is_outdated(sys.modules[name], source):
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, source.file, loader=_FromSource(source))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    if package is not None:
        setattr(package, last, module)
    return module


def _is_outdated(module: ModuleType, source: CodeFile) -> bool:
    """Return whether a module was imported here from what its file held before."""
    loader = module.__loader__
    return isinstance(loader, _FromSource) and loader.source != source
