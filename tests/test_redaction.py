"""Secrets of the environment: known by their names, refused in a config, replaced in what is printed."""

import subprocess
import sys

import pytest

from hybrid_sweep import redaction
from hybrid_sweep.errors import UserError
from tests.wandb_sweep_folder import SECRET

NAMES = ["WANDB_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD", "my_secret", "PASSWORD", "APIKEY"]
NAMES += ["GOOGLE_CREDENTIALS"]


@pytest.mark.parametrize("name", NAMES)
def test_secrets_are_known_by_the_names_of_their_variables(monkeypatch, name):
    monkeypatch.setenv(name, SECRET)
    assert redaction.redacted(f"key={SECRET};") == f"key=${name};"


@pytest.mark.parametrize(("name", "value"), [("KEYBOARD", SECRET), ("TOKENIZERS_PARALLELISM", SECRET), ("A_KEY", "en")])
def test_other_variables_and_short_values_are_none(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert redaction.redacted(f"x {value}") == f"x {value}"


def test_a_password_in_an_address_is_one_too():
    assert redaction.redacted("from https://me:pw@host/x") == "from https://***@host/x"
    assert redaction.redacted("from https://host:80/x") == "from https://host:80/x"


def test_a_config_that_holds_a_secret_is_refused(config, monkeypatch):
    monkeypatch.setenv("MIRROR_TOKEN", SECRET)
    with pytest.raises(UserError, match=r"^data.mirror: holds the value of \$MIRROR_TOKEN") as caught:
        config(f"data.mirror=https://host/{SECRET}")
    assert SECRET not in str(caught.value)
    with pytest.raises(UserError, match=r"MIRROR_TOKEN"):
        config("data.mirror=https://host/${oc.env:MIRROR_TOKEN}")
    with pytest.raises(UserError, match=r"^data.mirror: an address with a password"):
        config("data.mirror='https://me:pw@host'")


def test_what_a_process_prints_and_raises_is_redacted():
    code = (
        "import logging, os, traceback; from hybrid_sweep import redaction; redaction.guard()\n"
        "logging.basicConfig(); key = os.environ['HF_TOKEN']; print('told', key); logging.warning('logged %s', key)\n"
        "try: raise ValueError(key)\nexcept ValueError: traceback.print_exc()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"HF_TOKEN": SECRET})
    assert done.returncode == 0 and SECRET not in done.stdout + done.stderr
    assert done.stdout == "told $HF_TOKEN\n" and "ValueError: $HF_TOKEN" in done.stderr and "logged $" in done.stderr
