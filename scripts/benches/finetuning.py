"""Ways of training a whole network on few images, as a user would without cutting it."""

import dataclasses
import time

import keras
import numpy as np
from keras import ops

from kdefrost import training
from kdefrost.cutting.cuts import cut_points
from kdefrost.cutting.features import Inference
from kdefrost.cutting.initialization import reinitialize
from kdefrost.cutting.surgery import kept_layers, tail_of
from kdefrost.models.normalization import FUSED_LAYERS
from kdefrost.training.fitting import DecayedSGD
from kdefrost.training.recipe import Recipe
from kdefrost.trials.experiment import Experiment

# By way, the learning rate at which the whole network is fine-tuned; those of a few rates that did best on the first
# situation, chosen by its test scores, which favours them.
FINE_TUNING = {"fine-tuning everything": 0.02, "LP-FT": 0.005, "Auto-RGN": 0.05}


class AutoRGN(DecayedSGD):
    """SGD in which each layer's rate is scaled by its relative gradient norm, as a share of the largest.

    Auto-RGN (Lee et al., 2023, arXiv:2210.11466, section 4): ‖gradient‖ / ‖weights‖ of a layer, here of each kernel
    or vector of weights, step by step.
    """

    def apply(self, grads, trainable_variables=None):
        """Takes a step."""
        variables = self._trainable_variables if trainable_variables is None else trainable_variables
        norms = [ops.norm(ops.reshape(each, [-1])) for each in grads]
        sizes = [ops.norm(ops.reshape(ops.convert_to_tensor(each), [-1])) for each in variables]
        # A bias that is 0 has no relative gradient yet: it goes at the full rate.
        ratios = ops.stack([ops.divide_no_nan(norm, size) for norm, size in zip(norms, sizes, strict=True)])
        starts = ops.stack([ops.cast(size == 0, "float32") for size in sizes])
        scales = ops.maximum(starts, ratios / ops.maximum(ops.max(ratios * (1 - starts)), 1e-12))
        super().apply([grad * scales[n] for n, grad in enumerate(grads)], trainable_variables)


def fine_tune(
    way: str,
    source: keras.Model,
    experiment: Experiment,
    size: int,
    draw: int,
    recipe: Recipe,
    rate: float | None = None,
) -> tuple[float, float]:
    """Trains and tests a whole network in one of the ways.

    Args:
        way: One of `FINE_TUNING`. LP-FT (Kumar et al., 2022, arXiv:2202.10054) first trains the new output layer alone
            and then everything, with normalisations in inference mode, as Keras's guide to transfer learning has it.
        source: The source.
        experiment: Images and task.
        size: Number of images of each class.
        draw: Seed of the images, the new output layer and the order.
        recipe: How to train, at another learning rate.
        rate: The rate, by default the way's.

    Returns:
        `(test accuracy, seconds)`.
    """
    start = time.perf_counter()
    cuts, task = cut_points(source), experiment.task
    model = tail_of(source, cuts[0], output=task.output, substitutes=FUSED_LAYERS)
    kept = {id(layer): layer for layer in kept_layers(source, cuts[0], model)}
    reinitialize_output(model, kept, draw)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = recipe.batch_norm_momentum
    rows = experiment.draw([(size, draw, None)])[(size, draw, None)].train
    x, y = (np.asarray(part[rows]) for part in experiment.sets["train"])
    fine = dataclasses.replace(recipe, learning_rate=FINE_TUNING[way] if rate is None else rate)
    if way == "LP-FT":
        train_output(source, model, kept, x, y, experiment, recipe, draw)
        for layer in model.layers:
            layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    training.compile_model(model, fine, task.loss)
    if way == "Auto-RGN":
        plain = model.optimizer
        optimizer = AutoRGN(None, plain.schedule, momentum=fine.momentum)
        optimizer.schedule, optimizer.decay = plain.schedule, fine.weight_decay
        steps = training.fitting.STEPS_PER_EXECUTION
        model.compile(optimizer, loss=task.loss, steps_per_execution=steps, auto_scale_loss=False)
        optimizer.build(model.trainable_variables)
    training.fit(model, x, y, fine, seed=draw)
    seconds = time.perf_counter() - start
    (outputs,) = Inference(model)(experiment.sets["test"].x)
    return task.scores(experiment.sets["test"].y, outputs)["accuracy"], seconds


def reinitialize_output(model: keras.Model, kept: dict, seed: int):
    """Gives the new output layer other weights, and leaves the source's."""
    before = {key: layer.get_weights() for key, layer in kept.items()}
    reinitialize(model, seed)
    for key, layer in kept.items():
        layer.set_weights(before[key])


def train_output(source, model, kept: dict, x, y, experiment: Experiment, recipe: Recipe, seed: int):
    """Trains the output layer of a model alone, on the features of the source."""
    last = cut_points(source)[-1]
    extractor = keras.Model(model.inputs, features_before(model, kept))
    (features,) = Inference(extractor)(x)
    head = tail_of(source, last, output=experiment.task.output)
    reinitialize(head, seed)
    training.compile_model(head, recipe, experiment.task.loss)
    training.fit(head, features, y, recipe, seed)
    new = [layer for layer in model.layers if id(layer) not in kept and layer.weights]
    for layer, trained in zip(new, [each for each in head.layers if each.weights], strict=True):
        layer.set_weights(trained.get_weights())


def features_before(model: keras.Model, kept: dict):
    """What the last of the source's layers gives in a model."""
    return [layer for layer in model.layers if id(layer) in kept][-1].output
