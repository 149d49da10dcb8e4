"""`python -m hybrid_sweep.worker RUN_DIR [PERMISSION=true ...]`: see `sweeps.worker`."""

import sys

from hybrid_sweep.sweeps.worker import begin

if __name__ == "__main__":
    sys.exit(begin(sys.argv[1:]))
