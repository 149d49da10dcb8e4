"""Modules of the user's own: found and hashed without being run, imported from what was hashed."""

import os
import py_compile
import sys

import pytest

from hybrid_sweep.utils import own_code
from tests.refused import refused

FIELD = "trainer.loss"


@pytest.fixture
def write(tmp_path):
    """Writes a module, which is forgotten after the test."""
    before = set(sys.modules)

    def make(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    yield make
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def load(name, folder):
    return own_code.load(FIELD, name, own_code.source_of(FIELD, name, [folder]))


@pytest.mark.parametrize("name", ["a:b", "a.b_1.c:D", "_a:_b"])
def test_names(name):
    assert own_code.NAME.fullmatch(name)


@pytest.mark.parametrize(
    "name", ["a", ":a", "a:", "a:b:c", "a.:b", "a/b:c", "a b:c", "é:b", "a:b\n"]
)
def test_what_is_no_name(name):
    assert not own_code.NAME.fullmatch(name)


def test_to_find_and_hash_a_module_runs_nothing(write, tmp_path):
    write("own_package/__init__.py", "import pathlib; pathlib.Path(__file__ + '.ran').touch()")
    file = write("own_package/losses.py", "import pathlib; pathlib.Path(__file__ + '.ran').touch()")
    source = own_code.source_of(FIELD, "own_package.losses:f", [tmp_path])
    assert (source.file, source.folder) == (file, tmp_path) and len(source.digest) == 16
    whole = own_code.source_of(FIELD, "own_package:f", [tmp_path])
    assert whole.folder == tmp_path and whole.digest == source.digest
    assert list(tmp_path.rglob("*.ran")) == []


def test_a_module_of_a_package_finds_its_neighbours(write, tmp_path):
    write("own_tools/__init__.py", "")
    write("own_tools/numbers.py", "five = 5")
    write("own_tools/losses.py", "from own_tools.numbers import five\nfrom . import numbers\n")
    assert load("own_tools.losses:five", tmp_path) == 5
    assert str(tmp_path) not in sys.path


def test_what_runs_is_what_was_hashed_and_not_bytecode_of_an_earlier_edit(write, tmp_path):
    """Bytecode that Python keeps is told apart by size and whole seconds."""
    path = write("own_edited.py", "value = 1\n")
    os.utime(path, (10**9, 10**9))
    py_compile.compile(str(path))
    assert list(tmp_path.rglob("*.pyc"))
    first = own_code.source_of(FIELD, "own_edited:value", [tmp_path])
    path.write_text("value = 2\n")
    os.utime(path, (10**9, 10**9))
    second = own_code.source_of(FIELD, "own_edited:value", [tmp_path])
    assert first.digest != second.digest
    assert own_code.load(FIELD, "own_edited:value", second) == 2
    assert own_code.load(FIELD, "own_edited:value", first) == 1


@pytest.mark.parametrize(
    ("text", "name", "fact"),
    [
        (None, "own_absent:f", "own_absent"),
        ("", "own_module:f", "has no f"),
        ("import no_such_module_at_all", "own_module:f", "no_such_module_at_all"),
        ("def f(:", "own_module:f", "SyntaxError"),
        ("raise SystemExit(3)", "own_module:f", "SystemExit"),
        (None, "sys:path", "sys"),
    ],
)
def test_what_cannot_be_imported_is_refused(write, tmp_path, text, name, fact):
    if text is not None:
        write("own_module.py", text)
    with refused("config.trainer.loss", f"{FIELD}={name}: ", fact):
        load(name, tmp_path)
    assert "own_module" not in sys.modules or text == ""


def test_a_name_that_an_installed_module_has_is_refused(write, tmp_path):
    write("yaml.py", "safe_load = None")
    with refused("config.trainer.loss", "two modules", str(tmp_path / "yaml.py")):
        load("yaml:safe_load", tmp_path)


def test_an_installed_module_is_found(tmp_path):
    source = own_code.source_of(FIELD, "hybrid_sweep.training.loss:info_nce", [tmp_path])
    assert source.file.name == "loss.py"
    assert load("hybrid_sweep.training.loss:info_nce", tmp_path).__name__ == "info_nce"
