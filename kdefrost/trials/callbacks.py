"""Callbacks of Keras in the training of a trial: a function makes them anew for each."""

from collections.abc import Callable

from keras import callbacks as kinds

from kdefrost import fingerprint
from kdefrost.trials.question import Question

# What cannot keep its promise here, and why.
_REFUSED = {
    kinds.LearningRateScheduler: "the learning rate of each step is the recipe's: give `recipe` another schedule",
    kinds.ReduceLROnPlateau: "the learning rate of each step is the recipe's: give `recipe` another schedule",
    kinds.SwapEMAWeights: "the optimizers of a recipe keep no moving averages of weights",
    kinds.BackupAndRestore: "a trial must not begin with what another has left; `directory` keeps those that end",
}


def check_callbacks(make: Callable[[Question], list[kinds.Callback]] | None) -> str | None:
    """Checks what makes callbacks.

    Args:
        make: A function of a question; `None` for none.

    Returns:
        Its fingerprint, `None` of none. What it notes from now on does not count.

    Raises:
        ValueError: If it is no function, or holds what cannot be told from others.
    """
    if make is None:
        return None
    if not callable(make):
        raise ValueError(
            "`callbacks` must be a function that makes a list of Keras callbacks, which each trial needs anew, "
            f"such as lambda question: [...], or None. Received: callbacks={make!r}"
        )
    try:
        return fingerprint.of_callable(make)
    except TypeError as error:
        raise ValueError(
            "`callbacks` must be a function that can be told from others, because results depend on it: use one whose "
            "closure holds numbers, texts, paths, functions, or objects of these, and make all else inside it. "
            f"Received: callbacks={make!r}, which holds a {error}."
        ) from error


def callbacks_for(question: Question, make: Callable[[Question], list[kinds.Callback]] | None) -> list[kinds.Callback]:
    """Makes the callbacks of a trial.

    Args:
        question: What the trial is to answer.
        make: Gives a list of callbacks for a question; `None` for none.

    Returns:
        The list.

    Raises:
        ValueError: If they are none, or cannot do here what they promise.
    """
    if make is None:
        return []
    made = make(question)
    if not isinstance(made, (list, tuple)) or not all(isinstance(each, kinds.Callback) for each in made):
        raise ValueError(
            f"`callbacks` must give a list of Keras callbacks for a trial. Received for {question}: {made!r}"
        )
    for callback in made:
        reason = _why_not(callback)
        if reason:
            raise ValueError(f"`callbacks` must not give a {type(callback).__name__}: {reason}.")
    return list(made)


def _why_not(callback: kinds.Callback) -> str | None:
    """Why a callback is refused, if it is."""
    reason = next((reason for kind, reason in _REFUSED.items() if isinstance(callback, kind)), None)
    saves = isinstance(callback, kinds.ModelCheckpoint)
    if saves and not callback.save_weights_only:
        return "a tail is saved by its weights: give it save_weights_only=True"
    monitor = getattr(callback, "monitor", "loss")
    if reason is None and monitor != "loss" and not (saves and not callback.save_best_only):
        return (
            f"monitor={monitor!r} is not known while a tail trains, whose scores choose the cut: "
            "only 'loss', that of training, is"
        )
    return reason
