"""`python -m hybrid_sweep` is `hybrid-sweep`: nothing is imported from where one stands."""

import os
import sys

# Python puts that folder first, where a script of the user's may have the name of a library.
if sys.path[0] == os.getcwd():
    del sys.path[0]

from hybrid_sweep.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())
