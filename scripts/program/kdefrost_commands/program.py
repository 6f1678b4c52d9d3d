"""The installed program: `kdefrost COMMAND`, where a clone has `python scripts/COMMAND.py`."""

import sys
from importlib import import_module, metadata
from pathlib import Path

from kdefrost_commands import command

# By name, in the order in which the help has them.
COMMANDS = {
    "profile": "how well each cut does on a target, and which to take",
    "search": "the same at a quarter of the training: profile --search",
    "compare": "the profiles of several sources side by side",
    "similarity": "how alike two networks see the same images, layer by layer",
    "comply": "how free the first layers are, by springs to a source's",
    "clones": "how close a data set's synthetic stand-ins come to it",
    "reproduce": "the figures of the paper again",
    "predict": "what an exported model makes of photographs",
    "kept": "which sources and clones are kept, and clearing them",
}
# Names of a command with an option of it.
_SHORT = {"search": ["profile", "--search"]}
_ABOUT = f"""Finds the layer at which to cut a trained Keras network for a small data set. Start with

  {command.PROGRAM} profile --src gm --tgt digits
      a few minutes on a laptop, no download; ends by naming what it wrote"""
_ROWS = "\n".join(f"  {name:<10}  {what}" for name, what in COMMANDS.items())
_COMMANDS = f"""commands, each with a --help of its own:
{_ROWS}"""


def main():
    """Runs the command that is named first, as its script would, or says what there is."""
    path, *words = sys.argv
    program = command.MODULE if Path(path).name == "__main__.py" else command.PROGRAM
    if words and words[0] in COMMANDS:
        name, *options = _SHORT.get(words[0], words[:1])
        sys.argv = [f"{program} {name}", *options, *words[1:]]
        import_module(f"kdefrost_commands.{name}").main()
    elif words == ["--version"]:
        command.main(lambda: say_version)
    else:
        parser = command.parser(_ABOUT, _COMMANDS, prog=program, usage="%(prog)s COMMAND [OPTION …]")
        parser.add_argument("--version", action="store_true", help="show the version and exit")
        if words and words[0].startswith("-") and words[0] not in ("-h", "--help"):
            parser.error(f"{words[0]} must come after a command, one of {', '.join(COMMANDS)}")
        if words and words[0] not in ("-h", "--help"):
            parser.error(f"there is no command {words[0]}: it must be one of {', '.join(COMMANDS)}")
        parser.print_help()


def say_version():
    """Prints the version, of the installed program without importing kdefrost."""
    try:
        version = metadata.version(command.PROGRAM)
    except metadata.PackageNotFoundError:
        with command.without_notes():
            import kdefrost
        version = kdefrost.__version__
    print(f"{command.PROGRAM} {version}")
