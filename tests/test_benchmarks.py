"""The benchmarks measure what they say: the limit counts the operations of the texts' own
tokens.
"""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

FOLDER = Path(__file__).parent.parent / "benchmarks"


def module(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_the_limit_counts_the_matrix_products_of_a_step():
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=40,
        attn_implementation="eager", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model = BertModel(config, add_pooling_layer=False)
    lengths = [[5, 9], [12, 3]]
    with FlopCounterMode(display=False) as counter:
        for length in (length for side in lengths for length in side):
            ids = torch.zeros(1, length, dtype=torch.long)
            model(
                input_ids=ids, attention_mask=torch.ones_like(ids)
            ).last_hidden_state.sum().backward()
    # Attention has a gradient for both factors, as every linear layer has, so that backward is
    # twice forward.
    assert np.isclose(
        module("train").operations(lengths, [3, 16, 40]), counter.get_total_flops(), rtol=1e-12
    )


@pytest.mark.parametrize("name", [path.stem for path in FOLDER.glob("*.py")])
def test_each_benchmark_says_what_it_does(name):
    done = subprocess.run(
        [sys.executable, FOLDER / f"{name}.py", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "python benchmarks/" in done.stdout


@pytest.mark.slow
def test_preparing_takes_memory_that_does_not_grow_with_the_passages(tmp_path):
    command = [
        sys.executable,
        FOLDER / "size.py",
        "--passages",
        "400000",
        "1600000",
        "--work",
        tmp_path,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    few, many = (
        float(found)
        for found in re.findall(r"passages: ([0-9]+) MB of private memory", done.stdout)
    )
    assert many < 500 and many - few < 100
    assert "8,841,823 passages x 14 languages = 123,785,522" in done.stdout


def test_the_script_for_a_gpu_is_sound_and_runs_what_there_is():
    script = FOLDER / "gpu.sh"
    done = subprocess.run(["bash", "-n", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    named = set(re.findall(r"\b((?:benchmarks|tests)/\w+\.py)", script.read_text()))
    assert len(named) == 5 and all((FOLDER.parent / name).is_file() for name in named)
    most = [
        int(seconds) for seconds in re.findall(r'^ *step ".*?" (\d+) ', script.read_text(), re.M)
    ]
    twice = most[1] + most[2]  # in float32 and in bfloat16
    assert len(most) == 5 and sum(most) + twice <= 600
