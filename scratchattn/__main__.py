"""``python -m scratchattn list``: the same as the command ``scratchattn``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
