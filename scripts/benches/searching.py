"""Ways of searching for the best cut, each a function of a replay and a budget that gives its choice and its cost."""

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

import kdefrost
from kdefrost.profile.choice import best_column
from kdefrost.profile.search import Search, budgets
from kdefrost.trials.question import Answer, Question
from scripts.benches.replays import Replay

# Whatever draws at random is repeated so often; KerasTuner, which takes long, less often.
REPEATS, TUNER_REPEATS = 10, 2


class Outcome(NamedTuple):
    """What a way comes to: regret in points, and its cost as a share of the full profile's."""

    regret: float
    cost: float


Way = Callable[[Replay, float], Outcome]


class Trials:
    """The trials of a replay as far as they were asked, within a budget."""

    def __init__(self, replay: Replay, budget: float):
        self._replay, self._left = replay, budget * replay.costs.sum() * len(replay.choosing)
        self.scores, self._budget = np.full(replay.choosing.shape, np.nan), self._left

    def ask(self, block: int, column: int) -> bool:
        """Asks one, if it is within what is left, and says whether it was."""
        cost = self._replay.costs[column]
        if cost > self._left + 1e-9:
            return False
        if np.isnan(self.scores[block, column]):
            self._left -= cost
            self.scores[block, column] = self._replay.choosing[block, column]
        return True

    def outcome(self) -> Outcome:
        """What the best of them comes to."""
        total = self._replay.costs.sum() * len(self._replay.choosing)
        return Outcome(self._replay.regret(best_column(self.scores)), (self._budget - self._left) / total)


def in_order(columns: Callable[[Replay], Iterable[int]]) -> Way:
    """A way that tries some cuts with one block after the other, as far as the budget goes; the last cut first."""

    def way(replay: Replay, budget: float) -> Outcome:
        trials, blocks = Trials(replay, budget), len(replay.choosing)
        for block in range(blocks):
            for column in columns(replay):
                trials.ask(block, column)
        return trials.outcome()

    return way


def thirds(replay: Replay) -> list[int]:
    """The last cut, that at two thirds, at one, and the first."""
    last = len(replay.costs) - 1
    return list(dict.fromkeys(round(last * share) for share in (1, 2 / 3, 1 / 3, 0)))


def few_of_the_paper(replay: Replay) -> list[int]:
    """The last cut, the next to last, and those after each down-sampling, late ones first."""
    last = len(replay.costs) - 1
    return list(dict.fromkeys([last, last - 1, *sorted(replay.shrinking or thirds(replay), reverse=True)]))


def at_random(replay: Replay, budget: float) -> Outcome:
    """Cuts in a random order, each with all blocks; the mean over `REPEATS` orders."""
    outcomes = []
    for repeat in range(REPEATS):
        trials = Trials(replay, budget)
        for column in np.random.default_rng(repeat).permutation(len(replay.costs)):
            for block in range(len(replay.choosing)):
                trials.ask(block, int(column))
        if np.isnan(trials.scores).all():
            trials.ask(0, len(replay.costs) - 1)
        outcomes.append(trials.outcome())
    return Outcome(*np.mean(outcomes, axis=0))


def halving(replay: Replay, budget: float) -> Outcome:
    """Successive halving over blocks: as many late cuts as half of the budget tries once, then the better half, …"""
    trials, columns = Trials(replay, budget), range(len(replay.costs))
    allowed = budget * replay.costs.sum() * len(replay.choosing)
    late = np.cumsum(replay.costs[::-1]) <= max(allowed / 2, replay.costs[-1])
    columns = [len(replay.costs) - 1 - place for place in np.flatnonzero(late)]
    for block in range(len(replay.choosing)):
        asked = [column for column in columns if trials.ask(block, column)]
        if not asked:
            break
        means = np.nanmean(trials.scores[:, asked], axis=0)
        columns = [asked[place] for place in np.argsort(-means, kind="stable")[: max(1, -(-len(asked) // 2))]]
    return trials.outcome()


def by_one_block(replay: Replay, budget: float) -> Outcome:
    """All cuts by one block, whatever the budget: what the luck of single scores comes to; the mean over blocks."""
    return _by_blocks(replay, [[block] for block in range(len(replay.choosing))])


def by_all_but_one_block(replay: Replay, budget: float) -> Outcome:
    """All cuts by all blocks but one, likewise."""
    every = range(len(replay.choosing))
    return _by_blocks(replay, [[block for block in every if block != left] for left in every])


def _by_blocks(replay: Replay, choices: list[list[int]]) -> Outcome:
    regrets = [replay.regret(best_column(replay.choosing[blocks])) for blocks in choices]
    return Outcome(float(np.mean(regrets)), len(choices[0]) / len(replay.choosing))


def by_score(name: str) -> Way:
    """The cut of the highest transferability score, without any training; NaN where it was not recorded."""

    def way(replay: Replay, budget: float) -> Outcome:
        scores = replay.scores.get(name)
        if scores is None or np.isnan(scores).all():
            return Outcome(np.nan, 0.0)
        return Outcome(replay.regret(int(np.flatnonzero(scores == np.nanmax(scores))[-1])), 0.0)

    return way


def keras_tuner(replay: Replay, budget: float) -> Outcome:
    """KerasTuner's Bayesian search over the cut, each with all blocks; the mean over `TUNER_REPEATS` seeds."""
    # Of seed 0 it thinks as of none.
    return Outcome(*np.mean([_tuned(replay, budget, seed) for seed in range(1, TUNER_REPEATS + 1)], axis=0))


def _tuned(replay: Replay, budget: float, seed: int) -> Outcome:
    from keras_tuner import Objective
    from keras_tuner.engine.base_tuner import BaseTuner
    from keras_tuner.errors import FailedTrialError
    from keras_tuner.oracles import BayesianOptimizationOracle

    trials, last = Trials(replay, budget), len(replay.costs) - 1

    class Tuner(BaseTuner):
        def run_trial(self, trial, *args, **options):
            column = trial.hyperparameters.get("cut")
            if not all([trials.ask(block, column) for block in range(len(replay.choosing))]):
                raise FailedTrialError("beyond the budget")
            return {"score": float(replay.choosing[:, column].mean())}

    # A search that proposes cuts beyond the budget three times running has come to its end.
    oracle = BayesianOptimizationOracle(
        Objective("score", "max"), max_trials=last + 1, num_initial_points=2, seed=seed, max_consecutive_failed_trials=3
    )
    with tempfile.TemporaryDirectory() as folder:
        tuner = Tuner(oracle, lambda space: space.Int("cut", 0, last), directory=folder, project_name="cut")
        # It writes a traceback for each cut that is beyond the budget.
        with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(RuntimeError):
            tuner.search(verbose=0)
    if np.isnan(trials.scores).all():
        trials.ask(0, last)
    return trials.outcome()


def searched(replay: Replay, budget: float) -> Outcome:
    """`Defroster.search`."""
    recipe, (blocks, cuts) = kdefrost.Recipe(epochs=1), replay.choosing.shape
    cells = {Question(cut, cut, None, block, recipe): (block, cut) for block in range(blocks) for cut in range(cuts)}
    policy = Search(
        budgets(budget, list(cells), lambda question: replay.costs[question.cut]),
        lambda answer: answer.validation["score"],
    )
    answers, scores = {}, np.full(replay.choosing.shape, np.nan)
    while missing := [question for question in policy(answers) if question not in answers]:
        for question in missing:
            cell = cells[question]
            scores[cell] = replay.choosing[cell]
            answers[question] = Answer(question, None, {"score": scores[cell]}, 1.0)
    return Outcome(replay.regret(best_column(scores)), policy.result(answers)[0].spent)


def ways(scores: Sequence[str]) -> dict[str, Way]:
    """All ways by their names, one for each of some transferability scores among them."""
    return {
        "last cut (vanilla)": in_order(lambda replay: [len(replay.costs) - 1]),
        "uniform thirds": in_order(thirds),
        "the paper's few cuts": in_order(few_of_the_paper),
        "all cuts from the last back": in_order(lambda replay: reversed(range(len(replay.costs)))),
        "random search": at_random,
        "successive halving": halving,
        "KerasTuner, Bayesian": keras_tuner,
        **{f"score: {name}": by_score(name) for name in scores},
        "search": searched,
        "all cuts, one seed or fold (any budget)": by_one_block,
        "all cuts, all but one (any budget)": by_all_but_one_block,
    }
