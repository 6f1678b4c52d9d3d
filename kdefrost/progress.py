"""Progress of what takes more than a few seconds, with the time that is left."""

import contextlib
import threading
from collections.abc import Callable, Iterator

from tqdm import tqdm

# Seconds between two drawings of a bar whose work tells nothing.
_EVERY = 1.0
# A share from which what is left is told: what a smaller one took says nothing of the rest.
_LEAST = 1e-3


@contextlib.contextmanager
def ticking(draw: Callable[[], None], is_on: bool = True) -> Iterator[None]:
    """Draws something anew each second, whatever this process is at work on meanwhile.

    Args:
        draw: Draws it; called by another thread, and once more at the end.
        is_on: Whether to.
    """
    if not is_on:
        yield
        return
    ended = threading.Event()

    def tick():
        while not ended.wait(_EVERY):
            draw()

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        draw()


@contextlib.contextmanager
def share_bar(description: str, verbose: bool = True) -> Iterator[Callable[[float], None]]:
    """Shows a bar for something whose share that is done is reported.

    Args:
        description: What is done.
        verbose: Whether to show it.

    Yields:
        A function of the share, from 0 to 1.
    """
    form = "{desc} {percentage:3.0f}% |{bar:20}| {elapsed} gone, {remaining} left"
    with (
        tqdm(total=1.0, desc=description, disable=not verbose, bar_format=form) as bar,
        ticking(bar.refresh, verbose),
    ):
        yield lambda share: bar.update(share - bar.n) if share >= _LEAST else None
