#!/usr/bin/env python
"""Shows how alike networks see the same images: compares one that was trained on a source with one on the target."""

import sys
from pathlib import Path

# The clone, in the place of the folder of scripts, in which `import profile` would find one of them and not Python's.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from kdefrost_commands.similarity import main

if __name__ == "__main__":
    main()
