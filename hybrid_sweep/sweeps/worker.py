"""The process that does one run: `python -m hybrid_sweep.worker RUN_DIR [WORD ...]`. It never
initialises Hydra.

That keeps Lightning from starting the whole sweep again in every process of a distributed run, and
a crash, a leak or an out-of-memory kill in one point from touching the others. The same words work
under torchrun and srun.
"""

import contextlib
import errno
import faulthandler
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path

from hybrid_sweep.utils import redaction
from hybrid_sweep.utils.errors import UserError
from hybrid_sweep.utils.files import write_json
from hybrid_sweep.utils.parent_process import end_with_parent

DISK_FULL = 28  # exit code: where nothing more can be written, it alone can tell


def main(run_dir: Path, words: Sequence[str] = ()) -> int:
    """Execute the run; 0 done, 2 the user's mistake, DISK_FULL, 1 anything else. The reason is left
    in status.json.

    Args:
        run_dir: the run's folder; its config.yaml is data and permits nothing.
        words: what the user's own command permits and names, such as model.remote_code=true or
            trainer.loss=module:function; see `validate.permitted`.
    """
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")
    # Lightning's advice (more loader workers, tensor cores) is not for these runs; real warnings
    # stay in the log.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # In a job of one node it is not needed.
    warnings.filterwarnings("ignore", message=".*`srun` command is available.*")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        from hybrid_sweep.runs.execute import execute

        execute(run_dir, words)
        return 0
    except UserError as error:
        return _failed(run_dir, f"error: {error}", 2)
    except Exception as error:
        with contextlib.suppress(OSError):  # the disk of the log may be full, and be the reason
            traceback.print_exc()
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        return _failed(run_dir, f"{type(error).__name__}: {error}", DISK_FULL if full else 1)


def _failed(run_dir: Path, message: str, code: int) -> int:
    with contextlib.suppress(OSError):
        print(message, file=sys.stderr, flush=True)
    from hybrid_sweep.utils import records, safe_paths

    if not run_dir.is_dir():
        return code  # nothing is made of a name that is no run
    status, message = records.status(run_dir), redaction.redacted(message)
    with contextlib.suppress(OSError, UserError):
        safe_paths.check_links(run_dir)
        write_json(
            run_dir / "status.json", {**status, "state": "failed", "error": message.splitlines()[0]}
        )
    return code


def _a_rank_ends_with_its_parent() -> None:
    """End a rank of a distributed run with the process that started it; other workers may outlive
    theirs.
    """
    if int(os.environ.get("LOCAL_RANK", "0")) > 0:
        end_with_parent()


def begin(words: Sequence[str]) -> int:
    """Do what the words of the command line say, and return the exit code.

    Args:
        words: RUN_DIR and what is permitted, or `--serve FD`: then this process is the one that
            workers are forked from, and what follows happens in each of them.
    """
    faulthandler.enable()
    if len(words) == 2 and words[0] == "--serve":
        from hybrid_sweep.sweeps import fork_server

        words = fork_server.serve(int(words[1]))
    redaction.guard()
    _a_rank_ends_with_its_parent()
    if not words or words[0].startswith("-"):
        sys.exit(
            "usage: python -m hybrid_sweep.worker RUN_DIR [model.remote_code=true] "
            "[trainer.loss=MODULE:NAME folder=DIR]"
        )
    return main(Path(words[0]), words[1:])
