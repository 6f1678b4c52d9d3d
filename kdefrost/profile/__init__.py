"""The profile: which cut, how sure that is, and what the choice is worth.

policy       ask everything, or walk back from the last cut
search       ask what is worth its cost
curve        what the scores of some cuts say of all of them, and what one more may be worth
trial        one training, as a profile has it (`Trial`)
choice       which cut is best, and which are not told apart from it
checks       whether the parts of a profile that is read fit together
result       raw scores over cuts × sizes × seeds or folds, and what follows from them (`DefrostProfile`)
words        what a profile says in sentences and tables
reasons      what a search says: the curve over all cuts, and why it left some out
tuned        what it says of the tuning of its recipe
comparison   profiles of several sources side by side (`Comparison`)
figures      drawn from profiles and comparisons
best_tails   the trained tails of the best trials
"""

from kdefrost.profile import figures, reasons, tuned, words
from kdefrost.profile.comparison import Comparison
from kdefrost.profile.result import DefrostProfile
from kdefrost.profile.trial import Trial

# Here, because words and figures take results, which know of neither.
DefrostProfile.cells = words.cells
DefrostProfile.curve = reasons.curve
DefrostProfile.chooser = words.chooser
DefrostProfile.plot = figures.plot_profile
DefrostProfile.sentence = words.sentence
DefrostProfile.set_name = words.set_name
DefrostProfile.size_text = words.size_text
DefrostProfile.summary = words.summary
DefrostProfile.table = words.table
DefrostProfile.tuned_gain = tuned.tuned_gain
DefrostProfile.tuning = property(tuned.tuning)
Comparison.plot = figures.plot_comparison

__all__ = ["Comparison", "DefrostProfile", "Trial"]
