"""What a run keeps of the machine and the process that did it."""

import subprocess
import sys

from hybrid_sweep.runs.provenance import process_age


def test_the_age_of_a_process_is_what_its_start_took():
    code = (
        "import time; time.sleep(0.5); from hybrid_sweep.runs.provenance import process_age;"
        " print(process_age())"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 0.5 <= float(done.stdout) < 60 and process_age() > 0
