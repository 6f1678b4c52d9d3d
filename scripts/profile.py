#!/usr/bin/env python
"""Finds out how deep to freeze a network: draws the defrosting profile of a source and a target."""

import sys
from pathlib import Path

# Not the folder of scripts, in which `import profile` would find one of them and not Python's.
sys.path[:1] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent / "program")]

from kdefrost_commands.profile import main

if __name__ == "__main__":
    main()
