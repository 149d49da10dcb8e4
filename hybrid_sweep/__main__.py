"""`python -m hybrid_sweep` is `hybrid-sweep`."""

import sys

from hybrid_sweep.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())
