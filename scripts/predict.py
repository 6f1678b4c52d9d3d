#!/usr/bin/env python
"""Says what an exported model makes of photographs: a line for each, with the five best classes, best first."""

import sys
from pathlib import Path

# Not the folder of scripts, in which `import profile` would find one of them and not Python's.
sys.path[:1] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent / "program")]

from kdefrost_commands.predict import main

if __name__ == "__main__":
    main()
