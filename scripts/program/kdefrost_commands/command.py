"""What all commands have in common: how they were called, their options, their errors, and what they write."""

import argparse
import contextlib
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from kdefrost_commands.folding import fit, fold

# The installed program, and how it is called where it is not on the path; `sys.argv[0]` has a command's name after it.
PROGRAM, MODULE = "kdefrost", "python -m kdefrost_commands"
# TensorFlow's notes on the processor are not for whoever draws a profile.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Without AVX-512 TensorFlow leaves these kernels off, and trains half as fast.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# Processes of --jobs share a GPU's memory with this one.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")


def project(code: Path) -> Path:
    """The folder in which `saved_models` is: of a clone its own, of the installed program the working folder.

    Args:
        code: Folder of the commands' code, which a clone has among its scripts.
    """
    clone = code.parent.parent.parent
    # Of an installation, these can be folders of Python's own, which has a profile.py, too.
    return clone if code.parent == clone / "scripts" / "program" and (clone / "setup.cfg").is_file() else Path()


PROJECT = project(Path(__file__).resolve().parent)
# Exit codes: of what a user typed wrong, as argparse has it, and of what goes wrong later.
MISTAKE, FAILURE = 2, 1
# What kdefrost raises of an argument that cannot be, and of a file that is not there.
_MISTAKES = (ValueError, FileNotFoundError, NotADirectoryError, IsADirectoryError)
# What kdefrost raises with a sentence; of all else it is said what it is.
_SENTENCES = (ValueError, OSError, ImportError)
TARGETS = "digits (embedded), idc (breast cancer patches), an image set of TFDS such as cifar10, or a folder of images"
# Options that several commands have, by name.
_OPTIONS = {
    "--tgt": {"default": "digits", "metavar": "NAME", "help": f"{TARGETS} (%(default)s)"},
    "--data-dir": {
        "metavar": "DIR",
        "help": "folder of TensorFlow Datasets (TFDS_DATA_DIR), or of the idc archive",
    },
    "--image-size": {"type": int, "metavar": "N", "help": "resize all images to N×N (the set's own)"},
    "--preset": {
        "default": "laptop",
        "choices": ["smoke", "laptop", "paper"],
        "help": "networks, epochs, and what the rest is by default (%(default)s)",
    },
    "--model": {"metavar": "NAME", "help": "network to train, such as wide_resnet_16_1 (of the preset)"},
    "--seeds": {"type": int, "metavar": "N", "help": "number of repeats (of the preset)"},
    "--jobs": {
        "type": int,
        "metavar": "N",
        "help": "processes that run whole trials side by side, on a core or GPU each (all in one process)",
    },
    "--cluster": {
        "metavar": "ADDRESS",
        "help": "run trials on a Ray cluster, this machine's (auto) or that at HOST:PORT, at most --jobs at a time",
    },
    "--tensorboard": {
        "metavar": "DIR",
        "help": "write each trial for TensorBoard's HParams dashboard, as it ends: tensorboard --logdir DIR",
    },
    "--out": {"metavar": "DIR", "help": "folder of the results (runs/<what runs>)"},
    "--devices": {
        "nargs": "+",
        "metavar": "NAME",
        "help": "devices that share the work, such as GPU:0 GPU:1, or all GPUs (one, by TensorFlow's choice)",
    },
}


def called() -> list[str]:
    """How this command was called, as words of a shell: `python scripts/profile.py` or `kdefrost profile`."""
    return sys.argv[0].split(" ") if _is_program() else ["python", sys.argv[0]]


def as_called(text: str) -> str:
    """A text with the scripts that it names as commands of the program, where it is the program that runs."""
    if not _is_program():
        return text
    program = sys.argv[0].rpartition(" ")[0]
    return re.sub(r"(?:python )?scripts/(\w+)\.py", rf"{program} \1", text)


def _is_program() -> bool:
    return re.fullmatch(rf"({PROGRAM}|{MODULE}) [a-z]+", sys.argv[0]) is not None


class _Folded(argparse.RawDescriptionHelpFormatter):
    """Lays a text out as it is written, in lines that fit the terminal."""

    def _fill_text(self, text, width, indent):
        return fold(text, width)


class Parser(argparse.ArgumentParser):
    """A parser with `--debug`, whose errors are one line."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, allow_abbrev=False, **kwargs)
        self.add_argument("--debug", action="store_true", help="show the traceback of an error, too")

    def error(self, message: str):
        """Ends the command by a mistake."""
        self.exit(MISTAKE, f"error: {_in_one_line(message)}; {self.prog} --help lists what there is\n")


def parser(description: str, examples: str | None = None, **options) -> Parser:
    """A parser whose help ends in examples where there are some, and in which scripts are commands of the program."""
    texts = {"description": as_called(description), "epilog": examples and as_called(examples)}
    return Parser(**texts, **options, formatter_class=_Folded)


def add_options(group, *names: str, **changes: dict):
    """Adds options that several commands have.

    Args:
        group: A parser, or a group of its options.
        *names: Their names.
        **changes: By an option's destination, what is otherwise here.
    """
    for name in names:
        group.add_argument(name, **{**_OPTIONS[name], **changes.get(name.strip("-").replace("-", "_"), {})})


@contextlib.contextmanager
def without_notes() -> Iterator[None]:
    """Leaves out what TensorFlow notes on the machine as it is imported, so that standard error is a command's own.

    It is written by C++ code before that can be told to be silent; errors of Python are raised as ever.
    """
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        for each in (kept, nowhere):
            os.close(each)


if "--multiprocessing-fork" in sys.orig_argv:
    # A process of --jobs reads the script anew before it comes to kdefrost, which it would import with all notes.
    with without_notes():
        import kdefrost  # noqa: F401


def main(check: Callable[[], Callable[[], None] | None], stopped: str = "The same command begins anew."):
    """Runs a command, whose mistakes, failures and interrupts end in a sentence on standard error.

    A mistake in what was typed, which shows before the work, ends it with 2; what fails later, or is no mistake, with
    1. With `--debug` the traceback comes before the sentence.

    Args:
        check: Reads and checks what was typed, and gives the work that it asks for, if any is left.
        stopped: What to say of what an interrupt leaves.
    """
    mistakes = _MISTAKES
    try:
        work = check()
        mistakes = ()
        if work is not None:
            work()
    except KeyboardInterrupt:
        sys.exit(f"\nStopped. {stopped}")
    # Whatever it is, a user gets a line.
    except Exception as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        print(f"error: {_sentence(error)}", file=sys.stderr)
        sys.exit(MISTAKE if isinstance(error, mistakes) else FAILURE)


def _sentence(error: Exception) -> str:
    """What an error says, in one line; of one that kdefrost did not foresee, what it is, too."""
    said = _in_one_line(str(error))
    if said and isinstance(error, _SENTENCES):
        return said
    return f"{type(error).__name__}{said and f': {said}'} (--debug shows where)"


def _in_one_line(text: str) -> str:
    return " ".join(text.split())


def check_environment():
    """Refuses environment variables that cannot be, before a command that trains reads anything."""
    from kdefrost.devices import check_workers
    from kdefrost.inventory import limit

    check_workers()
    limit()


def is_trained(source: str) -> bool:
    """Whether a source is there already, and not trained by a command."""
    return source.endswith(".keras") or source.startswith("imagenet:")


def executor(cluster: str | None) -> str | None:
    """What `--cluster` says, as `kdefrost.Defroster(executor=)` has it."""
    return None if cluster is None else "ray" if cluster == "auto" else f"ray:{cluster}"


def indices_or_names(words: list[str]) -> str | int | list[int | str]:
    """What `cut_points` takes, of words: a way to choose, a number, or a list of indices and names."""
    if words in (["blocks"], ["layers"]):
        return words[0]
    chosen = [int(word) if word.lstrip("-").isdigit() else word for word in words]
    return chosen[0] if len(chosen) == 1 and isinstance(chosen[0], int) else chosen


def out_folder(out: str | os.PathLike | None, parts: Iterable[str | None]) -> Path:
    """The folder of the results: the one that is asked for, or one in runs/ that says what runs.

    Args:
        out: What `--out` says.
        parts: What the command line says; `None` for what is as ever.

    Returns:
        The path.
    """
    from kdefrost.files import file_name

    return Path(out or Path("runs") / file_name("-".join(part for part in parts if part)))


def save_figures(out: Path, drawings: dict[str, Callable]) -> list[Path]:
    """Draws figures and writes them, each for the screen and for print.

    Args:
        out: The folder.
        drawings: By the figure's name, what draws it and gives its axes.

    Returns:
        The paths.
    """
    import numpy as np
    from matplotlib import pyplot

    from kdefrost.drawing import save_figure

    pyplot.switch_backend("agg")
    written = []
    for name, draw in drawings.items():
        figure = np.ravel(np.asarray(draw(), dtype=object))[0].figure
        for ending in ("png", "svg"):
            written.append(out / f"{name}.{ending}")
            save_figure(figure, written[-1])
    return written


def say(text: str, end: str = "\n"):
    """Prints sentences and tables at once, the sentences in lines that fit a terminal."""
    print(fit(text), end=end, flush=True)


def print_written(paths: Iterable[Path]):
    """Ends a command by what it has written."""
    print("Written:")
    for path in paths:
        print(f"  {path}")
