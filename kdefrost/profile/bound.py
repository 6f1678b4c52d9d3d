"""What is bound to `DefrostProfile` where the package is put together, for checkers of types.

Words and figures take profiles, which know of neither: when kdefrost runs, the class here is empty.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdefrost.profile import figures, reasons, tuned, words
    from kdefrost.tuning import Tuning


class Bound:
    """What a profile says of itself."""

    if TYPE_CHECKING:
        cells = words.cells
        chooser = words.chooser
        curve = reasons.curve
        plot = figures.plot_profile
        sentence = words.sentence
        set_name = words.set_name
        size_text = words.size_text
        summary = words.summary
        table = words.table
        tuned_gain = tuned.tuned_gain

        @property
        def tuning(self) -> Tuning | None:
            """As `tuned.tuning` says."""
