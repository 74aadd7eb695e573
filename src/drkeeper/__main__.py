"""`drkeeper` and `python -m drkeeper`."""

import gc
import sys

from drkeeper.cli.root import run

# Imports make many objects that stay: looking through them again and again for garbage takes a sixth of the start.
GARBAGE_THRESHOLD = 20_000


def main() -> None:
    """Run the command line that this process was started with, and exit."""
    gc.set_threshold(GARBAGE_THRESHOLD, 20, 20)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
