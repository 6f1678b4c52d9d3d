"""Asking what a policy wants to know, until it wants to know nothing more, and remembering each answer."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from tqdm import tqdm

from kdefrost.trials.engine import Engine
from kdefrost.trials.question import Answer, Question
from kdefrost.trials.store import Store

# Which questions next: a pure function of the answers so far. What it wants that is answered already is not asked
# again; when all is, it has come to its end.
Policy = Callable[[Mapping[Question, Answer]], Sequence[Question]]
# Seconds between looks at what another process has answered.
_LOOK_EVERY = 0.5


def all_of(questions: Sequence[Question]) -> Policy:
    """The policy that asks some questions, whatever the answers are."""

    def policy(answers: Mapping[Question, Answer]) -> Sequence[Question]:
        return questions

    return policy


def missing(policy: Policy, answers: Mapping[Question, Answer]) -> list[Question]:
    """The questions that a policy wants to ask next, in its order."""
    return [question for question in policy(answers) if question not in answers]


def ask(
    policy: Policy, store: Store, engine: Engine, verbose: bool = True
) -> Iterator[tuple[Answer, list[np.ndarray]]]:
    """Asks until a policy is content.

    Args:
        policy: What decides which question next.
        store: What remembers the answers; other processes may work with the same one.
        engine: What answers.
        verbose: Whether to show a progress bar, and to say when another process is waited for.

    Yields:
        Each answer that came of here, once it is remembered, with the weights of its tail. Those that were
        remembered before, or that another process gave, are in the store.
    """
    is_told = False
    with contextlib.ExitStack() as staff:
        while questions := missing(policy, store.answers):
            if store.is_any_free(questions):
                # Only where something is asked, and from then on until the policy is content.
                staff.enter_context(engine.staffed())
                for answer, weights in engine.run(questions, verbose, store.claim):
                    store.keep(answer)
                    yield answer, weights
                continue
            if verbose and not is_told:
                tqdm.write(f"Waiting for another process, which runs what is left here ({len(questions)} trials).")
                is_told = True
            time.sleep(_LOOK_EVERY)
