"""Revisions: which experiments give other scores than they once did, told apart so that all other folders still fit."""

import keras

from kdefrost.cutting.precision import computes_in_float16
from kdefrost.training.forms import taken_by
from kdefrost.training.labels import loss_name
from kdefrost.training.metrics import takes_answers, takes_logits
from kdefrost.training.tasks import Task


def is_revised(source: keras.Model, task: Task) -> bool:
    """Whether an experiment gives other scores since the loss is scaled in float16, or labels have another form."""
    form = "onehot" if loss_name(task.loss).startswith("categorical") else "index"
    retargeted = task.kind == "classification" and task.target_form != form
    rescored = task.kind != "regression" and any(_is_rescored(metric) for metric in task.metrics.values())
    return computes_in_float16(source) or retargeted or rescored


def _is_rescored(metric) -> bool:
    """Whether a metric once got labels or outputs in a form that it does not take."""
    if isinstance(metric, str):
        return False
    by_classes = isinstance(metric, keras.metrics.IoU) or not taken_by(metric).form
    return by_classes or takes_answers(metric) or takes_logits(metric)
