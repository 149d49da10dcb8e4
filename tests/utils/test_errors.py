"""Every refusal has a stable key, and the list of all keys is stored, so that no key changes by
accident.

After a key was added or removed on purpose, write the list anew: python -m tests.utils.test_errors
"""

import ast
import copy
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hybrid_sweep.data import collection
from hybrid_sweep.runs import finished, trained
from hybrid_sweep.utils import digests, records, text_lines
from hybrid_sweep.utils.errors import UserError, config_key, key_of
from tests.refused import refused

ROOT = Path(__file__).parents[2]
STORED = ROOT / "tests" / "error_keys.txt"
KEY = re.compile(r"[a-z][a-z0-9_]*(\.[a-z<][a-z0-9_>]*)+")
ERRORS = {
    "UserError",
    "Broken",
    "Unfinished",
    "Damaged",
    "DamagedCollection",
    "BadLine",
    "Untrained",
}
# a key that is stated elsewhere
PASSED_ON = {"key", "error.key", "bad.key", "key_of(error)", "compose.key_of(error)"}
TAKES_A_KEY = {"refuse", "add", "__init__"}  # functions that get the key from their caller


def _calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Yield each call that makes an error: its file and line, the function that it stands in, and
    the call.
    """
    for path in sorted((ROOT / "hybrid_sweep").rglob("*.py")):
        waiting: list[tuple[str, ast.AST]] = [("", ast.parse(path.read_text()))]
        while waiting:
            function, node = waiting.pop()
            function = node.name if isinstance(node, ast.FunctionDef) else function
            waiting += [(function, inner) for inner in ast.iter_child_nodes(node)]
            if isinstance(node, ast.Call) and _makes_an_error(ast.unparse(node.func)):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", function, node


def _makes_an_error(called: str) -> bool:
    return (
        called.rpartition(".")[2] in ERRORS or called == "refuse" or called.endswith("problems.add")
    )


def _stated(value: ast.expr) -> list[str]:
    """Return the keys that an expression can be; [] where they are stated elsewhere; a part that
    varies is <field>.
    """
    if isinstance(value, ast.Constant):
        return [str(value.value)]
    if isinstance(value, ast.IfExp):
        return _stated(value.body) + _stated(value.orelse)
    if isinstance(value, ast.JoinedStr):
        parts = (
            str(part.value) if isinstance(part, ast.Constant) else "<field>"
            for part in value.values
        )
        return ["".join(parts)]
    text = ast.unparse(value)
    if text.startswith("config_key("):
        return ["config.<field>"]
    if isinstance(value, ast.Call) and text.startswith("key_of(error, "):
        return _stated(value.args[1])
    return [] if text in PASSED_ON else [text]


def _of_compose() -> list[str]:
    """Return the keys that compose.key_of gives to what Hydra and OmegaConf refuse."""
    tree = ast.parse((ROOT / "hybrid_sweep" / "config" / "compose.py").read_text())
    [function] = [
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "key_of"
    ]
    returned = [
        node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Return) and node.value is not None
    ]
    return [key for value in returned for key in _stated(value)]


def _inventory() -> list[str]:
    """Return all keys, sorted."""
    keys = set(_of_compose())
    for _, _, call in _calls():
        keys.update(
            key for word in call.keywords if word.arg == "key" for key in _stated(word.value)
        )
    return sorted(keys)


def test_every_error_has_a_well_formed_key():
    calls = list(_calls())
    assert len(calls) > 300
    for where, function, call in calls:
        given = [word.value for word in call.keywords if word.arg == "key"]
        assert len(given) == 1, f"{where}: no key"
        assert ast.unparse(given[0]) != "key" or function in TAKES_A_KEY, (
            f"{where}: not stated in the call"
        )
        for key in _stated(given[0]):
            assert KEY.fullmatch(key), f"{where}: {key}"
            assert "<" not in key or key.startswith("config."), f"{where}: {key}"


def test_the_list_of_keys_is_the_stored_one():
    assert _inventory() == STORED.read_text().splitlines(), (
        "python -m tests.utils.test_errors writes it anew"
    )


@pytest.mark.parametrize(
    "error",
    [
        UserError("no such thing: x", key="data.test"),
        records.Broken("points.json is no JSON", key="records.json"),
        finished.Unfinished("not finished", key="evaluation.unfinished"),
        digests.Damaged("a: the file is missing", key="seals.file_missing"),
        collection.DamagedCollection("no collection", key="collection.unreadable"),
        text_lines.BadLine(Path("a.tsv"), 3, "has 1 columns", key="line.columns"),
        trained.Untrained(
            Path("run"), "its model was not kept", "keep.model=false", key="trained.not_kept"
        ),
    ],
    ids=lambda error: type(error).__module__ + "." + type(error).__name__,
)
def test_an_error_keeps_its_message_and_its_key_when_it_is_pickled_or_copied(error):
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is type(error) and str(again) == str(error)
        assert again.args == error.args and vars(again) == vars(error) and again.key == error.key


@pytest.mark.parametrize(
    "field, key",
    [
        ("batch.size", "config.batch.size"),
        ("data.languages[1]", "config.data.languages"),
        ("more.german.languages", "config.more.languages"),
        ("more.a.b.languages[0]", "config.more.languages"),
        ("more", "config.more"),
        ("more.german", "config.more"),
        ("eval.also.other.pools", "config.eval.also.pools"),
        ("eval.also", "config.eval.also"),
    ],
)
def test_the_key_of_a_field_names_nothing_that_users_name(field, key):
    assert config_key(field) == key


def test_the_key_of_an_error_that_is_raised_anew():
    assert key_of(digests.Damaged("a", key="seals.link"), "data.other") == "seals.link"
    assert key_of(OSError(), "data.other") == "data.other"


def test_a_check_of_a_refusal_fails_for_another_key_another_fact_another_kind_and_no_refusal():
    with refused("data.test", "x", 3) as refusal:
        raise UserError("x has 3", key="data.test")
    assert refusal.message == "x has 3"
    for key, fact, kind in (
        ("data.tes", "x", UserError),
        ("data.test", "y", UserError),
        ("data.test", "x", digests.Damaged),
    ):
        with pytest.raises((AssertionError, UserError)), refused(key, fact, kind=kind):
            raise UserError("x has 3", key="data.test")
    with pytest.raises(pytest.fail.Exception), refused("data.test"):
        pass


if __name__ == "__main__":
    STORED.write_text("\n".join(_inventory()) + "\n")
