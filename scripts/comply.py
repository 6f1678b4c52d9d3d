#!/usr/bin/env python
"""Shows how free the first layers of a network are: trains it on the target with these layers held near a source."""

import sys
from pathlib import Path

# Not the folder of scripts, in which `import profile` would find one of them and not Python's.
sys.path[:1] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent / "program")]

from kdefrost_commands.comply import main

if __name__ == "__main__":
    main()
