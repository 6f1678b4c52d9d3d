"""What the networks of folds make of the examples that they have not seen."""

from collections.abc import Sequence

import numpy as np

from kdefrost.cutting.cut import Cut
from kdefrost.cutting.features import Inference
from kdefrost.cutting.surgery import join, split
from kdefrost.data.sets import take_rows
from kdefrost.trials.bar import ProgressBar
from kdefrost.trials.engine import Engine
from kdefrost.trials.experiment import Experiment
from kdefrost.trials.question import Question


def cross_predict(
    experiment: Experiment, engine: Engine, cut: Cut, questions: Sequence[Question], verbose: bool = True
) -> np.ndarray:
    """Trains the networks of a partition into folds, and lets each answer the examples of its fold.

    Args:
        experiment: What is learnt of which examples.
        engine: What trains them.
        cut: The cut.
        questions: One for each fold.
        verbose: Whether to show a progress bar.

    Returns:
        Array `(examples, units)`, NaN for examples that are in no fold, as those beyond a size, and of a fold
        whose trial failed.
    """
    drawn = experiment.draw(question.rows for question in questions)
    examples = experiment.sets["train"]
    found = np.full((len(examples.y), experiment.task.units), np.nan, np.float32)
    with ProgressBar(verbose) as bar:
        for answer, weights in engine.run(questions, bar):
            if answer.failure is not None:
                continue
            extractor, tail = split(experiment.source, cut, output=experiment.task.output)
            tail.set_weights(weights)
            rows = drawn[answer.question.rows].held_out
            (outputs,) = Inference(join(extractor, tail))(take_rows(examples.x, rows))
            # Those of a training that diverged are as good as 0.
            outputs = np.nan_to_num(outputs.astype(np.float32).reshape(len(rows), -1))
            found[rows] = experiment.task.meaning(outputs)
    return found
