"""Files come whole or not at all: resumed, compared, kept, and never written outside their
folder.
"""

import hashlib
import os

import pytest

from hybrid_sweep.data import downloads as fetching
from hybrid_sweep.data.downloads import Remote, fetch, inside, missing
from tests.refused import refused
from tests.serving import Server

BODY = bytes(range(256)) * 4096  # 1 MiB
SIZE = len(BODY)
SUM = f"sha256:{hashlib.sha256(BODY).hexdigest()}"
GIT = f"git:{hashlib.sha1(b'blob %d' % len(BODY) + bytes(1) + BODY).hexdigest()}"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(fetching.time, "sleep", lambda seconds: None)
    made = Server()
    made.files["/a"] = BODY
    yield made
    made.close()


def a(server, checksum=SUM, size=SIZE, name="sub/a.bin"):
    return Remote(name, f"{server.url}/a", checksum, size)


def content(folder, name="sub/a.bin"):
    return (folder / "files" / name).read_bytes()


def silent(line):
    pass


@pytest.mark.parametrize("checksum", [SUM, GIT, f"md5:{hashlib.md5(BODY).hexdigest()}", None])
@pytest.mark.parametrize("size", [len(BODY), None])
def test_a_file_is_fetched_once_and_then_used_without_a_request(server, tmp_path, checksum, size):
    wanted, said = [a(server, checksum, size)], []
    assert missing(wanted, tmp_path) == wanted
    fetch(wanted, tmp_path, said.append)
    assert (
        content(tmp_path) == BODY
        and len(server.asked) == 1
        and not any((tmp_path / "parts").iterdir())
    )
    assert said[0].startswith("fetching sub/a.bin (1 of 1")
    server.asked.clear()
    fetch(wanted, tmp_path, silent)
    assert missing(wanted, tmp_path) == [] and server.asked == []


def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(server, tmp_path):
    server.cut["/a"] = [1000, 70_000]
    fetch([a(server)], tmp_path, silent)
    assert content(tmp_path) == BODY
    assert [wanted for _, wanted, _ in server.asked] == [None, "bytes=1000-", "bytes=71000-"]


def test_only_failures_in_a_row_that_bring_no_byte_end_a_transfer(server, tmp_path):
    server.cut["/a"] = [1000] * (fetching.TRIES + 3)
    fetch([a(server)], tmp_path, silent)
    assert content(tmp_path) == BODY and len(server.asked) == fetching.TRIES + 4


def test_a_small_file_is_fetched_whole_or_not_at_all(server):
    server.cut["/a"] = [1000, 0]
    assert fetching.read(f"{server.url}/a", {})[0] == BODY and len(server.asked) == 3
    server.cut["/a"] = [1000] * fetching.TRIES
    with refused("fetch.unreachable", "1000 bytes read"):
        fetching.read(f"{server.url}/a", {})


def test_what_a_killed_process_had_fetched_is_gone_on_with(server, tmp_path):
    server.cut["/a"] = [5000] + [0] * fetching.TRIES
    with refused("fetch.unreachable", "5,000 of "):
        fetch([a(server)], tmp_path, silent)
    assert not (tmp_path / "files").exists() or not any((tmp_path / "files").rglob("*.bin"))
    server.cut.clear()
    server.asked.clear()
    fetch([a(server)], tmp_path, silent)
    assert content(tmp_path) == BODY and [wanted for _, wanted, _ in server.asked] == [
        "bytes=5000-"
    ]


def test_a_truncated_answer_without_known_size_or_checksum_is_noticed(server, tmp_path):
    server.cut["/a"] = [10] * 10 * fetching.TRIES
    server.parts = False
    with refused("fetch.unreachable", "10 of 1,048,576 bytes"):
        fetch([a(server, None, None)], tmp_path, silent)


def test_another_part_than_was_asked_for_is_never_taken_for_the_file(server, tmp_path):
    """Without checksum and size nothing else would tell."""
    server.shift, server.cut["/a"] = 100, [1000]
    with refused("fetch.unreachable"):
        fetch([a(server, None, None)], tmp_path, silent)
    assert not (tmp_path / "files" / "sub" / "a.bin").exists()
    server.shift = 0
    fetch([a(server, None, None)], tmp_path, silent)
    assert content(tmp_path) == BODY


def test_a_server_without_parts_starts_again(server, tmp_path):
    server.parts, server.cut["/a"] = False, [1000]
    fetch([a(server)], tmp_path, silent)
    assert content(tmp_path) == BODY


def test_another_content_is_never_kept(server, tmp_path):
    server.files["/a"] = BODY[:-1] + b"x"
    with refused("fetch.altered"):
        fetch([a(server)], tmp_path, silent)
    assert not any(path.is_file() for path in tmp_path.rglob("*") if path.suffix != ".json")
    with refused("fetch.altered"):
        fetch([a(server, None, 7)], tmp_path, silent)


@pytest.mark.parametrize("part", [b"other" * 100, BODY + b"longer", bytes(len(BODY))])
def test_a_part_of_something_else_is_thrown_away(server, tmp_path, part):
    server.cut["/a"] = [0] * fetching.TRIES
    with refused("fetch.unreachable"):
        fetch([a(server)], tmp_path, silent)
    server.cut.clear()
    next((tmp_path / "parts").iterdir()).write_bytes(part)
    fetch([a(server)], tmp_path, silent)
    assert content(tmp_path) == BODY


def test_a_file_that_was_changed_on_disk_is_fetched_again(server, tmp_path):
    wanted = [a(server)]
    fetch(wanted, tmp_path, silent)
    path = tmp_path / "files/sub/a.bin"
    os.utime(path)  # copied, perhaps: the content is compared, and is the same
    assert missing(wanted, tmp_path) == []
    path.write_bytes(b"x" + BODY[1:])
    assert missing(wanted, tmp_path) == wanted
    path.write_bytes(BODY[:100])
    assert missing(wanted, tmp_path) == wanted
    fetch(wanted, tmp_path, silent)
    assert content(tmp_path) == BODY
    assert missing([a(server, GIT)], tmp_path)  # another revision's checksum


@pytest.mark.parametrize(
    ("code", "key", "fact"),
    [
        (404, "fetch.not_found", "404"),
        (403, "fetch.refused", "HF_TOKEN"),
        (401, "fetch.refused", "HF_TOKEN"),
    ],
)
def test_a_refusal_is_one_line_and_is_not_tried_again(server, tmp_path, code, key, fact):
    server.status["/a"] = code
    with refused(key, fact):
        fetch([a(server)], tmp_path, silent)
    assert len(server.asked) == 1


def test_a_server_that_fails_is_tried_a_few_times(server, tmp_path):
    server.status["/a"] = 500
    with refused("fetch.unreachable", 500):
        fetch([a(server)], tmp_path, silent)
    assert len(server.asked) == fetching.TRIES


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "a/../x", "/etc/x", "", "a\\..\\x", "..", "out/x", "x\0y"]
)
def test_a_name_cannot_lead_out_of_the_folder(server, tmp_path, name):
    (tmp_path / "in/files").mkdir(parents=True)
    (tmp_path / "in/files/out").symlink_to(tmp_path)
    with refused("fetch.leads_out"):
        fetch([a(server, name=name)], tmp_path / "in", silent)
    assert server.asked == [] and sorted(path.name for path in tmp_path.iterdir()) == ["in"]
    assert inside(tmp_path / "in/files", "a/./b.tsv") == tmp_path / "in/files/a/b.tsv"


def test_only_the_web_is_asked(tmp_path):
    with refused("fetch.address", "file:///etc/passwd"):
        fetch([Remote("x", "file:///etc/passwd")], tmp_path, silent)


def test_a_secret_stays_with_the_address_it_is_for(server, tmp_path):
    server.moved["/private"] = f"{server.url}/a"
    fetch(
        [Remote("x", f"{server.url}/private", SUM, None, {"Authorization": "Bearer me"})],
        tmp_path,
        silent,
    )
    assert [(path, secret) for path, _, secret in server.asked] == [
        ("/private", "Bearer me"),
        ("/a", None),
    ]


def test_a_disk_without_room_is_said_before_anything_is_fetched(server, tmp_path):
    with refused("fetch.disk_full", "1,000,000,000 GB"):
        fetch([a(server, SUM, 10**18)], tmp_path, silent)
    assert server.asked == []


def test_a_file_that_was_changed_with_its_size_and_time_kept_is_fetched_again(server, tmp_path):
    fetch([a(server)], tmp_path, silent)
    path = tmp_path / "files" / "sub" / "a.bin"
    stat = path.stat()
    path.write_bytes(BODY[:-1] + bytes([BODY[-1] ^ 1]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert len(missing([a(server)], tmp_path)) == 1
    fetch([a(server)], tmp_path, silent)
    assert content(tmp_path) == BODY and not missing([a(server)], tmp_path)


@pytest.mark.parametrize(
    "known", ["[]", "3", "{half", '{"sub/a.bin": 3}', '{"sub/a.bin": {"size": "x"}}', "null"]
)
def test_a_manifest_of_any_content_brings_the_files_again(server, tmp_path, known):
    fetch([a(server)], tmp_path, silent)
    (tmp_path / "manifest.json").write_text(known)
    assert len(missing([a(server)], tmp_path)) == 1
    fetch([a(server)], tmp_path, silent)
    assert content(tmp_path) == BODY and not missing([a(server)], tmp_path)
