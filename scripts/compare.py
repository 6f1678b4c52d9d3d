#!/usr/bin/env python
"""Compares how deep to freeze networks of several sources: draws their defrosting profiles on one target."""

import sys
from pathlib import Path

# The clone, in the place of the folder of scripts, in which `import profile` would find one of them and not Python's.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from kdefrost_commands.compare import main

if __name__ == "__main__":
    main()
