"""The profile: which cut, how sure that is, and what the choice is worth.

policy       ask everything, or walk back from the last cut
search       ask what is worth its cost
curve        what the scores of some cuts say of all of them, and what one more may be worth
trial        one training, as a profile has it (`Trial`)
choice       which cut is best, and which are not told apart from it
checks       whether the parts of a profile that is read fit together
result       raw scores over cuts × sizes × seeds or folds, and what follows from them (`DefrostProfile`)
sizes        sizes of training sets, in words and in examples
facts        what only a run can know, and a profile keeps
evidence     what scores can tell: chance, the error of a set, whether cuts are told apart
warnings     what deserves a word before a profile is believed
words        what a profile says in sentences and tables
notebook     sentences and tables as HTML, where a notebook shows a profile
reasons      what a search says: the curve over all cuts, and why it left some out
tuned        what it says of the tuning of its recipe
bound        what `__init__` binds to profiles, for checkers of types
comparison   profiles of several sources side by side (`Comparison`)
ranking      which source: in the order of the scores at their best cuts
figures      drawn from profiles and comparisons
best_tails   the trained tails of the best trials
"""

from kdefrost.profile import figures, notebook, reasons, sizes, tuned, words
from kdefrost.profile.comparison import Comparison
from kdefrost.profile.result import DefrostProfile
from kdefrost.profile.trial import Trial
from kdefrost.profile.warnings import ProfileWarning, profile_warnings

# Here, because words and figures take results, which know of neither.
DefrostProfile._repr_html_ = notebook.as_notebook_html
DefrostProfile.cells = words.cells
DefrostProfile.curve = reasons.curve
DefrostProfile.chooser = words.chooser
DefrostProfile.plot = figures.plot_profile
DefrostProfile.sentence = words.sentence
DefrostProfile.set_name = words.set_name
DefrostProfile.size_text = sizes.size_text
DefrostProfile.summary = words.summary
DefrostProfile.table = words.table
DefrostProfile.tuned_gain = tuned.tuned_gain
DefrostProfile.tuning = property(tuned.tuning)
DefrostProfile.warnings = property(profile_warnings)
Comparison.plot = figures.plot_comparison

__all__ = ["Comparison", "DefrostProfile", "ProfileWarning", "Trial"]
