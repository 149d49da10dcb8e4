"""What a run keeps of the machine and the process that did it."""

import subprocess
import sys

from hybrid_sweep.runs.provenance import peak_memory, process_age


def test_the_age_of_a_process_is_what_its_start_took():
    code = (
        "import time; time.sleep(0.5); from hybrid_sweep.runs.provenance import process_age;"
        " print(process_age())"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 0.5 <= float(done.stdout) < 60 and process_age() > 0


def test_the_peak_of_memory_is_not_that_of_the_program_that_started_this_one():
    held = bytearray(400 * 2**20)
    held[:: 2**12] = b"x" * len(held[:: 2**12])
    code = "from hybrid_sweep.runs.provenance import peak_memory; print(peak_memory())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 300 < 400 <= peak_memory()
    del held
