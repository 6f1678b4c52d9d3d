"""Profiles as who knows Keras would run them by hand, with Keras alone."""

import functools

import keras
import numpy as np

from scripts.benches.work import Work, cut_by_cut


def whole_model(work: Work) -> dict:
    """Trains the whole model, of which the layers before the cut are frozen."""
    return cut_by_cut(functools.partial(_train_whole_models, work), work)


def cached_features(work: Work) -> dict:
    """Trains the layers after the cut on features that `predict` gives, as Keras's guide to transfer learning does."""
    return cut_by_cut(functools.partial(_train_tails, work), work)


def _train_whole_models(work: Work, cut: str) -> list[float]:
    (x, y), source, scores = work.train, work.source, []
    for seed, rows in enumerate(work.rows):
        _start_anew(seed)
        model = new_model(source, source.input, work.last, work.classes)
        for layer in keras.Model(source.input, source.get_layer(cut).output).layers:
            model.get_layer(layer.name).set_weights(layer.get_weights())
            model.get_layer(layer.name).trainable = False
        scores.append(_train(model, x[rows], y[rows], work.test, work))
    return scores


def _train_tails(work: Work, cut: str) -> list[float]:
    (x, y), (test_x, test_y), scores = work.train, work.test, []
    x, features = x[work.used], work.source.get_layer(cut).output
    if features is not work.source.input:
        extractor = keras.Model(work.source.input, features)
        x, test_x = (extractor.predict(images, batch_size=work.recipe.batch_size, verbose=0) for images in (x, test_x))
    for seed, rows in enumerate(work.rows):
        _start_anew(seed)
        tail = new_model(work.source, features, work.last, work.classes)
        scores.append(_train(tail, x[np.searchsorted(work.used, rows)], y[rows], (test_x, test_y), work))
    return scores


def new_model(source: keras.Model, start, last: str, classes: int) -> keras.Model:
    """An untrained copy of a part of a model, with a new output layer.

    Args:
        source: The model.
        start: Its tensor at which the copy begins.
        last: Name of its layer after which the new output layer comes.
        classes: Number of classes.

    Returns:
        The copy, with new weights of the layers' own initialisers.
    """
    stop = source.get_layer(last).output
    if start is stop:
        inputs = features = keras.Input(start.shape[1:])
    else:
        copy = keras.models.clone_model(keras.Model(start, stop), clone_function=_copy)
        inputs, features = copy.input, copy.output
    return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax", name="new_output")(features))


def _copy(layer: keras.layers.Layer) -> keras.layers.Layer:
    config = layer.get_config()
    if isinstance(layer, keras.layers.BatchNormalization):
        # Of so few steps Keras's 0.99 would keep the statistics at their start.
        config["momentum"] = 0.9
    return type(layer).from_config(config)


def _start_anew(seed: int):
    """What Keras advises where models are made in a loop, and the trial's seed."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)


def _train(model: keras.Model, x, y, test, work: Work) -> float:
    """Trains and tests a model by Keras's own nearest to the recipe that kdefrost follows by default."""
    recipe = work.recipe
    schedule = keras.optimizers.schedules.CosineDecay(recipe.learning_rate, recipe.steps(len(y)))
    # Keras's decay acts beside the gradient, and so is ten times weaker under a momentum of 0.9.
    decay = recipe.weight_decay / (1 - recipe.momentum)
    optimizer = keras.optimizers.SGD(schedule, momentum=recipe.momentum, weight_decay=decay)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=recipe.batch_size, epochs=recipe.epochs, verbose=0)
    return model.evaluate(*test, batch_size=recipe.batch_size, verbose=0, return_dict=True)["accuracy"]
