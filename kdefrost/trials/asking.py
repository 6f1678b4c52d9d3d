"""Asking what a policy wants to know, until it wants to know nothing more, and remembering each answer."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from tqdm import tqdm

from kdefrost.trials.bar import ProgressBar
from kdefrost.trials.engine import Engine
from kdefrost.trials.question import Answer, Question
from kdefrost.trials.store import Store

# Which questions next: a pure function of the answers so far. What it wants that is answered already is not asked
# again; when all is, it has come to its end.
Policy = Callable[[Mapping[Question, Answer]], Sequence[Question]]
# What it may ask from now on beside that, of which the bar is told: shares of questions, and seconds of trials.
Outlook = Callable[[Mapping[Question, Answer]], tuple[Mapping[Question, float], float]]
# Seconds between looks at what another process has answered.
_LOOK_EVERY = 0.5


def all_of(questions: Sequence[Question]) -> Policy:
    """The policy that asks some questions, whatever the answers are."""

    def policy(answers: Mapping[Question, Answer]) -> Sequence[Question]:
        return questions

    return policy


def nothing_more(answers: Mapping[Question, Answer]) -> tuple[Mapping[Question, float], float]:
    """The outlook of a policy that asks its next questions and no others."""
    return {}, 0.0


def whole(questions: Sequence[Question]) -> Outlook:
    """The outlook of a policy that may come to ask all of some questions."""

    def outlook(answers: Mapping[Question, Answer]) -> tuple[Mapping[Question, float], float]:
        return {question: 1.0 for question in questions if question not in answers}, 0.0

    return outlook


def missing(policy: Policy, answers: Mapping[Question, Answer]) -> list[Question]:
    """The questions that a policy wants to ask next, in its order."""
    return [question for question in policy(answers) if question not in answers]


def ask(
    policy: Policy, store: Store, engine: Engine, verbose: bool = True, outlook: Outlook = nothing_more
) -> Iterator[tuple[Answer, list[np.ndarray]]]:
    """Asks until a policy is content.

    Args:
        policy: What decides which question next.
        store: What remembers the answers; other processes may work with the same one.
        engine: What answers.
        verbose: Whether to show a progress bar, one for all that is asked, and to say when another process is waited
            for.
        outlook: What the policy may ask from now on, where that is more than its next questions.

    Yields:
        Each answer that came of here, once it is remembered, with the weights of its tail. Those that were
        remembered before, or that another process gave, are in the store.
    """
    is_told = False
    with contextlib.ExitStack() as shown, contextlib.ExitStack() as staff:
        bar = None
        while questions := missing(policy, store.answers):
            if store.is_any_free(questions):
                # Only where something is asked, and from then on until the policy is content.
                staff.enter_context(engine.staffed())
                if bar is None:
                    bar = shown.enter_context(ProgressBar(verbose))
                    engine.expect(list(outlook(store.answers)[0]), bar)
                shares, seconds = outlook(store.answers)
                asked = set(questions)
                bar.expect_later({each: share for each, share in shares.items() if each not in asked}, seconds)
                for answer, weights in engine.run(questions, bar, store.claim):
                    store.keep(answer)
                    yield answer, weights
                continue
            if verbose and not is_told:
                tqdm.write(f"Waiting for another process, which runs what is left here ({len(questions)} trials).")
                is_told = True
            time.sleep(_LOOK_EVERY)
