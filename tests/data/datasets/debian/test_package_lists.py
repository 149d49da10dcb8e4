"""Lists in every form that apt and mirrors leave, and Release files."""

import bz2
import gzip
import hashlib
import lzma
import random
from pathlib import Path

import pyarrow as pa
import pytest

from hybrid_sweep.data.datasets.debian.package_lists import Release, assemble, parse_release, read
from tests.refused import refused

PACK = {"": bytes, ".xz": lzma.compress, ".gz": gzip.compress, ".bz2": bz2.compress}


def pack(content: bytes, path: Path, codec: str | None) -> Path:
    if codec:
        with pa.output_stream(str(path), compression=codec) as sink:
            sink.write(content)
    else:
        path.write_bytes(PACK[path.suffix](content))
    return path


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".lz4", "lz4"), (".zst", "zstd"), (".xz", None), (".gz", None), (".bz2", None), ("", None)],
)
def test_lists_are_read_in_every_form_whole_or_not_at_all(
    tmp_path: Path, suffix: str, codec: str | None
) -> None:
    content = random.Random(0).randbytes(400_000).hex().encode()
    sha256 = hashlib.sha256(content).hexdigest()
    path = pack(content, tmp_path / f"Translation-pt%5fBR{suffix}", codec)
    assert b"".join(read(path, sha256)) == content
    with refused("debian.list_altered", path, "SHA256"):
        list(read(path, "0" * 64))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with refused("debian.list_damaged" if suffix else "debian.list_altered", path):
        list(read(path, sha256))
    if suffix:
        with refused("debian.list_damaged", path):
            list(read(path, None))
        path.write_bytes(path.read_bytes()[:12] + bytes(range(256)) + path.read_bytes()[268:])
        with refused("debian.list_damaged", path):
            list(read(path, None))


def test_a_signed_release_is_read_as_the_plain_one() -> None:
    text = "Origin: Debian\nLabel: a\n- b: c\nSHA256:\n aa 12 main/x\n bb 0 main/y\n"
    signed = (
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n"
        + text.replace("\n- b", "\n- - b").rstrip("\n")
        + "\n-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n"
    )
    assert parse_release(signed) == parse_release(text)
    release = parse_release(text)
    assert release.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert release.files == {"main/x": ("aa", 12), "main/y": ("bb", 0)}
    assert release.lists("main/x") and not release.lists("main/y") and not release.lists("main/z")


@pytest.mark.parametrize("size", ["x", "-1", "1e3", "9" * 5000, "²"])
def test_a_size_that_is_no_number_is_one_line(size: str) -> None:
    with refused("debian.release_damaged", size[:100]) as refusal:
        parse_release(f"Origin: Debian\nSHA256:\n aa {size} main/x\n")
    assert len(refusal.message) < 300
    with refused("debian.release_incomplete"):
        assemble(
            parse_release("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256"), "amd64", ["en"], {}
        )


def test_lists_of_a_release_are_all_there_or_refused() -> None:
    names = [
        "main/binary-amd64/Packages",
        "main/i18n/Translation-en",
        "main/i18n/Translation-pt_BR",
    ]
    told = {f"{name}.xz": ("aa", 9) for name in [*names, "universe/i18n/Translation-en"]} | {
        names[1]: ("bb", 9)
    }
    release = Release({"Origin": "Ubuntu", "Codename": "c"}, told, "cc")
    files = {name: Path(name) for name in names}
    lists = assemble(release, "amd64", ["en", "pt", "ja"], files)
    assert lists.packages == (Path(names[0]),) and lists.sha256 == {Path(names[1]): "bb"}
    # No Japanese in the release, and no packages of universe at hand: neither is missing.
    assert lists.translations == {"en": (Path(names[1]),), "pt": (Path(names[2]),)}
    assert lists.release["components"] == "main" and lists.release["sha256"] == "cc"
    for name, key in ((names[2], "debian.list_missing"), (names[0], "debian.release_incomplete")):
        with refused(key, "DATA=synthetic"):
            assemble(
                release,
                "amd64",
                ["en", "pt"],
                {other: path for other, path in files.items() if other != name},
            )
    with refused("debian.release_incomplete"):
        assemble(
            Release({}, {}, ""),
            "amd64",
            ["en", "pt"],
            {name: files[name] for name in (names[0], names[2])},
        )
