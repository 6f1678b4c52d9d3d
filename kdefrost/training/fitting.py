"""Compiling and fitting: the one place that does, for sources, tails and autoencoders.

A whole training runs as one epoch of `fit` over a data set of all its steps, because what
`fit` does between epochs costs more than the steps of a small tail. A compiled model is
trained again and again: `fit` here starts from the weights that the model has, with a
fresh optimiser.

Under a distribution strategy of several replicas each gets a piece of every batch, and a step is
that of the whole batch on one device within rounding: its mean loss, and its statistics in
batch normalisation.
"""

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from numpy.typing import ArrayLike

from kdefrost.cutting.precision import computes_in_float16
from kdefrost.devices import Strategy, check_training
from kdefrost.training.batches import as_inputs, training_batches
from kdefrost.training.coupling import ElasticCoupling
from kdefrost.training.optimizers import ElasticAdam, ElasticSGD
from kdefrost.training.recipe import Recipe
from kdefrost.training.scaling import ScaledLoss

# One call into TensorFlow runs so many steps.
STEPS_PER_EXECUTION = 50


class StepSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate over the steps of a training whose length is set at run time.

    The number of steps is a variable, so that one compiled model serves trainings of any
    length.

    Attributes:
        total_steps: The number of steps.
        skipped: How many of them moved nothing so far, and are not among those that an optimiser counts.
    """

    def __init__(self, recipe: Recipe):
        super().__init__()
        self.recipe = recipe
        self.total_steps = keras.Variable(1.0, dtype="float32", trainable=False, name="total_steps")
        self.skipped = keras.Variable(0.0, dtype="float32", trainable=False, name="skipped")

    def __call__(self, step):
        """The learning rate after so many steps that moved the weights."""
        highest, final = self.recipe.learning_rate, self.recipe.final_learning_rate
        warmup = self.total_steps * (self.recipe.warmup_epochs / self.recipe.epochs)
        step = keras.ops.cast(step, "float32") + self.skipped
        rising = highest * step / keras.ops.maximum(warmup, 1.0)
        if self.recipe.schedule == "constant":
            later = keras.ops.convert_to_tensor(highest, "float32")
        else:
            progress = (step - warmup) / (self.total_steps - warmup)
            later = final + 0.5 * (highest - final) * (1.0 + keras.ops.cos(np.pi * progress))
        return keras.ops.where(step < warmup, rising, later)


class _DecayInGradient:
    """Makes weight decay a part of the gradient, and so of the moments.

    Keras's own `weight_decay` shrinks the weights beside the gradient step, which under a
    momentum of 0.9 is a ten times weaker pull than the one that the recipes of the
    literature mean.
    """

    decay = 0.0

    def update_step(self, gradient, variable, learning_rate):
        """Updates one variable."""
        # A scaled loss has its gradients in float32, whatever the weights.
        gradient = ops.cast(gradient, variable.dtype)
        super().update_step(gradient + self.decay * variable, variable, learning_rate)


class DecayedSGD(_DecayInGradient, ElasticSGD):
    """SGD as PyTorch has it: weight decay is part of the gradient, and the rate of a step multiplies all its velocity.

    With gradient g of loss and decay, momentum β and learning rate η: v ← β v + g, w ← w − η v. Keras's own keeps η v,
    in which each gradient has the rate of its own step.
    """

    def _step(self, gradient, variable, learning_rate):
        if not self.momentum:
            super()._step(gradient, variable, learning_rate)
            return
        velocity = self.momentums[self._get_variable_index(variable)]
        self.assign(velocity, self.momentum * velocity + gradient)
        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * velocity)

    def _account_for(self, index: int, shift, learning_rate):
        if self.momentum:
            # Where the rate is 0 nothing has moved.
            self.assign_add(self.momentums[index], ops.divide_no_nan(shift, ops.cast(learning_rate, shift.dtype)))


class DecayedAdam(_DecayInGradient, ElasticAdam):
    """Adam whose weight decay is part of the gradient."""


def _optimizer(model: keras.Model, recipe: Recipe, coupling: ElasticCoupling | None) -> keras.optimizers.Optimizer:
    """The optimiser of a recipe; where a layer computes in float16 it scales the loss, whatever the global policy."""
    optimizer = _plain_optimizer(recipe, coupling)
    return ScaledLoss(optimizer) if computes_in_float16(model) else optimizer


def _plain_optimizer(recipe: Recipe, coupling: ElasticCoupling | None) -> keras.optimizers.Optimizer:
    schedule = StepSchedule(recipe)
    if recipe.optimizer == "adam":
        # Its authors' epsilon; Keras's is ten times as large.
        optimizer = DecayedAdam(coupling, schedule, beta_1=recipe.momentum, epsilon=1e-8)
    else:
        optimizer = DecayedSGD(coupling, schedule, momentum=recipe.momentum)
    optimizer.schedule, optimizer.decay = schedule, recipe.weight_decay
    return optimizer


def compile_model(
    model: keras.Model,
    recipe: Recipe,
    loss: "str | keras.losses.Loss" = "sparse_categorical_crossentropy",
    coupling: ElasticCoupling | None = None,
    stepwise: bool = False,
) -> None:
    """Compiles a model for `fit`.

    Args:
        model: The model, compiled in place; in the scope of a distribution strategy where it was made in one.
        recipe: How it will be trained.
        loss: Keras loss, or its name.
        coupling: What holds some of its weights near a source's; `None` for nothing.
        stepwise: Whether callbacks watch each step; else one call runs `STEPS_PER_EXECUTION`.

    Raises:
        ValueError: If there are several replicas, and the loss is not a mean over the examples, or the
            process has trained under another strategy of several.
    """
    check_training(model.distribute_strategy)
    several = model.distribute_strategy.num_replicas_in_sync > 1
    if several:
        _check_means(model, loss)
    # Over several replicas Keras's loop over steps fails inside TensorFlow, whatever the model.
    steps = 1 if several or stepwise else STEPS_PER_EXECUTION
    # Keras would go by the model's own policy, which is the global one, and not by its layers'.
    model.compile(_optimizer(model, recipe, coupling), loss=loss, steps_per_execution=steps, auto_scale_loss=False)
    if not several:
        # A function that makes variables when it is traced is traced twice; over several replicas they are made there.
        model.optimizer.build(model.trainable_variables)


def _check_means(model: keras.Model, loss):
    """Refuses what the replicas' pieces of a batch do not add up to."""
    reduction = getattr(loss, "reduction", "mean")
    if reduction not in ("mean", "sum_over_batch_size"):
        raise ValueError(
            "Under a distribution strategy of several replicas `loss` must be the mean over the examples, of reduction "
            f"'sum_over_batch_size'. Received: {loss.name} with reduction={reduction!r}"
        )
    for layer in model._flatten_layers():
        if layer.activity_regularizer is not None:
            raise ValueError(
                "Under a distribution strategy of several replicas no layer may have an `activity_regularizer`, which "
                f"is a sum over the examples and not their mean. Received: `{layer.name}` with one"
            )


def fit(
    model: keras.Model,
    x: ArrayLike | tuple[ArrayLike, ...],
    y: np.ndarray,
    recipe: Recipe,
    seed: int | Sequence[int],
    subset: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    on_progress: Callable[[float], None] | None = None,
    in_place_of: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Trains a compiled model from its present weights.

    Args:
        model: A model that `compile_model` compiled with the same recipe.
        x: Inputs `(examples, …)`, or a tuple of them for a model of several inputs.
        y: Labels as the loss takes them, `(examples, …)`.
        recipe: How to train.
        seed: Fixes the order of the examples.
        subset: Indices of the examples to train on; all by default.
        weights: Weights of the examples in the loss `(examples,)`.
        on_progress: Called as the training goes on with the share of it that is done, step by step by a thread of
            TensorFlow's, and at the end.
        in_place_of: Number of examples that `subset` stands for, as a part of them: the steps are as many as
            for so many, on batches that are smaller in proportion. By default its own number.
        callbacks: What watches the training, or ends it early. The same steps are then as many epochs of Keras as the
            recipe has, of a model that is compiled `stepwise`.
    """
    subset = np.arange(len(y)) if subset is None else np.asarray(subset)
    targets = (y,) if weights is None else (y, weights)
    batches = training_batches(as_inputs(x), targets, subset, recipe, seed, in_place_of, on_progress)
    steps, strategy = batches.steps, model.distribute_strategy
    _restart(model.optimizer, steps)
    epochs = recipe.epochs if callbacks else 1
    options = {"epochs": epochs, "verbose": 0, "shuffle": False, "callbacks": list(callbacks)}
    if strategy.num_replicas_in_sync == 1:
        with batches as examples, _expected_tracing():
            model.fit(examples, steps_per_epoch=steps // epochs if callbacks else None, **options)
    else:
        with batches.pieces(strategy.num_replicas_in_sync) as pieces, _synchronized_normalization(model):
            # A step takes as many pieces as there are replicas.
            model.fit(_distributed(pieces, strategy), steps_per_epoch=steps // epochs, **options)
    if on_progress is not None:
        on_progress(1.0)


@contextlib.contextmanager
def _expected_tracing() -> Iterator[None]:
    """Leaves out TensorFlow's warning of what is traced again and again: each compiled model is traced once."""

    def is_other(record: logging.LogRecord) -> bool:
        return "triggered tf.function retracing" not in record.getMessage()

    logger = tf.get_logger()
    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)


def _restart(optimizer: keras.optimizers.Optimizer, steps: int):
    """Sets an optimiser to where it was before its first step, for a training of so many."""
    for variable in optimizer.variables:
        # The learning rate is the schedule's, not a variable; all else starts from zero, but a scale.
        variable.assign(np.zeros(variable.shape, variable.dtype))
    if isinstance(optimizer, ScaledLoss):
        optimizer.restart()
        optimizer = optimizer.inner_optimizer
    optimizer.schedule.skipped.assign(0.0)
    optimizer.schedule.total_steps.assign(steps)


def _distributed(pieces: tf.data.Dataset, strategy: Strategy):
    """Gives the pieces to the replicas in turn."""
    return strategy.distribute_datasets_from_function(lambda context: pieces)


@contextlib.contextmanager
def _synchronized_normalization(model: keras.Model) -> Iterator[None]:
    """Has batch normalisations traced that take the statistics of all pieces; the model's own settings stay."""
    layers = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization) and not layer.synchronized
    ]
    for layer in layers:
        layer.synchronized = True
    try:
        yield
    finally:
        for layer in layers:
            layer.synchronized = False


def training_rate(
    model: keras.Model, x: np.ndarray, y: np.ndarray, recipe: Recipe, steps: int = 8
) -> tuple[float, float]:
    """Measures how fast this machine trains a model; the model's weights change.

    Args:
        model: A model; it is compiled.
        x: Inputs of at least one batch.
        y: Labels.
        recipe: How to train.
        steps: Number of steps that are timed.

    Returns:
        `(examples per second, seconds to compile)`.
    """
    compile_model(model, recipe)
    batch = np.arange(recipe.batch_size) % len(x)
    start = time.perf_counter()
    fit(model, x, y, dataclasses.replace(recipe, epochs=1), seed=0, subset=batch)
    compiled = time.perf_counter()
    fit(model, x, y, dataclasses.replace(recipe, epochs=steps), seed=0, subset=batch)
    stop = time.perf_counter()
    rate = steps * recipe.batch_size / (stop - compiled)
    return rate, max(0.0, compiled - start - recipe.batch_size / rate)
