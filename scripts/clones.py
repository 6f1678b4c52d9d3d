#!/usr/bin/env python
"""Shows how close a data set's clones come to it: a figure of their images, and a table of how far they are."""

import sys
from pathlib import Path

# Not the folder of scripts, in which `import profile` would find one of them and not Python's.
sys.path[:1] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent / "program")]

from kdefrost_commands.clones import main

if __name__ == "__main__":
    main()
