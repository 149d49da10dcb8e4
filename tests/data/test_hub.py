"""Published collections are fetched by `data prepare` alone, as pinned, once; everything after that
asks nobody.
"""

import gzip
import hashlib
import json
import os
from pathlib import Path

import pytest

from hybrid_sweep.commands import cli
from hybrid_sweep.config.compose import points
from hybrid_sweep.config.schema import SCHEMAS
from hybrid_sweep.data import downloads, hub
from hybrid_sweep.data.datasets.msmarco_judgements import TRIPLES
from hybrid_sweep.inputs import prepare
from tests.data.datasets.test_msmarco import QRELS, TEST, TRAIN
from tests.data.datasets.test_msmarco import hub as marco_files
from tests.refused import refused
from tests.serving import Server


@pytest.fixture
def server(monkeypatch, tmp_path, cache):
    """Stands for all the places that files come from, and an empty cache."""
    made = Server()
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", made.url)
    monkeypatch.setenv("HF_TOKEN", "hf_me")
    monkeypatch.setenv("HYBRID_SWEEP_CACHE", str(tmp_path / "cache"))
    for name in ("GITHUB", "MSMARCO", "TREC"):
        monkeypatch.setattr(hub, name, f"{made.url}/{name}")
    monkeypatch.setattr(downloads.time, "sleep", lambda seconds: None)
    yield made
    made.close()


def serve(server, repository, revision, files):
    """A set of the hub: its files, and the lists of its folders."""
    folders: dict[str, list] = {}
    for name, body in files.items():
        server.files[f"/datasets/{repository}/resolve/{revision}/{name}"] = body
        item = {"type": "file", "path": name, "size": len(body)}
        if len(body) % 2:  # some are kept as large files, some are not
            item |= {
                "oid": "x",
                "lfs": {"oid": hashlib.sha256(body).hexdigest(), "size": len(body)},
            }
        else:
            item["oid"] = git(body)
        folders.setdefault(name.rpartition("/")[0], []).append(item)
    for folder, items in folders.items():
        path = f"/api/datasets/{repository}/tree/{revision}/{folder}"
        items.append({"type": "directory", "path": f"{folder}/more", "oid": "x", "size": 0})
        half = len(items) // 2  # in two pages
        server.files[path] = json.dumps(items[:half]).encode()
        server.links[path] = f'<{server.url}{path}?cursor=2>; rel="next"'
        server.files[f"{path}?cursor=2"] = json.dumps(items[half:]).encode()


def serve_marco(server, tmp_path, monkeypatch, revision=hub.PINNED["mmarco"]):
    root = marco_files(tmp_path / "published")
    files = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.tsv")}
    train = files.pop("data/qrels.train.tsv")
    serve(server, hub.MMARCO, revision, files)
    server.files["/MSMARCO/qrels.train.tsv"] = train
    monkeypatch.setattr(hub, "TRAIN_QRELS", f"md5:{hashlib.md5(train).hexdigest()}")
    return root


def config(*words):
    ((_, made),) = points([*words, "batch.cross_lingual_ratio=0"], multirun=False)
    return made


MARCO = ("data=mmarco", "data.languages=[en,nl]")


def test_mmarco_is_fetched_once_and_is_the_local_collection(server, tmp_path, monkeypatch):
    root = serve_marco(server, tmp_path, monkeypatch)
    said = []
    found = prepare.whole_collection(config(*MARCO), said.append, download=True)
    here = prepare.whole_collection(config(*MARCO, f"data.path={root}"))
    assert found.fingerprint == here.fingerprint and found.languages == ["en", "nl"]
    assert found.info["revision"] == hub.PINNED["mmarco"] and "revision" not in here.info
    fetched = {path.rpartition("/")[2] for path, _, _ in server.asked if "resolve" in path}
    assert len(fetched) == 7 and not any("german" in name for name in fetched)
    assert all(secret == "Bearer hf_me" for path, _, secret in server.asked if "datasets" in path)
    assert all(secret is None for path, _, secret in server.asked if "MSMARCO" in path)
    server.asked.clear()
    for again in (config(*MARCO), config("data=msmarco"), config(*MARCO, "data.dev_share=0.5")):
        assert prepare.whole_collection(again).languages == sorted(again.data.languages)
    for download in (False, True):
        again = prepare.whole_collection(config(*MARCO), refresh=True, download=download)
        assert again.fingerprint == found.fingerprint
    assert server.asked == []


def test_only_prepare_fetches_and_others_say_the_command(server, tmp_path, monkeypatch):
    serve_marco(server, tmp_path, monkeypatch)
    command = "hybrid-sweep data prepare mmarco 'data.languages=[en,nl]' data.qrels=dl19"
    with refused("data.not_fetched", command):
        prepare.whole_collection(config(*MARCO, "data.qrels=dl19"))
    with refused("data.not_fetched", "hybrid-sweep data prepare xquad_r_context", "data.path"):
        prepare.collection_of(config("data=xquad_r_context"))
    assert server.asked == []
    assert {path.suffix for path in (tmp_path / "cache").rglob("*") if path.is_file()} == {".lock"}


def test_a_network_without_its_cable(server, tmp_path, monkeypatch):
    serve_marco(server, tmp_path, monkeypatch)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("mmarco", "xquad_r"):
        with refused("hub.offline", "HF_HUB_OFFLINE"):
            prepare.whole_collection(config(f"data={name}"), download=True)
    assert server.asked == []


def test_another_revision_is_another_collection_in_the_cache(server, tmp_path, monkeypatch):
    serve_marco(server, tmp_path, monkeypatch, "abc123")
    other = config(*MARCO, "data.revision=abc123")
    assert prepare.collection_folder(other) != prepare.collection_folder(config(*MARCO))
    assert prepare.whole_collection(other, download=True).info["revision"] == "abc123"
    server.asked.clear()
    prepare.whole_collection(
        other, download=True, refresh=True
    )  # a name may have moved on: its lists are asked for again
    assert server.asked and not any("resolve" in path for path, _, _ in server.asked)
    with refused("fetch.not_found", "tree/6d039c46", "data.revision"):
        prepare.whole_collection(config(*MARCO), download=True)
    outside = config(*MARCO, "data.revision=../../../x")
    with refused("fetch.not_found"):
        prepare.whole_collection(outside, download=True)
    assert {path.name for path in tmp_path.iterdir()} == {"published", "cache"}


def test_what_the_set_lacks_is_said_with_what_it_has(server, tmp_path, monkeypatch):
    serve_marco(server, tmp_path, monkeypatch)
    with refused(
        "hub.file_missing", "data/google/collections/french_collection.tsv", "dutch_collection.tsv"
    ):
        prepare.whole_collection(config("data=mmarco", "data.languages=[fr]"), download=True)
    server.asked.clear()
    for name, language, what in (("mmarco", "th", "mMARCO"), ("miracl", "it", "MIRACL")):
        for download in (False, True):
            with refused("data.language_missing", what, language, "ar, "):
                prepare.whole_collection(
                    config(f"data={name}", f"data.languages=[{language}]"), download=download
                )
    assert server.asked == []


def test_names_in_a_list_cannot_lead_out_of_the_cache(server, tmp_path):
    corpus = f"/api/datasets/{hub.CORPUS}/tree/{hub.PINNED_CORPUS}/miracl-corpus-v1.0-sw"
    serve(
        server,
        hub.MIRACL,
        hub.PINNED["miracl"],
        {"miracl-v1.0-sw/topics/x.tsv": b"", "miracl-v1.0-sw/qrels/x": b""},
    )
    evil = {"type": "file", "path": "../../../../evil.jsonl.gz", "size": 1, "oid": "x"}
    server.files[corpus] = json.dumps([evil]).encode()
    with refused("fetch.leads_out"):
        prepare.whole_collection(config("data=miracl", "data.languages=[sw]"), download=True)
    assert {path.name for path in tmp_path.iterdir()} == {"cache"}
    server.files[corpus] = b"<html>"
    with refused("hub.no_list"):
        prepare.whole_collection(
            config("data=miracl", "data.languages=[sw]"), download=True, refresh=True
        )


def test_miracl_is_fetched_from_its_two_sets(server, tmp_path):
    topics, qrels = (
        "miracl-v1.0-sw/topics/topics.miracl-v1.0-sw-",
        "miracl-v1.0-sw/qrels/qrels.miracl-v1.0-sw-",
    )
    serve(
        server,
        hub.MIRACL,
        hub.PINNED["miracl"],
        {
            f"{topics}dev.tsv": b"7\tswali\n",
            f"{topics}test-a.tsv": b"9\tjingine\n",
            f"{topics}train.tsv": b"3\tnini\n",
            f"{qrels}dev.tsv": b"7\tQ0\t1#0\t1\n7\tQ0\t2#0\t0\n",
            f"{qrels}train.tsv": b"3\tQ0\t2#0\t1\n",
        },
    )
    lines = [
        json.dumps({"docid": f"{n}#0", "title": "T", "text": f"maandishi {n}"}) + "\n"
        for n in range(3)
    ]
    shards = {
        f"miracl-corpus-v1.0-sw/docs-{n}.jsonl.gz": gzip.compress(line.encode())
        for n, line in enumerate(lines)
    }
    serve(server, hub.CORPUS, hub.PINNED_CORPUS, shards | {"miracl-corpus-v1.0-sw/README.md": b"x"})
    found = prepare.whole_collection(config("data=miracl", "data.languages=[sw]"), download=True)
    assert found.queries["split"].to_pylist() == ["train", "test"] and len(found.passages) == 3
    names = {path.rpartition("/")[2] for path, _, _ in server.asked if "resolve" in path}
    assert "README.md" not in names and not any("test-a" in name for name in names)
    server.asked.clear()
    prepare.whole_collection(config("data=miracl", "data.languages=[sw]"), refresh=True)
    assert server.asked == []


def test_lareqa_is_fetched_by_its_commit_for_both_its_collections(server, tmp_path, monkeypatch):
    source = json.dumps(
        {
            "data": [
                {
                    "paragraphs": [
                        {
                            "context": "A b. C d.",
                            "sentence_breaks": [[0, 4], [5, 9]],
                            "qas": [
                                {
                                    "id": "1",
                                    "question": "c?",
                                    "answers": [{"text": "C", "answer_start": 5}],
                                }
                            ],
                        }
                    ]
                }
            ]
        }
    ).encode()
    commit = hub.PINNED["mlqa_r"]
    for language in hub.LAREQA["mlqa_r"]:
        server.files[f"/GITHUB/{commit}/mlqa-r/{language}.json"] = source
    server.files[f"/GITHUB/{commit}/mlqa-r/vi.json"] = b"not what it should be"
    with refused("data.file_json", "vi.json"):
        prepare.whole_collection(config("data=mlqa_r"), download=True)
    server.files[f"/GITHUB/{commit}/mlqa-r/vi.json"] = source
    with refused("data.file_json", "vi.json"):
        prepare.whole_collection(config("data=mlqa_r"), download=True)
    server.asked.clear()
    found = prepare.whole_collection(config("data=mlqa_r"), download=True, refresh=True)
    assert len(found.languages) == 7 and found.info["revision"] == commit and len(server.asked) == 7
    server.asked.clear()
    assert prepare.whole_collection(config("data=mlqa_r_context")).fingerprint != found.fingerprint
    assert server.asked == []


def test_xquad_r_is_what_is_pinned(server, tmp_path, monkeypatch):
    server.files = {
        f"/GITHUB/{hub.PINNED['xquad_r']}/xquad-r/{one}.json": b"{}"
        for one in hub.LAREQA["xquad_r"]
    }
    with refused("fetch.altered", "ar.json", "sha256:c52922d3"):
        prepare.whole_collection(config("data=xquad_r"), download=True)


def test_the_pinned_checksums_are_those_of_the_real_files(server):
    shared = Path(__file__).parents[3] / "shared"
    folder = Path(os.environ.get("XQUAD_R") or shared / "data" / "xquad-r")
    if not (folder / "en.json").is_file():
        assert not (os.environ.get("CI") and shared.is_dir()), (
            f"no XQuAD-R in {folder}: it must be tested here"
        )
        pytest.skip("no XQuAD-R here; set XQUAD_R to LAReQA's folder xquad-r")
    for language, checksum in hub.LAREQA["xquad_r"].items():
        body = (folder / f"{language}.json").read_bytes()
        assert checksum == hashlib.sha256(body).hexdigest()
        server.files[f"/GITHUB/{hub.PINNED['xquad_r']}/xquad-r/{language}.json"] = body
    found = prepare.whole_collection(config("data=xquad_r"), download=True)
    assert len(found.passages) == 13_014 and len(found.queries) == 13_090


def test_the_track_of_a_year(server, tmp_path, monkeypatch):
    serve_marco(server, tmp_path, monkeypatch)
    judged = b"5 Q0 42 3\n5 Q0 7 0\n"
    server.files["/TREC/2020qrels-pass.txt"] = judged
    monkeypatch.setitem(hub.TRACK_QRELS, "dl20", f"md5:{hashlib.md5(judged).hexdigest()}")
    server.files["/MSMARCO/msmarco-test2020-queries.tsv.gz"] = gzip.compress(b"5\tfive\n6\tsix\n")
    found = prepare.whole_collection(config(*MARCO, "data.qrels=dl20"), download=True)
    test = [row for row in found.queries.to_pylist() if row["split"] == "test"]
    assert [(row["id"], row["text"]) for row in test] == [("5@en", "five")]
    assert not any("dev" in path for path, _, _ in server.asked if "resolve" in path)


def test_the_program_prepares_and_lists(server, tmp_path, monkeypatch, capsys):
    serve_marco(server, tmp_path, monkeypatch)
    assert cli.main(["data", "prepare", "mmarco", "data.languages=[en,nl]"]) == 0
    out = capsys.readouterr().out
    assert "fetching data/google/collections/dutch_collection.tsv (" in out
    assert (
        f"mmarco: en nl; {2 * (len(QRELS['train']) - 1 + len(TEST))} queries" in out
        and len(TRAIN) == 4
    )
    assert cli.main(["run", "data=xquad_r", "batch.cross_lingual_ratio=0"]) == 2
    assert "hybrid-sweep data prepare xquad_r, or" in capsys.readouterr().err


def test_the_triples_are_fetched_where_they_are_asked_for(server, tmp_path, monkeypatch, capsys):
    serve_marco(server, tmp_path, monkeypatch)
    triples = "".join(
        f"{query}\t{good}\t{bad}\n" for query, good, bad in ((3, 1, 2), (3, 1, 0), (11, 7, 42))
    )
    plain = dict(server.files)
    body = {f"data/{TRIPLES}": triples.encode(), "data/other.tsv": b"x"}
    serve(server, hub.MMARCO, hub.PINNED["mmarco"], body)
    listed = f"/api/datasets/{hub.MMARCO}/tree/{hub.PINNED['mmarco']}/data"
    server.files[listed] = plain[listed]  # both pages: what was there, and the triples
    server.files[f"{listed}?cursor=2"] = json.dumps(
        json.loads(plain[f"{listed}?cursor=2"])
        + [
            {"type": "file", "path": name, "size": len(one), "oid": git(one)}
            for name, one in body.items()
        ]
    ).encode()
    words = [
        *MARCO,
        f"data.negatives={TRIPLES}",
        "batch.hard_negatives=1",
        "batch.size=2",
        "model.vocabulary=300",
    ]
    prepare.whole_collection(config(*MARCO), download=True)
    with refused("data.not_fetched", f"'data.languages=[en,nl]' data.negatives={TRIPLES}"):
        prepare.fingerprints(config(*words))
    assert not any(TRIPLES in path for path, _, _ in server.asked)
    assert cli.main(["data", "prepare", "mmarco", *words[1:3]]) == 0
    assert f"fetching data/{TRIPLES} (1 of 1" in capsys.readouterr().out
    server.asked.clear()
    found = prepare.prepare(config(*words)).pairs
    rows = found.negatives.passage.max(axis=0)
    ids = prepare.collection_of(config(*MARCO)).passages["id"].to_pylist()
    assert {ids[row].partition("@")[0] for row in rows.tolist()} == {
        "2",
        "0",
        "42",
    } and server.asked == []
    beside = tmp_path / "published"
    with refused("negatives.file_missing", f"data.path={beside}"):
        prepare.fingerprints(config(*words, f"data.path={beside}"))
    (beside / "data" / TRIPLES).write_text(triples)
    assert (
        prepare.negatives_file(config(*words, f"data.path={beside}")) == beside / "data" / TRIPLES
    )
    for other in ("data.negatives=mine.tsv", "data.negatives=triples.tsv"):
        with refused("negatives.file_missing", "data.negatives"):
            prepare.negatives_file(config(*MARCO, other), download=True)


def git(body):
    return hashlib.sha1(b"blob %d" % len(body) + bytes(1) + body).hexdigest()


def test_every_pinned_revision_is_a_whole_commit():
    assert all(len(one) == 40 and int(one, 16) for one in (*hub.PINNED.values(), hub.PINNED_CORPUS))
    assert {"mmarco", "msmarco", "miracl", "xquad_r", "mlqa_r"} <= set(SCHEMAS["data"])


LISTED = [["data/a.tsv", "sha256:00", 3], ["data/b.tsv", "git:00", 4]]


@pytest.mark.parametrize(
    "change",
    [
        lambda known: [],
        lambda known: 3,
        lambda known: {**known, "x@y/z": 3},
        lambda known: {**known, "x@y/z": [3]},
        lambda known: {**known, "x@y/z": [["a", 3, 3]]},
        lambda known: {**known, "x@y/z": [["a", "b"]]},
        lambda known: {**known, "set@rev/data": [["data/a.tsv", "sha256:01", 3]]},
        lambda known: {**known, "digest": "0"},
        lambda known: {**known, "digest": None},
    ],
)
def test_lists_that_are_not_what_was_written_are_asked_for_again(tmp_path, monkeypatch, change):
    monkeypatch.setattr(hub, "_tree", lambda *_: iter(tuple(row) for row in LISTED))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    path, asked = tmp_path / "lists.json", []
    for _ in range(2):
        hub._Lists(path, asked.append, refresh=False).files("set", "rev", "data")
    assert len(asked) == 1
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    found = hub._Lists(path, asked.append, refresh=False).files("set", "rev", "data")
    assert [[each.name, each.checksum, each.size] for each in found] == LISTED and len(asked) == 2


def test_lists_of_an_earlier_version_have_no_digest(tmp_path):
    path = tmp_path / "lists.json"
    path.write_text(json.dumps({"set@rev/data": LISTED}))
    assert len(hub._Lists(path, None, refresh=False).files("set", "rev", "data")) == 2
