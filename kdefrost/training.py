"""Compiling and fitting: the one place that does, for sources, tails and autoencoders.

A whole training runs as one epoch of `fit` over a data set of all its steps, because what
`fit` does between epochs costs more than the steps of a small tail. A compiled model is
trained again and again: `fit` here starts from the weights that the model has, with a
fresh optimiser.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from kdefrost.compliance import ElasticCoupling
from kdefrost.optimizers import ElasticAdam, ElasticSGD
from kdefrost.recipe import Recipe

# One call into TensorFlow runs so many steps.
STEPS_PER_EXECUTION = 50


class StepSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate over the steps of a training whose length is set at run time.

    The number of steps is a variable, so that one compiled model serves trainings of any
    length.
    """

    def __init__(self, recipe: Recipe):
        super().__init__()
        self.recipe = recipe
        self.total_steps = keras.Variable(1.0, dtype="float32", trainable=False, name="total_steps")

    def __call__(self, step):
        """The learning rate of a step, counted from 0."""
        highest, final = self.recipe.learning_rate, self.recipe.final_learning_rate
        warmup = self.total_steps * (self.recipe.warmup_epochs / self.recipe.epochs)
        step = keras.ops.cast(step, "float32")
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
        super().update_step(gradient + self.decay * variable, variable, learning_rate)


class DecayedSGD(_DecayInGradient, ElasticSGD):
    """SGD whose weight decay is part of the gradient."""


class DecayedAdam(_DecayInGradient, ElasticAdam):
    """Adam whose weight decay is part of the gradient."""


def _optimizer(recipe: Recipe, coupling: ElasticCoupling | None) -> keras.optimizers.Optimizer:
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
):
    """Compiles a model for `fit`.

    Args:
        model: The model, compiled in place.
        recipe: How it will be trained.
        loss: Keras loss, or its name.
        coupling: What holds some of its weights near a source's; `None` for nothing.
    """
    # Under a policy of half precision Keras would wrap the optimiser, whose state is reset here.
    model.compile(
        _optimizer(recipe, coupling), loss=loss, steps_per_execution=STEPS_PER_EXECUTION, auto_scale_loss=False
    )


def fit(
    model: keras.Model,
    x,
    y,
    recipe: Recipe,
    seed: int | Sequence[int],
    subset: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    on_progress: Callable[[float], None] | None = None,
):
    """Trains a compiled model from its present weights.

    Args:
        model: A model that `compile_model` compiled with the same recipe.
        x: Inputs `(examples, …)`, or a tuple of them for a model of several inputs.
        y: Labels as the loss takes them, `(examples, …)`.
        recipe: How to train.
        seed: Fixes the order of the examples.
        subset: Indices of the examples to train on; all by default.
        weights: Weights of the examples in the loss `(examples,)`.
        on_progress: Called as the training goes on with the share of it that is done.
    """
    inputs = _as_inputs(x)
    subset = np.arange(len(y)) if subset is None else np.asarray(subset)
    steps = recipe.steps(len(subset))
    for variable in model.optimizer.variables:
        # The learning rate is the schedule's, not a variable; all else starts from zero.
        variable.assign(np.zeros(variable.shape, variable.dtype))
    model.optimizer.schedule.total_steps.assign(steps)
    callbacks = [_Progress(steps, on_progress)] if on_progress else []
    targets = (y,) if weights is None else (y, weights)
    with _training_batches(inputs, targets, subset, recipe, seed) as batches:
        model.fit(batches, epochs=1, verbose=0, callbacks=callbacks, shuffle=False)


def training_rate(model: keras.Model, x, y, recipe: Recipe, steps: int = 8) -> tuple[float, float]:
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


class _Progress(keras.callbacks.Callback):
    """Reports the share of the steps that is done, each time that `fit` comes back to Python."""

    def __init__(self, steps: int, report: Callable[[float], None]):
        super().__init__()
        self.steps, self.report = steps, report

    def on_train_batch_end(self, batch, logs=None):
        # Keras counts whole executions, of which the last may be cut short.
        self.report(min(1.0, (batch + 1) / self.steps))


def _as_inputs(x) -> tuple:
    return x if isinstance(x, tuple) else (x,)


def _training_batches(inputs: tuple, targets: tuple, subset, recipe: Recipe, seed) -> "_Batches":
    """All batches of a training: each epoch holds every example once, in an order of its own."""
    rng = np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(subset) for _ in range(recipe.epochs)])
    starts, stops = _bounds(len(subset), recipe.batch_size)
    epochs = np.arange(recipe.epochs)[:, None] * len(subset)
    return _Batches(inputs, targets, order, (starts + epochs).ravel(), (stops + epochs).ravel())


def _bounds(examples: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    starts = np.arange(0, examples, batch_size)
    return starts, np.minimum(starts + batch_size, examples)


class _Batches:
    """Batches of examples that TensorFlow does not hold; `with` gives them as a `tf.data.Dataset`.

    TensorFlow's processor allocator never gives memory back, so whole data sets that pass
    through it add up, and it never forgets a Python function that a data set has called.
    So examples are handed over batch by batch, and are let go at the end of `with`.
    """

    def __init__(self, inputs: tuple, targets: tuple, order, starts, stops):
        self.arrays, self.inputs = (*inputs, *targets), len(inputs)
        self.order, self.starts, self.stops = order, starts, stops

    def __enter__(self) -> tf.data.Dataset:
        shapes, dtypes = zip(*((array.shape[1:], array.dtype) for array in self.arrays), strict=True)
        inputs = self.inputs

        def batch(start, stop):
            parts = tf.numpy_function(self._rows, (start, stop), dtypes, stateful=False)
            for part, shape in zip(parts, shapes, strict=True):
                part.set_shape((None, *shape))
            x = parts[0] if inputs == 1 else tuple(parts[:inputs])
            return (x, *parts[inputs:])

        options = tf.data.Options()
        # Ending an iteration waits for the autotuner's next round, which comes after ever
        # longer pauses: of up to 2.5 s after 5 s of training.
        options.autotune.enabled = False
        return (
            tf.data.Dataset.from_tensor_slices((self.starts, self.stops)).map(batch).prefetch(2).with_options(options)
        )

    def __exit__(self, *_):
        self.arrays = None

    def _rows(self, start, stop):
        rows = self.order[start:stop]
        # An autoencoder's targets are its inputs: they are read, or decoded, once.
        batches = {id(array): array[rows] for array in {id(array): array for array in self.arrays}.values()}
        return tuple(batches[id(array)] for array in self.arrays)
