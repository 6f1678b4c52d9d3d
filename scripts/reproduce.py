#!/usr/bin/env python
"""Draws the figures of the paper (Gerace et al., 2023) again, from training the sources on."""

import sys
from pathlib import Path

# Not the folder of scripts, in which `import profile` would find one of them and not Python's.
sys.path[:1] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent / "program")]

from kdefrost_commands.reproduce import main

if __name__ == "__main__":
    main()
