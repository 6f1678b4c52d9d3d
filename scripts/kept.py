#!/usr/bin/env python
"""Lists what is kept in saved_models, so that it need not be made twice, and clears it."""

import sys
from pathlib import Path

# Not the folder of scripts, in which `import profile` would find one of them and not Python's.
sys.path[:1] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent / "program")]

from kdefrost_commands.kept import main

if __name__ == "__main__":
    main()
