"""Fetching the Debian lists: from mirrors in folders and over HTTP, and through the machine's
apt-get, offline.
"""

import http.server
import lzma
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hybrid_sweep.data.datasets.debian import apt
from hybrid_sweep.data.datasets.debian.collection import build
from tests.refused import refused

Entry = dict[str, Any]


def test_a_list_of_another_hash_is_refused_and_not_kept(
    archive: SimpleNamespace, tmp_path: Path
) -> None:
    archive.write(tmp_path / "mirror", archive.good)
    german = tmp_path / "mirror/dists/stable/main/i18n/Translation-de.xz"
    german.write_bytes(lzma.compress(lzma.decompress(german.read_bytes()).replace(b"der", b"den")))
    with refused("mirror.file_altered", "Translation-de.xz", "SHA256"):
        build(
            ["de"], mirror=str(tmp_path / "mirror"), work=tmp_path / "work", progress=archive.quiet
        )
    assert not list((tmp_path / "work").rglob("*-de*"))


def test_a_missing_list_and_a_list_the_release_lacks(
    archive: SimpleNamespace, tmp_path: Path
) -> None:
    archive.write(tmp_path / "mirror", archive.good)
    built = build(
        ["de", "ru"],
        mirror=str(tmp_path / "mirror"),
        work=tmp_path / "work",
        progress=archive.quiet,
    )
    assert built.languages == ["de", "en"]  # the release has no Russian at all: none is missing
    (tmp_path / "mirror/dists/stable/main/i18n/Translation-de.xz").unlink()
    shutil.rmtree(tmp_path / "work")
    with refused("mirror.file_missing", "Translation-de.xz"):
        build(
            ["de"], mirror=str(tmp_path / "mirror"), work=tmp_path / "work", progress=archive.quiet
        )


def test_a_partial_file_of_an_earlier_attempt_is_fetched_anew(
    archive: SimpleNamespace, tmp_path: Path
) -> None:
    expected = archive.make(tmp_path, archive.good)
    german = next((tmp_path / "work").rglob("Translation-de.xz"))
    german.write_bytes(german.read_bytes()[:-9])
    assert archive.make(tmp_path, archive.good).fingerprint == expected.fingerprint
    shutil.rmtree(tmp_path / "mirror/dists/stable/main")  # whole files are not fetched again
    again = build(
        ["de", "it"],
        mirror=str(tmp_path / "mirror"),
        work=tmp_path / "work",
        progress=archive.quiet,
    )
    assert again.fingerprint == expected.fingerprint


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, dict[str, int]]]:
    """A mirror over HTTP that stops after so many bytes of the files named in the dictionary."""
    cut: dict[str, int] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = tmp_path / "mirror" / self.path.lstrip("/")
            if not path.is_file():
                self.send_error(404)
                return
            content = path.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: cut.get(path.name)])

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}", cut
        httpd.shutdown()
        thread.join()


@pytest.mark.parametrize("suffix", [".xz", ".gz", ".bz2"])
def test_a_mirror_over_http_and_a_download_cut_short(
    archive: SimpleNamespace, tmp_path: Path, server: tuple[str, dict[str, int]], suffix: str
) -> None:
    address, cut = server
    expected = archive.make(tmp_path, archive.good, pack=suffix)
    cut[f"Translation-de{suffix}"] = 100
    with refused("mirror.unreachable", "100 bytes read"):
        build(["de", "it"], mirror=address, work=tmp_path / "work2", progress=archive.quiet)
    assert not list((tmp_path / "work2").rglob("*-de*")) and not list(
        (tmp_path / "work2").rglob(".tmp*")
    )
    cut.clear()
    built = build(
        ["de", "it"], mirror=address + "/", work=tmp_path / "work2", progress=archive.quiet
    )
    assert built.fingerprint == expected.fingerprint
    assert built.info["release"]["sha256"] == expected.info["release"]["sha256"]


def test_mirrors_that_are_none(
    archive: SimpleNamespace, tmp_path: Path, server: tuple[str, dict[str, int]]
) -> None:
    def attempt(mirror: str) -> None:
        build(["de"], mirror=mirror, work=tmp_path / "work", progress=archive.quiet)

    with refused("mirror.no_folder", tmp_path / "absent"):
        attempt(str(tmp_path / "absent"))
    for mirror in (str(tmp_path), server[0]):
        with refused("mirror.no_release", mirror, "dists/stable/Release"):
            attempt(mirror)
    with refused("mirror.unreachable", "data.mirror", "make reproduce DATA=synthetic"):
        attempt("http://127.0.0.1:9")  # the discard port: nothing listens
    archive.write(tmp_path / "mirror", [item | {"unlisted": True} for item in archive.good])
    with refused("debian.release_incomplete", "DATA=synthetic"):
        attempt(str(tmp_path / "mirror"))


# ---------------------------------------------------------------- apt


def other(archive: SimpleNamespace, sign: str) -> list[Entry]:
    return [
        item | {"name": item["name"] + sign, "texts": archive.entry(item["name"] + sign)["texts"]}
        for item in archive.good
    ]


def test_apt_takes_the_main_archive_and_nothing_else(
    archive: SimpleNamespace, tmp_path: Path, sources: Path
) -> None:
    expected = archive.make(tmp_path, archive.good)
    archive.write(tmp_path / "mirror", other(archive, "-new"), name="stable-updates")
    archive.write(tmp_path / "third", other(archive, "-third"), origin="Somebody")
    archive.write(tmp_path / "security", other(archive, "-safe"), suite="stable-security")
    sources.write_text(
        "".join(
            f"deb [trusted=yes] file:{tmp_path}/{place} main\n"
            for place in (
                "third stable",
                "gone stable",
                "security stable",
                "mirror stable-updates",
                "mirror stable",
            )
        )
    )
    spoken: list[str] = []
    built = build(
        ["de", "it", "da"], mirror=None, work=tmp_path / "apt work", progress=spoken.append
    )
    assert built.fingerprint == expected.fingerprint and built.info == expected.info
    # the failing source is named
    assert any("apt-get update" in line and "gone" in line for line in spoken)
    assert not (sources.parent / "hook").exists()
    languages = {
        path.name.rpartition("Translation-")[2][:2]
        for path in (tmp_path / "apt work/lists").glob("*i18n*")
    }
    assert languages == {"de", "en", "it"}


def test_apt_of_two_releases_takes_the_machines_own(
    archive: SimpleNamespace, tmp_path: Path, sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.write(tmp_path / "mirror", archive.good, name="first")
    archive.write(tmp_path / "mirror", other(archive, "-x"), name="second")
    sources.write_text(
        f"deb [trusted=yes] file:{tmp_path}/mirror first main\ndeb [trusted=yes]"
        f" file:{tmp_path}/mirror second main\n"
    )
    for own, found in ((None, "first"), ("second", "second"), ("absent", "first")):
        monkeypatch.setattr(apt, "own_codename", lambda own=own: own)
        built = build(["de"], mirror=None, work=tmp_path / "work", progress=archive.quiet)
        assert built.info["release"]["codename"] == found


def test_apt_without_a_source(
    archive: SimpleNamespace, tmp_path: Path, sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.write(tmp_path / "third", archive.good, origin="Somebody")
    for place, reason in (("", ""), ("third", ""), ("gone", "gone")):
        sources.write_text(
            f"deb [trusted=yes] file:{tmp_path}/{place} stable main\n" if place else ""
        )
        with refused("debian.no_archive", reason, "data.mirror", "make reproduce DATA=synthetic"):
            build(["de"], mirror=None, work=tmp_path / "work", progress=archive.quiet)
    monkeypatch.setattr(apt.shutil, "which", lambda name: None)
    with refused("debian.no_apt", "data.mirror", "make reproduce DATA=synthetic"):
        build(["de"], mirror=None, work=tmp_path / "work", progress=archive.quiet)


def test_apt_with_a_list_that_could_not_be_fetched(
    archive: SimpleNamespace, tmp_path: Path, sources: Path
) -> None:
    archive.write(tmp_path / "mirror", archive.good)
    (tmp_path / "mirror/dists/stable/main/i18n/Translation-de.xz").unlink()
    sources.write_text(f"deb [trusted=yes] file:{tmp_path}/mirror stable main\n")
    with refused("debian.no_archive"):  # apt takes all lists of a release or none
        build(["de", "it"], mirror=None, work=tmp_path / "work", progress=archive.quiet)
