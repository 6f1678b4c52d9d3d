"""Features: cached ones are what the whole model computes."""

import numpy as np

import kdefrost
from kdefrost.features import FeatureFlow, extract


def _settled(model):
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 0.5, weight.shape) for weight in model.get_weights()])
    return model


def test_extract_equals_the_model_over_uneven_batches(residual):
    images = np.random.default_rng(1).normal(size=(501, 8, 8, 1)).astype("float32")
    np.testing.assert_allclose(extract(residual, images), residual.predict(images, verbose=0), atol=1e-6)


def test_cached_features_through_the_tail_are_the_whole_model_at_every_cut(residual, easy):
    model = _settled(residual)
    images = {name: x for name, (x, _) in easy.items()}
    cuts = kdefrost.cut_points(model)
    flow = FeatureFlow(model, cuts[0], images)
    for cut in cuts:
        flow.advance(cut)
        _, tail = kdefrost.split(model, cut)
        for name, x in images.items():
            assert flow.features[name].shape == (len(x), *cut.shapes[0])
            outputs = tail(flow.features[name], training=False)
            np.testing.assert_allclose(outputs, model(x, training=False), atol=1e-5)


def test_skipping_cuts_changes_nothing(residual, easy):
    model = _settled(residual)
    cuts = kdefrost.cut_points(model)
    flows = [FeatureFlow(model, cuts[0], {"test": easy["test"][0]}) for _ in range(2)]
    for cut in cuts:
        flows[0].advance(cut)
    flows[1].advance(cuts[-1])
    np.testing.assert_allclose(flows[0].features["test"], flows[1].features["test"], atol=1e-6)


def test_parity_on_real_cifar10(cifar10):
    """Uint8 images as they come, through a network at 32×32."""
    model = _settled(kdefrost.wide_resnet(10, 1))
    images = cifar10.test.images[:16]
    expected = model(images.astype("float32"), training=False)
    for cut in kdefrost.cut_points(model):
        extractor, tail = kdefrost.split(model, cut)
        np.testing.assert_allclose(tail(extract(extractor, images), training=False), expected, atol=1e-5)
