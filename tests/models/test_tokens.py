import json

import numpy as np
import pyarrow as pa
import pytest

from hybrid_sweep.models.tokens import (
    Tokenizing,
    Tokens,
    id_count,
    load_tokenizer,
    token_store,
    train_bpe,
)
from tests.refused import refused

TEXTS = [
    "the cat sat on the mat",
    "der Hund bellt laut",
    "ねこ は すわった",
    "a",
    "the the the cat " * 30,
]


@pytest.fixture
def folder(tmp_path):
    train_bpe(iter(TEXTS * 3), 400).save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def table(texts):
    return pa.table(
        {
            "id": [f"t{place}" for place in range(len(texts))],
            "text": pa.array(texts, pa.large_string()),
        }
    )


def store_of(cache, table, content, folder, *, prompt, length, role, **more):
    return token_store(cache, table, content, role, Tokenizing(folder, prompt, length), **more)


def test_tokens_are_those_of_the_tokenizer_with_prompt_and_cut(folder, tmp_path):
    tokenizer = load_tokenizer(folder)
    store = store_of(
        tmp_path / "cache", table(TEXTS), "c", folder, prompt="query: ", length=16, role="queries"
    )
    tokenizer.enable_truncation(16)
    for row, text in enumerate(TEXTS):
        assert (
            store.ids[store.starts[row] : store.starts[row + 1]].tolist()
            == tokenizer.encode("query: " + text).ids
        )
    assert store.lengths.max() == 16 and len(store) == len(TEXTS) and store.ids.dtype == np.uint16


def test_the_ids_that_occur_are_kept(folder, tmp_path, monkeypatch):
    from hybrid_sweep.models import tokens

    monkeypatch.setattr(tokens, "BLOCK", 2)
    store = store_of(
        tmp_path / "cache", table(TEXTS), "c", folder, prompt="", length=16, role="queries"
    )
    assert store.used.dtype == np.int64 and store.used.tolist() == sorted(set(store.ids.tolist()))
    assert 5 < len(store.used) < load_tokenizer(folder).get_vocab_size()


def with_ids(folder, moved):
    """The tokenizer of a folder, some of its tokens under other ids."""
    made = json.loads((folder / "tokenizer.json").read_text())
    made["model"]["vocab"] |= moved
    for added in made["added_tokens"]:
        added["id"] = made["model"]["vocab"][added["content"]]
    specials = made["post_processor"]["special_tokens"]
    for special in specials.values():
        special["ids"] = [made["model"]["vocab"][special["id"]]]
    target = folder / "-".join(map(str, moved.values()))
    target.mkdir()
    (target / "tokenizer.json").write_text(json.dumps(made))
    return target


@pytest.mark.parametrize(
    "largest, kind", [(2**16 - 1, np.uint16), (2**16, np.int32), (250_000, np.int32)]
)
def test_every_id_is_kept_in_the_narrowest_type_that_holds_it_also_where_ids_have_gaps(
    folder, tmp_path, largest, kind
):
    moved = with_ids(folder, {"[SEP]": largest})
    tokenizer = load_tokenizer(moved)
    assert tokenizer.get_vocab_size() < 500 and id_count(tokenizer) == largest + 1
    store = store_of(
        tmp_path / "cache", table(TEXTS), "c", moved, prompt="", length=16, role="queries"
    )
    tokenizer.enable_truncation(16)
    for row, text in enumerate(TEXTS):
        assert (
            store.ids[store.starts[row] : store.starts[row + 1]].tolist()
            == tokenizer.encode(text).ids
        )
    assert (
        store.ids.dtype == kind
        and store.used.tolist() == sorted(set(store.ids.tolist()))
        and store.used[-1] == largest
    )


def test_no_text_of_any_script_has_an_unknown_token(folder):
    tokenizer = load_tokenizer(folder)
    unknown = tokenizer.token_to_id("[UNK]")
    assert not any(
        unknown in tokenizer.encode(text).ids for text in [*TEXTS, "Ελλάδα 한국 🎉 \x07"]
    )


def test_the_tokenizer_is_the_same_each_time_it_is_trained():
    assert train_bpe(iter(TEXTS * 3), 400).to_str() == train_bpe(iter(TEXTS * 3), 400).to_str()


def test_padding():
    store = Tokens(np.arange(10, 16, dtype=np.int32), np.array([0, 2, 3, 6]))
    ids, mask = store.padded(np.array([2, 0]), pad=7)
    assert ids.tolist() == [[13, 14, 15], [10, 11, 7]] and mask.tolist() == [[1, 1, 1], [1, 1, 0]]


def test_built_once_and_keyed_by_what_makes_the_tokens(folder, tmp_path):
    cache = tmp_path / "cache"
    build = dict(prompt="", length=16, role="queries")
    store_of(cache, table(TEXTS), "c", folder, **build)
    (first,) = (path for path in (cache / "tokens").iterdir() if path.is_dir())
    stamp = (first / "ids.npy").stat().st_mtime_ns
    store_of(cache, table(TEXTS), "c", folder, **build)
    assert (first / "ids.npy").stat().st_mtime_ns == stamp
    for change in (dict(prompt="q: "), dict(length=17), dict(role="passages")):
        store_of(cache, table(TEXTS), "c", folder, **{**build, **change})
    store_of(cache, table(TEXTS), "other", folder, **build)
    assert sum(path.is_dir() for path in (cache / "tokens").iterdir()) == 5


def test_a_text_that_leaves_no_token_is_named(folder, tmp_path):
    tokenizer = load_tokenizer(folder)
    from tokenizers import normalizers

    tokenizer.normalizer = normalizers.Replace("gone", "")
    tokenizer.save(str(folder / "tokenizer.json"))
    with refused("data.no_token", "'t1'"):
        store_of(
            tmp_path / "cache",
            table(["fine", "gone"]),
            "c",
            folder,
            prompt="",
            length=16,
            role="queries",
        )
    assert not list((tmp_path / "cache" / "tokens").glob("*/info.json"))


@pytest.mark.parametrize("name", ["ids.npy", "starts.npy", "used.npy", "info.json"])
@pytest.mark.parametrize("damage", ["cut", "emptied", "gone"])
def test_a_damaged_store_is_made_again_with_a_message(folder, tmp_path, name, damage):
    said: list[str] = []
    build = dict(prompt="", length=16, role="queries", say=said.append)
    before = store_of(tmp_path / "cache", table(TEXTS), "c", folder, **build)
    whole = {field: np.array(getattr(before, field)) for field in ("ids", "starts", "used")}
    (path,) = (tmp_path / "cache" / "tokens").glob(f"*/{name}")
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(content[:-3] if damage == "cut" else b"")
    after = store_of(tmp_path / "cache", table(TEXTS), "c", folder, **build)
    assert all(np.array_equal(getattr(after, field), value) for field, value in whole.items())
    assert [line for line in said if "damaged: they are made again" in line] == said and len(
        said
    ) == 1


def test_a_store_of_other_lengths_than_its_texts_is_made_again(folder, tmp_path):
    build = dict(prompt="", length=16, role="queries")
    store = store_of(tmp_path / "cache", table(TEXTS), "c", folder, **build)
    (path,) = (tmp_path / "cache" / "tokens").glob("*/ids.npy")
    np.save(path, np.array(store.ids)[:-1])  # a whole file, but of another store
    assert store_of(tmp_path / "cache", table(TEXTS), "c", folder, **build).starts[-1] == len(
        store.ids
    )
