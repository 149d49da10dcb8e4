"""Ways to spoil a file: JSON and YAML value by value, whole files, bytes, and the columns of a
Parquet table.
"""

import gzip
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.hostile.watch import remove

Change = Callable[[Path], None]
Changes = Iterator[tuple[str, Change]]

DEEP = "[" * 3000 + "]" * 3000
# JSON texts that take the place of a value.
VALUES = {
    "null": "null",
    "true": "true",
    "3": "3",
    "-1": "-1",
    "1e308": "1e308",
    "NaN": "NaN",
    "Infinity": "Infinity",
    "10**400": "1" + "0" * 400,
    "x": '"x"',
    "empty": '""',
    "parent": '"../../../outside/run"',
    "grandparent": '"../../../../outside/run"',
    "far parent": '"../../../../../../outside/run"',
    "absolute": '"@outside@/x"',
    "winding": '"a/../../b"',
    "constructor": '"constructor"',
    "proto": '"__proto__"',
    "escape": '"\\u001b[31mred"',
    "nul": '"a\\u0000b"',
    "bidi": '"\\u202egnp.exe"',
    "surrogate": '"\\ud800"',
    "long": json.dumps("x" * 100_000),
    "shell": '"$(touch ran); `touch ran` \'; touch ran; #"',
    "script": '"<script>touch()</script>"',
    "lines": '"one\\ntwo\\nthree"',
    "variable": '"${oc.env:OTHER_SECRET}"',
    "list": "[]",
    "object": "{}",
    "nested": '[{"a": [1, null]}]',
    "deep": DEEP,
}


def outside() -> Path:
    """The folder that no command may touch; it stands beside the working folder."""
    return Path.cwd().parent / "outside"


def paths(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Walk over the places of all values of a JSON value."""
    if at:
        yield at
    items = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    for key, value in items:
        yield from paths(value, (*at, key))


def patterns(node: Any) -> list[tuple[Any, ...]]:
    """One place of each kind: of the items of a list the last stands for all, and so of the values
    of a map of runs.
    """
    found: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for place in paths(node):
        kind = tuple("*" if isinstance(key, int) or _is_id(key) else key for key in place)
        found[kind] = place
    return list(found.values())


def _is_id(key: Any) -> bool:
    return isinstance(key, str) and len(key) == 12 and set(key) <= set("0123456789abcdef")


MARK = "@@here@@"


def replaced(text: str, place: tuple[Any, ...], value: str) -> str:
    """The JSON text with another JSON text at a place."""
    node = json.loads(text)
    parent = _parent(node, place)
    parent[place[-1]] = MARK
    return json.dumps(node, indent=1).replace(json.dumps(MARK), value, 1)


def _parent(node: Any, place: tuple[Any, ...]) -> Any:
    for key in place[:-1]:
        node = node[key]
    return node


def without(text: str, place: tuple[Any, ...]) -> str:
    """The JSON text without what stands at a place."""
    node = json.loads(text)
    del _parent(node, place)[place[-1]]
    return json.dumps(node, indent=1)


def twice(text: str, place: tuple[Any, ...]) -> str:
    """The JSON text with a key a second time, or an item of a list a second time."""
    node = json.loads(text)
    parent = _parent(node, place)
    if isinstance(parent, list):
        parent.append(parent[place[-1]])
        return json.dumps(node, indent=1)
    value = parent[place[-1]]
    key = json.dumps(place[-1])
    parent[place[-1]] = MARK
    return json.dumps(node, indent=1).replace(json.dumps(MARK), f"{json.dumps(value)}, {key}: 7", 1)


def renamed(text: str, key: str) -> str:
    """The JSON text of a map whose last key has another name."""
    node = json.loads(text)
    last = list(node)[-1]
    node[key] = node.pop(last)
    return json.dumps(node, indent=1)


def _writing(made: Callable[[str], str]) -> Change:
    def change(path: Path) -> None:
        text = made(path.read_text(encoding="utf-8")).replace("@outside@", str(outside()))
        path.write_text(text, encoding="utf-8")

    return change


def json_changes(text: str, chance: random.Random, few: int) -> Changes:
    """Each kind of place with `few` of the values, taken without, and twice."""
    for place in patterns(json.loads(text)):
        name = ".".join(str(key)[:60] for key in place)
        chosen = chance.sample(sorted(VALUES), min(few, len(VALUES)))
        for label in chosen:
            yield (
                f"{name}={label}",
                _writing(lambda old, place=place, label=label: replaced(old, place, VALUES[label])),
            )
        if few > 2 or chance.random() < 0.3:
            yield f"{name} removed", _writing(lambda old, place=place: without(old, place))
        if chance.random() < 0.3:
            yield f"{name} twice", _writing(lambda old, place=place: twice(old, place))
    if not isinstance(json.loads(text), dict):
        return
    for key in ("../../../../outside/key", "@outside@/key", "constructor"):
        yield f"last key named {key[:20]!r}", _writing(lambda old, key=key: renamed(old, key))
    for key in ("__proto__", "", "x" * 300, "../x", "\x1b[31m"):
        yield (
            f"added {key[:20]!r}",
            _writing(lambda old, key=key: json.dumps({**json.loads(old), key: {"a": [1]}})),
        )


YAMLS = {
    "variable": "${oc.env:OTHER_SECRET}",
    "plain variable": "${oc.env:PLAIN_VALUE}",
    "home": "${oc.env:HOME}",
    "now": "${now:%Y}",
    "reference": "${sweep.name}",
    "loop": "${data.name}${model.name}",
    "resolver": "${oc.decode:${oc.env:PLAIN_VALUE}}",
    "hydra": "${hydra:runtime.cwd}",
    "python": "!!python/object/apply:os.system ['touch ran']",
    "new": "!!python/object/new:subprocess.Popen [['touch', 'ran']]",
    "name": "!!python/name:os.system",
    "binary": "!!binary aGVsbG8=",
    "missing": "???",
    "merge": "{<<: {a: 1}}",
    "anchor": "&a [*a]",
    "date": "2024-01-15",
    "sexagesimal": "1:30:00",
    "no": "no",
    "path": "../../../outside/run",
    "absolute": "@outside@/x",
    "list": "[1, [2, {a: b}]]",
    "map": "{a: {b: c}}",
    "null": "null",
    "huge": "1" + "0" * 400,
    "nan": ".nan",
    "inf": ".inf",
    "escape": '"\\e[31mred"',
    "nul": '"a\\0b"',
    "bidi": '"\\u202egnp"',
    "long": "x" * 100_000,
    "negative": "-1",
    "big": "1000000000000",
    "text": "some text",
    "script": "<script>alert(1)</script>",
}


def yaml_changes(text: str, chance: random.Random, few: int) -> Changes:
    """Each line of a flat YAML file with `few` other values; whole files that grow, recurse
    or run.
    """
    lines = text.splitlines()
    for number, line in enumerate(lines):
        key, colon, _ = line.partition(":")
        if not colon:
            continue
        for label in chance.sample(sorted(YAMLS), few):
            spoiled = [*lines[:number], f"{key}: {YAMLS[label]}", *lines[number + 1 :]]
            yield (
                f"{key.strip()}, line {number}: {label}",
                _text("\n".join(_without_children(spoiled, number)) + "\n"),
            )
        if chance.random() < 0.4:
            rest = _without_children(
                [*lines[:number], f"{key}: null", *lines[number + 1 :]], number
            )
            yield (
                f"{key.strip()}, line {number} removed",
                _text("\n".join(rest[:number] + rest[number + 1 :]) + "\n"),
            )
    laughs = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    for one, other in zip("bcdefghij", "abcdefghi", strict=True):
        laughs.append(f"{one}: &{one} [{','.join([f'*{other}'] * 9)}]")
    yield "billion laughs", _text(text + "\n".join(laughs) + "\n")
    yield (
        "billion laughs in data",
        _text(text.replace("languages:", "x: &a [1,1]\n  y: &b [*a,*a]\n  languages:", 1)),
    )
    yield "a key twice", _text(text + "seed: 7\n")
    yield "unknown key", _text(text + "unknown: {a: 1}\n")
    yield "deep", _text("a: " + DEEP + "\n")
    yield "remote code", _text(text.replace("remote_code: false", "remote_code: true"))


def _without_children(lines: list[str], number: int) -> list[str]:
    """The lines without the block below a line, for which its new value stands."""
    depth = len(lines[number]) - len(lines[number].lstrip())
    end = number + 1
    while end < len(lines):
        line = lines[end]
        inner = len(line) - len(line.lstrip())
        if inner < depth or (inner == depth and not line.lstrip().startswith("- ")):
            break
        end += 1
    return [*lines[: number + 1], *lines[end:]]


def _text(text: str) -> Change:
    return _writing(lambda _: text)


def written(data: bytes) -> Change:
    """The change that writes these bytes."""

    def change(path: Path) -> None:
        path.write_bytes(data)

    return change


def whole_changes(data: bytes, twin: Path | None = None) -> Changes:
    """A file as a whole: empty, cut, other content, not a file at all, a link that leads out of the
    folder.
    """
    for length in sorted({0, 1, 2, 7, len(data) // 4, len(data) // 2, len(data) - 1}):
        yield f"cut at {length}", written(data[:length])
    other: dict[str, bytes] = {
        "null": b"null",
        "list": b"[]",
        "number": b"3",
        "text": b'"x"',
        "object": b"{}",
        "garbage": bytes(random.Random(1).randbytes(300)),
        "not UTF-8": b'{"a": "\xff\xfe"}',
        "BOM": b"\xef\xbb\xbf" + data,
        "UTF-16": data.decode("latin-1").encode("utf-16"),
        "zeros": bytes(len(data)),
        "deep": DEEP.encode(),
        "twice": data + data,
        "one more byte": data + b"\0",
    }
    for label, content in other.items():
        yield label, written(content)
    yield "missing", Path.unlink
    yield "a folder", _in_its_place(Path.mkdir)
    yield "a FIFO", _in_its_place(os.mkfifo)
    yield "a link to itself", _in_its_place(lambda path: path.symlink_to(path.name))
    yield (
        "a link to a file outside",
        _in_its_place(lambda path: path.symlink_to(outside() / "file.json")),
    )
    yield (
        "a link to a folder outside",
        _in_its_place(lambda path: path.symlink_to(outside() / "empty")),
    )
    yield "a link to its own content outside", _moved_out
    if twin is not None:
        yield "that of another run", written(twin.read_bytes())


def folder_changes() -> Changes:
    """A folder that leads out: a link to an empty folder, or to the folder itself, which has been
    moved there.
    """
    yield (
        "a link to an empty folder outside",
        _in_its_place(lambda path: path.symlink_to(outside() / "empty")),
    )
    yield "a link to where it was moved", _moved_out


def _in_its_place(make: Callable[[Path], Any]) -> Change:
    def change(path: Path) -> None:
        remove(path)
        make(path)

    return change


def _moved_out(path: Path) -> None:
    target = outside() / "moved"
    path.rename(target)
    path.symlink_to(target)


def byte_changes(data: bytes, chance: random.Random, count: int) -> Changes:
    """Single bits flipped all over a file, blocks of zeros, pieces that are gone."""
    for place in chance.sample(range(len(data)), min(count, len(data))):
        bit = 1 << chance.randrange(8)
        yield (
            f"bit {bit} of byte {place}",
            written(data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]),
        )
    for place in chance.sample(range(len(data)), min(3, len(data))):
        block = min(64, len(data) - place)
        yield f"zeros at {place}", written(data[:place] + bytes(block) + data[place + block :])
        yield f"64 bytes gone at {place}", written(data[:place] + data[place + 64 :])


def table_changes(path: Path) -> Changes:
    """A Parquet table with other types, columns or rows."""
    table = pq.read_table(path)

    def write(made: pa.Table) -> Change:
        return lambda target: pq.write_table(made, target)

    yield "no rows", write(table.slice(0, 0))
    yield "one row less", write(table.slice(0, len(table) - 1))
    yield "a row twice", write(pa.concat_tables([table, table.slice(0, 1)]))
    yield "all rows twice", write(pa.concat_tables([table, table]))
    yield "rows in another order", write(table.take(list(range(len(table)))[::-1]))
    yield "a column more", write(table.append_column("more", pa.array([[{"a": 1}]] * len(table))))
    yield "columns in another order", write(table.select(table.column_names[::-1]))
    for name in table.column_names:
        yield f"{name} missing", write(table.drop_columns([name]))
        yield f"{name} twice", write(table.append_column(name, table[name]))
        odd: dict[str, Any] = {
            "texts": ["x"] * len(table),
            "lists": [[1, 2]] * len(table),
            "nulls": pa.nulls(len(table)),
            "-1": [-1] * len(table),
            "NaN": [float("nan")] * len(table),
            "Infinity": [float("inf")] * len(table),
            "1e308": [1e308] * len(table),
            "2**62": [2**62] * len(table),
            "parents": ["../../../outside/run"] * len(table),
            "escapes": ["\x1b[31m\x00\u202e"] * len(table),
            "booleans": [True] * len(table),
            "times": pa.array([0] * len(table), pa.timestamp("ns")),
        }
        place = table.column_names.index(name)
        for label, column in odd.items():
            yield f"{name} of {label}", write(table.set_column(place, name, pa.array(column)))
        if pa.types.is_floating(table[name].type) or pa.types.is_integer(table[name].type):
            moved = np.nan_to_num(table[name].to_numpy(zero_copy_only=False).astype(float))
            moved[0] += 1
            column = pa.array(moved).cast(table[name].type)
            yield f"{name} one more in the first row", write(table.set_column(place, name, column))


def bomb(path: Path) -> None:
    """Write a gzip file of 2 MB that unpacks to one line of 512 MiB."""
    path.write_bytes(gzip.compress(bytes(2**24), 1) * 32)


EVIL = """
from pathlib import Path
from transformers import BertConfig, BertModel
Path("ran").touch()
class EvilConfig(BertConfig):
    pass
class EvilModel(BertModel):
    config_class = EvilConfig
"""


def code(permitted: bool) -> Change:
    """Let the model of a run bring Python code, and where `permitted` let the stored settings of
    the run allow it.
    """

    def change(run: Path) -> None:
        config = json.loads((run / "model" / "config.json").read_text())
        config["auto_map"] = {"AutoConfig": "evil.EvilConfig", "AutoModel": "evil.EvilModel"}
        config["model_type"] = "evil"
        (run / "model" / "config.json").write_text(json.dumps(config))
        (run / "model" / "evil.py").write_text(EVIL)
        if permitted:
            stored = (run / "config.yaml").read_text()
            (run / "config.yaml").write_text(
                stored.replace("remote_code: false", "remote_code: true")
            )

    return change


EVIL_PARTS = """
from pathlib import Path
from pytorch_lightning import Callback
Path("ran").touch()
class Evil(Callback):
    pass
def loss(queries, passages, positive, masked, temperature):
    return queries.sum(dim=1)
"""


def own_parts(run: Path) -> None:
    """Let the stored settings of a run name a loss and a callback, whose module lies in the run and
    in the folder that the user stands in.
    """
    for folder in (run, run.parents[2]):
        (folder / "evil_parts.py").write_text(EVIL_PARTS)
    stored = (run / "config.yaml").read_text()
    named = stored.replace("loss: null", "loss: evil_parts:loss")
    named = named.replace("callbacks: []", "callbacks: [evil_parts:Evil]")
    assert named.count("evil_parts:") == 2
    (run / "config.yaml").write_text(named)
