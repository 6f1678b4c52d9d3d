#!/usr/bin/env python
"""Compares how deep to freeze networks of several sources: draws their defrosting profiles on one target."""

import sys
from pathlib import Path

# Not the folder of scripts, in which `import profile` would find one of them and not Python's.
sys.path[:1] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent / "program")]

from kdefrost_commands.compare import main

if __name__ == "__main__":
    main()
