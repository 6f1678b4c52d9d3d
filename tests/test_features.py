"""Features: cached ones are what the whole model computes."""

import numpy as np
import pytest

import kdefrost
from kdefrost.features import FeatureFlow, Inference


def _single(parts):
    return parts[0] if len(parts) == 1 else list(parts)


def _settled(model):
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 0.5, weight.shape) for weight in model.get_weights()])
    return model


def test_inference_equals_the_model_over_uneven_batches(residual):
    images = np.random.default_rng(1).normal(size=(501, 8, 8, 1)).astype("float32")
    np.testing.assert_allclose(Inference(residual)(images)[0], residual.predict(images, verbose=0), atol=1e-6)


@pytest.mark.parametrize("where", ["blocks", "layers"])
def test_cached_features_through_the_tail_are_the_whole_model_at_every_cut(residual, easy, where):
    model = _settled(residual)
    images = {name: x for name, (x, _) in easy.items()}
    cuts = kdefrost.cut_points(model, where)
    flow = FeatureFlow(model, cuts[0], images, memory_budget=2**30)
    for cut in cuts:
        flow.advance(cut)
        _, tail = kdefrost.split(model, cut)
        for name, x in images.items():
            assert [part.shape for part in flow.features[name]] == [(len(x), *shape) for shape in cut.shapes]
            outputs = tail(_single(flow.features[name]), training=False)
            np.testing.assert_allclose(outputs, model(x, training=False), atol=1e-5)


def test_what_exceeds_the_budget_is_computed_again_from_what_does_not(residual, easy):
    model = _settled(residual)
    x = easy["test"][0]
    cuts = kdefrost.cut_points(model)
    # Cut 3 has 8 numbers for each pixel of 16, cuts 1 and 2 have 16 for each of 64.
    budget = len(x) * cuts[3].feature_bytes
    flow = FeatureFlow(model, cuts[0], {"test": x}, budget)
    held = []
    for cut in cuts:
        flow.advance(cut)
        features = flow.features["test"]
        if flow.between is not None:
            features = Inference(flow.between)(*features)
        expected = Inference(kdefrost.split(model, cut)[0])(x)
        for part, whole in zip(features, expected, strict=True):
            np.testing.assert_allclose(part, whole, atol=1e-6)
        held.append(flow.cut.index)
    assert held == [0, 0, 0, 3, 4]


def test_skipping_cuts_changes_nothing(residual, easy):
    model = _settled(residual)
    cuts = kdefrost.cut_points(model)
    flows = [FeatureFlow(model, cuts[0], {"test": easy["test"][0]}, 2**30) for _ in range(2)]
    for cut in cuts:
        flows[0].advance(cut)
    flows[1].advance(cuts[-1])
    np.testing.assert_allclose(flows[0].features["test"][0], flows[1].features["test"][0], atol=1e-6)


def test_parity_on_real_cifar10(cifar10):
    """Uint8 images as they come, through a network at 32×32."""
    model = _settled(kdefrost.wide_resnet(10, 1))
    images = cifar10.test.images[:16]
    expected = model(images.astype("float32"), training=False)
    for cut in kdefrost.cut_points(model):
        extractor, tail = kdefrost.split(model, cut)
        np.testing.assert_allclose(tail(Inference(extractor)(images)[0], training=False), expected, atol=1e-5)
