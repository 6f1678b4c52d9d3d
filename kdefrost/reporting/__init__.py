"""The report: a profile in one HTML file that can be sent around.

contents    what is shown of a profile, as plain cells and sentences
figure      the profile's figure, and where in it which numbers are
answers     what a model answers on labelled examples: the counts, and examples to look at
pictures    images as they stand in the file
steps       what to do next, as lines that can be pasted
page        the file, from a template (`report`)

All but `page` compute; what it looks like is in `templates`.
"""

from kdefrost.reporting.page import report

__all__ = ["report"]
