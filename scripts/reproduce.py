#!/usr/bin/env python
"""Draws the figures of the paper (Gerace et al., 2023) again, from training the sources on."""

import sys
from pathlib import Path

# The clone, in the place of the folder of scripts, in which `import profile` would find one of them and not Python's.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from kdefrost_commands.reproduce import main

if __name__ == "__main__":
    main()
