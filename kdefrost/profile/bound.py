"""What is bound to `DefrostProfile` where the package is put together, for checkers of types.

Words and figures take profiles, which know of neither: when kdefrost runs, the class here is empty.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdefrost.profile import figures, notebook, reasons, sizes, tuned, words
    from kdefrost.profile.warnings import ProfileWarning
    from kdefrost.tuning import Tuning


class Bound:
    """What a profile says of itself."""

    if TYPE_CHECKING:
        _repr_html_ = notebook.as_notebook_html
        cells = words.cells
        chooser = words.chooser
        curve = reasons.curve
        plot = figures.plot_profile
        sentence = words.sentence
        set_name = words.set_name
        size_text = sizes.size_text
        summary = words.summary
        table = words.table
        tuned_gain = tuned.tuned_gain

        @property
        def tuning(self) -> Tuning | None:
            """As `tuned.tuning` says."""

        @property
        def warnings(self) -> list[ProfileWarning]:
            """As `warnings.profile_warnings` says."""
