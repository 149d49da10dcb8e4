"""The Debian collection from small archives written here: every rule, splits, determinism."""

import hashlib
import lzma
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from hybrid_sweep.data.datasets.debian.collection import build, from_lists, split_of
from hybrid_sweep.data.datasets.debian.package_lists import PackageLists
from tests.refused import refused

Entry = dict[str, Any]


def test_a_small_archive(archive: SimpleNamespace, tmp_path: Path) -> None:
    spoken: list[str] = []
    archive.write(tmp_path / "mirror", [*archive.good, archive.entry("lib-fine", "fine", "en da")])
    built = build(
        ["da", "de"],
        mirror=(tmp_path / "mirror").as_uri(),
        work=tmp_path / "work",
        progress=spoken.append,
    )
    assert built.name == "debian" and built.languages == ["da", "de", "en"]
    queries = {row["id"]: row for row in built.queries.to_pylist()}
    passages = {row["id"]: row for row in built.passages.to_pylist()}
    synopsis, lines = archive.good[0]["texts"]["de"]
    split = split_of("good0")
    assert queries["good0/good0@de:q"] == {
        "id": "good0/good0@de:q",
        "group": "good0/good0",
        "lang": "de",
        "split": split,
        "text": synopsis,
    }
    assert passages["good0/good0@de:p"]["text"] == " ".join(line.strip() for line in lines)
    assert "fine/lib-fine@da:q" in queries and "fine/lib-fine@de:q" not in queries
    assert len(queries) == len(passages) == 2 * 7
    assert built.qrels.to_pylist() == [
        {"query_group": name, "passage_group": name, "grade": 1}
        for name in sorted({row["group"] for row in queries.values()})
    ]
    assert built.info["release"] == {
        "origin": "Debian",
        "suite": "stable",
        "codename": "stable",
        "version": "99",
        "components": "main",
        "date": "Sat, 11 Jul 2026 10:16:37 UTC",
        "architecture": archive.architecture(),
        "sha256": (
            hashlib.sha256((tmp_path / "mirror/dists/stable/Release").read_bytes()).hexdigest()
        ),
    }
    assert (
        sum(built.info["counts"]["de"].values()) == 6
        and sum(built.info["counts"]["da"].values()) == 1
    )
    assert sum(built.info["groups"].values()) == 7
    assert all(
        row["id"].isascii() and row["id"].isprintable() and " " not in row["id"]
        for row in queries.values()
    )
    assert any("Translation-da" in line for line in spoken) and any(
        "cleaning" in line for line in spoken
    )


def test_no_source_package_is_in_two_splits(archive: SimpleNamespace, tmp_path: Path) -> None:
    entries = [
        archive.entry(f"lib{source}-{part}", f"src{source}")
        for source in range(150)
        for part in range(1 + source % 4)
    ]
    built = archive.make(tmp_path, entries)
    splits: dict[str, set[str]] = {}
    for table in (built.queries, built.passages):
        for row in table.select(["group", "split"]).to_pylist():
            splits.setdefault(row["group"].split("/")[0], set()).add(row["split"])
    assert len(splits) == 150 and {len(found) for found in splits.values()} == {1}
    assert {split for found in splits.values() for split in found} == {"train", "dev", "test"}
    shares = [
        sum(split_of(f"source-{number}") == split for number in range(5000)) / 5000
        for split in ("test", "dev")
    ]
    assert abs(shares[0] - 0.10) < 0.015 and abs(shares[1] - 0.06) < 0.015


def bad_entries(archive: SimpleNamespace) -> list[tuple[Entry, dict[str, dict[str, int]]]]:
    """A package that one rule refuses, and the record that it should leave."""
    english, german = (archive.entry("bad")["texts"][language] for language in ("en", "de"))
    good = archive.good[0]["texts"]
    # an English text that goes takes its translations along
    gone = {"no english": {"de": 1, "it": 1}}
    prose = [" " + " ".join(archive.words("no prose", 20))]

    def bad(**changes: Any) -> Entry:
        return archive.entry("bad", **changes)

    return [
        (bad(unlisted=True), {"no package": {"en": 1}} | gone),
        (bad(section="contrib/oldlibs"), {"section": {"en": 1}} | gone),
        (
            bad(texts={"en": (english[0] + " (dummy)", english[1])}),
            {"transitional": {"en": 1}} | gone,
        ),
        (bad(texts={"en": (english[0], english[1][:1])}), {"english length": {"en": 1}} | gone),
        (
            bad(texts={"en": (english[0], prose)}),
            {"no prose": {"en": 1}} | gone,
        ),
        (
            bad(texts={"de": (german[0], [*german[1][:2], " <trans>", *german[1][2:]])}),
            {"marked": {"de": 1}},
        ),
        (bad(texts={"de": (german[0], [*german[1], " f\u00c3\u00bcr"])}), {"damaged": {"de": 1}}),
        (bad(texts={"de": (german[0], [" ."])}), {"no body": {"de": 1}}),
        (bad(texts={"de": ("kurz", german[1])}), {"synopsis length": {"de": 1}}),
        (bad(texts={"de": (english[0].upper(), german[1])}), {"synopsis is English": {"de": 1}}),
        (bad(texts={"de": (german[0], [*english[1]])}), {"untranslated paragraph": {"de": 1}}),
        (bad(texts={"de": (german[0], german[1] * 4)}), {"length ratio": {"de": 1}}),
        (
            bad(texts={"de": (german[0], [" эта программа показывает карты"] * 6)}),
            {"script": {"de": 1}},
        ),
        (
            bad(texts={"de": (german[0], [line + " with" for line in german[1]])}),
            {"english words": {"de": 1}},
        ),
        (
            bad(texts={"de": (german[0], [" * " + line for line in german[1]])}),
            {"paragraph count": {"de": 1}},
        ),
        (bad(languages="en"), {"one language": {"*": 1}}),
        (bad(texts={"en": (good["en"][0], english[1])}), {"same synopsis": {"*": 1}}),
        (
            bad(texts={"en": (english[0], [*good["en"][1][:2], *english[1][:2]])}),
            {"near-copy": {"*": 1}},
        ),
        (bad(texts={"de": (good["de"][0], german[1])}), {"repeated synopsis": {"de": 1}}),
        (bad(texts={"de": (german[0], good["de"][1])}), {"repeated body": {"de": 1}}),
        (
            bad(languages="en de", texts={"de": (german[0], good["de"][1])}),
            {"repeated body": {"de": 1}, "one language left": {"*": 1}},
        ),
    ]


def test_each_rule_drops_what_no_other_does(tmp_path: Path, archive: SimpleNamespace) -> None:
    for number, (bad, dropped) in enumerate(bad_entries(archive)):
        # The name puts the bad one behind the good ones where precedence counts.
        built = archive.make(
            tmp_path / str(number), [*archive.good, bad | {"name": "zz-bad-one", "source": "zz"}]
        )
        record = {
            rule: {language: count for language, count in found.items() if count}
            for rule, found in built.info["dropped"].items()
            if any(found.values())
        }
        assert record == dropped
        left = {row["id"] for row in built.queries.to_pylist() if row["group"] == "zz/zz-bad-one"}
        only_german = all(found == {"de": 1} for found in dropped.values())
        assert left == ({"zz/zz-bad-one@en:q", "zz/zz-bad-one@it:q"} if only_german else set()), (
            dropped
        )
        assert len(built.queries) == 3 * len(archive.good) + len(left)


def test_a_source_keeps_its_main_packages(archive: SimpleNamespace, tmp_path: Path) -> None:
    parts = [
        archive.entry(name, "big")
        for name in ("big-dev", "big-apples", "big-bananas", "big-doc", "big-carrots")
    ]
    built = archive.make(tmp_path, [*archive.good, *parts])
    assert built.info["dropped"]["source full"] == {"*": 2}
    assert {
        row["group"]
        for row in built.qrels.select(["query_group"]).rename_columns(["group"]).to_pylist()
    } == {
        "big/big-apples",
        "big/big-bananas",
        "big/big-carrots",
        *(f"{item['source']}/{item['name']}" for item in archive.good),
    }


def test_packages_with_one_description_are_one_group(
    archive: SimpleNamespace, tmp_path: Path
) -> None:
    twin = archive.good[0] | {"name": "good0-much-longer", "source": "other"}
    built = archive.make(tmp_path, [twin, *archive.good])
    assert (
        len(built.qrels) == len(archive.good)
        and "good0/good0" in built.qrels["query_group"].to_pylist()
    )


def test_two_builds_and_any_order_of_stanzas_give_the_same(
    archive: SimpleNamespace, tmp_path: Path
) -> None:
    stray = archive.entry("stray")["texts"]["de"]
    entries = [
        *archive.good,
        *(
            archive.entry(f"lib{number}-{part}", f"s{number}")
            for number in range(20)
            for part in "abcd"
        ),
        # A copy of the description under a second name, with another translation of it.
        archive.good[1] | {"name": "good1-twin", "texts": archive.good[1]["texts"] | {"de": stray}},
    ]
    one, *others = [
        archive.make(tmp_path / str(shuffle), entries, shuffle=shuffle)
        for shuffle in (None, None, 1, 2, 3)
    ]
    for other in others:
        assert all(
            getattr(other, name).equals(getattr(one, name))
            for name in ("queries", "passages", "qrels")
        )
        assert other.info["dropped"] == one.info["dropped"] and other.fingerprint == one.fingerprint
    assert one.info == others[0].info


def test_the_result_does_not_depend_on_string_hashing(
    archive: SimpleNamespace, tmp_path: Path
) -> None:
    archive.write(
        tmp_path / "mirror",
        [*archive.good, *(archive.entry(f"lib{number}", "s") for number in range(9))],
    )
    script = (
        "import sys, pathlib\nfrom hybrid_sweep.data.datasets.debian import collection,"
        " package_mirror\npackage_mirror.own_codename = lambda: None\nbuilt = collection.build(['de',"
        " 'it'], mirror=sys.argv[1], work=pathlib.Path(sys.argv[2]),"
        " progress=id)\nprint(built.fingerprint, built.info)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "mirror"), str(tmp_path / "work")]
    one, two = (
        subprocess.run(
            command, check=True, stdout=-1, env={**os.environ, "PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    )
    assert one == two and b"Debian" in one


def test_languages_are_those_asked_for(archive: SimpleNamespace, tmp_path: Path) -> None:
    assert archive.make(tmp_path, archive.good, "it").languages == ["en", "it"]
    assert not list((tmp_path / "work").rglob("Translation-de*"))
    with refused("data.language_missing", "xx, yy", "cs, da"):
        archive.make(tmp_path, archive.good, "xx de yy")
    with refused("data.one_language"):
        archive.make(tmp_path, archive.good, "en")


@pytest.mark.parametrize("suffix", [".lz4", ".gz", ""])
def test_a_collection_from_a_folder_of_lists(
    archive: SimpleNamespace, tmp_path: Path, suffix: str
) -> None:
    expected = archive.make(tmp_path, archive.good)
    paths = {}
    for name in ("Packages", "Translation-en", "Translation-de", "Translation-it"):
        content = lzma.decompress(
            next((tmp_path / "mirror/dists/stable/main").glob(f"*/{name}.xz")).read_bytes()
        )
        paths[name] = tmp_path / f"host_dists_stable_{name}{suffix}"
        if suffix == ".lz4":
            with pa.output_stream(str(paths[name]), compression="lz4") as sink:
                sink.write(content)
        else:
            paths[name].write_bytes(archive.pack[suffix](content))
    lists = PackageLists(
        (paths["Packages"],),
        {name: (paths[f"Translation-{name}"],) for name in ("en", "it", "de")},
        {},
        {},
    )
    assert from_lists(lists, archive.quiet).fingerprint == expected.fingerprint
