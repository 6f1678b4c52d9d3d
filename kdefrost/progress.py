"""Progress of what takes more than a few seconds, with the time that is left."""

import contextlib
from collections.abc import Callable, Iterator

from tqdm import tqdm


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
    with tqdm(total=1.0, desc=description, disable=not verbose, bar_format=form) as bar:
        yield lambda share: bar.update(share - bar.n)
