"""Secrets of the environment: known by their names, refused in a config, replaced in what is
printed.
"""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from hybrid_sweep.utils import redaction
from tests.refused import refused
from tests.wandb_sweep_folder import SECRET

NAMES = [
    "WANDB_API_KEY",
    "HF_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "DB_PASSWORD",
    "my_secret",
    "PASSWORD",
    "APIKEY",
]
NAMES += ["GOOGLE_CREDENTIALS"]


@pytest.mark.parametrize("name", NAMES)
def test_secrets_are_known_by_the_names_of_their_variables(monkeypatch, name):
    monkeypatch.setenv(name, SECRET)
    assert redaction.redacted(f"key={SECRET};") == f"key=${name};"


@pytest.mark.parametrize(
    ("name", "value"), [("KEYBOARD", SECRET), ("TOKENIZERS_PARALLELISM", SECRET), ("A_KEY", "en")]
)
def test_other_variables_and_short_values_are_none(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert redaction.redacted(f"x {value}") == f"x {value}"


def test_a_password_in_an_address_is_one_too():
    assert redaction.redacted("from https://me:pw@host/x") == "from https://***@host/x"
    assert redaction.redacted("from https://host:80/x") == "from https://host:80/x"


def test_a_config_that_holds_a_secret_is_refused(config, monkeypatch):
    monkeypatch.setenv("MIRROR_TOKEN", SECRET)
    with refused("config.secret", "data.mirror: ", "$MIRROR_TOKEN") as refusal:
        config(f"data.mirror=https://host/{SECRET}")
    assert SECRET not in refusal.message
    with refused("config.secret", "MIRROR_TOKEN"):
        config("data.mirror=https://host/${oc.env:MIRROR_TOKEN}")
    with refused("config.secret_address", "data.mirror"):
        config("data.mirror='https://me:pw@host'")


def test_what_a_process_prints_and_raises_is_redacted():
    code = (
        "import logging, os, traceback; from hybrid_sweep.utils import redaction;"
        " redaction.guard()\nlogging.basicConfig(); key = os.environ['HF_TOKEN']; print('told',"
        " key); logging.warning('logged %s', key)\ntry: raise ValueError(key)\nexcept ValueError:"
        " traceback.print_exc()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"HF_TOKEN": SECRET}
    )
    assert done.returncode == 0 and SECRET not in done.stdout + done.stderr
    assert (
        done.stdout == "told $HF_TOKEN\n"
        and "ValueError: $HF_TOKEN" in done.stderr
        and "logged $" in done.stderr
    )


# A secret between marks that occur nowhere else, so that a part of it is found, too.
CORES = some.text("abcdefgh0123456789", min_size=8, max_size=12).map("QZ{}ZQ".format)
URL_SAFE = some.tuples(CORES, some.sampled_from(["", "!", "$", "~", "-", "_", "."]), CORES).map(
    "".join
)
ANY = some.tuples(
    CORES, some.sampled_from(["", "'", '"', "<", ",", "}", "é", "%", "+"]), CORES
).map("".join)
TEXTS = {
    "user and password": "https://me:{}@host/x",
    "token alone": "https://{}@host:8080/x",
    "no scheme": "{0}:{0}@host:80/x",
    "no scheme, no port": "me:{}@host/x",
    "password with a slash": "https://me:a/{}@host/x",
    "password with an at": "https://me:a@{}@host/x",
    "other scheme": "s3+https://me:{}@host",
    "no protocol": "//me:{}@host/x",
    "query": "https://host/x?a=b&token={}&c=d",
    "first of a query": "http://host/?sig={}",
    "signed address": "https://host/x?X-Amz-Credential={0}&X-Amz-Signature={0}&x=1",
    "camel case": "https://host/x?AWSAccessKeyId={0}&accessToken={0}&sharedSecret={0}",
    "key in brackets": "https://host/x?auth[token]={}",
    "query without a host": "x?api_key={}",
    "fragment": "https://host/x#access_token={}&y=1",
    "header": "curl -H 'Authorization: Bearer {}' x",
    "basic": "Authorization: Basic {}==",
    "header in JSON": '{{"Authorization": "token {}"}}',
    "other header": "X-Api-Key: {}",
    "bearer": "sent bearer {} to it",
    "word": "hydra.job.env_set.WANDB_API_KEY={} x=1",
    "added word": "+hydra.job.env_set.KEY={} x=1",
    "option": "--api-key={} x",
    "option and word": "wandb login --token {} x",
    "dict": "+hydra.job.env_set={{A_TOKEN: {}, B: c}}",
    "dict of dicts": "hydra={{job: {{env_set: {{MY_PASSWORD: {}}}}}}}",
    "dict in JSON": '{{"x": {{"A_SECRET": "{}"}}}}',
}


@pytest.mark.parametrize("form", TEXTS)
@given(secret=URL_SAFE)
def test_no_secret_survives_in_any_form(form: str, secret: str) -> None:
    text = TEXTS[form].format(secret)
    apart = redaction.words(text.split()) if "word" in form or "option" in form else []
    for found in (redaction.redacted(text), redaction.word(text), *apart):
        assert "QZ" not in found and "ZQ" not in found, found
    once = redaction.redacted(text)
    assert redaction.redacted(once) == once


ADDRESSES = [
    "user and password",
    "token alone",
    "no scheme",
    "no scheme, no port",
    "query",
    "signed address",
    "fragment",
]


@pytest.mark.parametrize("form", ADDRESSES)
@pytest.mark.parametrize("times", [1, 2])
@given(secret=URL_SAFE)
def test_no_secret_survives_percent_encoded(form: str, times: int, secret: str) -> None:
    text = TEXTS[form].format(secret)
    for _ in range(times):
        text = quote(text, safe="")
    for shown in (text, re.sub("%(25)?..", lambda code: code[0].lower(), text)):
        assert "QZ" not in redaction.redacted(f"mirror={shown} x")


WORDS = [
    "hydra.job.env_set.WANDB_API_KEY={}",
    "+hydra.job.env_set={{A_TOKEN: '{}'}}",
    "data.mirror=https://me:{}@h/x",
]
WORDS += ["data.mirror=https://h/x?token={}"]


@pytest.mark.parametrize("form", WORDS)
@given(secret=ANY)
@example(secret="QZabc ZQ")
def test_no_secret_survives_in_a_word_of_a_command(form: str, secret: str) -> None:
    given = (
        secret.replace("'", "")
        if "'" in form
        else secret.replace(" ", "%20")
        if "http" in form
        else secret
    )
    shown = shlex.join(redaction.words(["hybrid-sweep", form.format(given), "seed=0"]))
    assert "QZ" not in shown and "ZQ" not in shown and shlex.split(shown)[-1] == "seed=0"


@given(secret=ANY, place=some.sampled_from(["{}", "'{}'", "a{}b", "https://h/{}"]))
@example(secret="QZ'a\"b\\c d€ZQ", place="{}")
def test_a_secret_of_the_environment_goes_in_every_way_of_writing(secret: str, place: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIRROR_TOKEN", secret)
        text = place.format(secret)
        forms = [
            text,
            quote(text),
            quote(text, safe=""),
            quote(quote(text)),
            re.sub("%..", lambda code: code[0].lower(), quote(text)),
        ]
        forms += [
            json.dumps(text),
            json.dumps(text, ensure_ascii=False),
            shlex.join([text]),
            shlex.quote(text),
        ]
        for form in forms:
            assert "QZ" not in redaction.redacted(form), form


def commands() -> list[str]:
    """The commands of README and docs, with their continued lines."""
    root = Path(__file__).parents[2]
    texts = [
        path.read_text() for path in [root / "README.md", *sorted((root / "docs").glob("*.md"))]
    ]
    lines = [line.strip() for text in texts for line in text.replace("\\\n", " ").splitlines()]
    return [
        line
        for line in lines
        if re.match(r"(`)?(hybrid-sweep|make|python|pip|wandb|torchrun|srun) ", line)
    ]


def test_ordinary_commands_are_unchanged():
    found = commands()
    assert len(found) > 40
    for line in found:
        assert redaction.redacted(line) == line


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[2].glob("experiments/*/points.json")), ids=str
)
def test_published_commands_are_unchanged(path: Path):
    from hybrid_sweep.report.public_command import public_command

    command = json.loads(path.read_text())["command"]
    assert public_command(command) == redaction.redacted(command) == command
    assert redaction.words(shlex.split(command)) == shlex.split(command)


NO_SECRETS = [
    "key=lambda row: row",
    "KEY=VALUE",
    "eval.batch_tokens=4096",
    '{"pad_token_id": 0}',
    "git@github.com:a/b",
]
NO_SECRETS += [
    "https://host:80/x@y",
    "cls_token=[CLS]",
    "a/b@de:synopsis",
    "TOKEN=$HF_TOKEN",
    "x_token=${oc.env:X}",
]


@pytest.mark.parametrize("text", NO_SECRETS)
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    assert redaction.redacted(text) == text


HOSTILE = [
    "a:" * 4000,
    "//:x" * 2000,
    "%26" * 2700,
    "{" * 8000,
    "{a:'" * 2000,
    '{a:"' * 2000,
    "--x " * 2000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:4])
def test_a_hostile_line_takes_no_time(text: str) -> None:
    from time import process_time

    begun = process_time()
    redaction.redacted(text)
    redaction.word(text)
    assert process_time() - begun < 2


REFUSED = [
    "https://TOKEN@host/x",
    "https://h/x?token=abc",
    "https://h/x?X-Amz-Signature=a",
    "me:pw@host:80/x",
]
REFUSED += ["https%3A%2F%2Fme%3Apw%40host", "https://h/x#access_token=abc"]


@pytest.mark.parametrize("mirror", REFUSED)
def test_a_config_with_a_secret_in_an_address_is_refused(config, mirror: str) -> None:
    with refused("config.secret_address", "data.mirror: ") as refusal:
        config(f"data.mirror='{mirror}'")
    assert mirror not in refusal.message


def test_what_is_recorded_of_a_sweep_holds_no_secret(config, tmp_path, monkeypatch):
    from hybrid_sweep.sweeps import point_list, recorded_points

    made = config(f"paths.outputs={tmp_path}")
    point = point_list.Point("a1", "trained", ("seed=0", f"+x.A_TOKEN={SECRET}"), made, {})
    recorded_points.record([point], f"hybrid-sweep run https://me:{SECRET}@host/x")
    stored = (tmp_path / "sweeps" / made.sweep.name / "points.json").read_text()
    assert SECRET not in stored and "+x.A_TOKEN=***" in stored
