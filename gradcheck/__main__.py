"""``python -m gradcheck check``: the same as the command ``gradcheck``."""

import sys

from scratchattn.cli import gradcheck_main

if __name__ == "__main__":
    sys.exit(gradcheck_main())
