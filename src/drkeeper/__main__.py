"""`drkeeper` and `python -m drkeeper`."""

import sys

from drkeeper.cli.root import run


def main() -> None:
    """Run the command line that this process was started with, and exit."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
