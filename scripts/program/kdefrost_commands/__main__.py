"""`python -m kdefrost_commands`, which is the program `kdefrost`."""

from kdefrost_commands.program import main

# Processes of --jobs read this file, too.
if __name__ == "__main__":
    main()
