"""The process that does one run: `python -m hybrid_sweep.worker RUN_DIR`. It never initialises Hydra.

That keeps Lightning from starting the whole sweep again in every process of a distributed run, and a crash, a leak or an
out-of-memory kill in one point from touching the others. The same words work under torchrun and srun.
"""

import faulthandler
import logging
import os
import sys
import traceback
import warnings
from pathlib import Path

from hybrid_sweep.errors import UserError
from hybrid_sweep.store import read_json, write_json


def main(run_dir: Path) -> int:
    """Execute the run; 0 done, 2 the user's mistake, 1 anything else. The reason is left in status.json."""
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")
    # Lightning's advice (more loader workers, tensor cores) is not for these runs; real warnings stay in the log.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        from hybrid_sweep.run import execute

        logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # its import sets INFO
        execute(run_dir)
        return 0
    except UserError as error:
        return _failed(run_dir, f"error: {error}", 2)
    except Exception as error:
        traceback.print_exc()
        return _failed(run_dir, f"{type(error).__name__}: {error}", 1)


def _failed(run_dir: Path, message: str, code: int) -> int:
    print(message, file=sys.stderr, flush=True)
    status = read_json(run_dir / "status.json") or {}
    write_json(run_dir / "status.json", {**status, "state": "failed", "error": message.splitlines()[0]})
    return code


if __name__ == "__main__":
    faulthandler.enable()
    if len(sys.argv) != 2:
        sys.exit("usage: python -m hybrid_sweep.worker RUN_DIR")
    sys.exit(main(Path(sys.argv[1])))
