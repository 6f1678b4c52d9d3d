#!/usr/bin/env python
"""Shows how alike networks see the same images: compares one that was trained on a source with one on the target."""

import sys
from pathlib import Path

# Not the folder of scripts, in which `import profile` would find one of them and not Python's.
sys.path[:1] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent / "program")]

from kdefrost_commands.similarity import main

if __name__ == "__main__":
    main()
