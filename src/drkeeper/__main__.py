"""`drkeeper` and `python -m drkeeper`."""

import gc
import os
import sys

from drkeeper.cli.root import run

# Imports make many objects that stay: looking through them again and again for garbage takes a sixth of the start.
GARBAGE_THRESHOLD = 200_000


def main() -> None:
    """Run the command line that this process was started with, and exit."""
    gc.set_threshold(GARBAGE_THRESHOLD, 20, 20)
    # pydantic would look for plugins of its own in every installed package's metadata.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    code = run(sys.argv[1:])
    gc.freeze()  # the interpreter looks through all objects as it ends: 0.1 s, and the process's memory goes anyway
    sys.exit(code)


if __name__ == "__main__":
    main()
