"""Features: cached ones are what the whole model computes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import make_easy

import kdefrost
from kdefrost import devices
from kdefrost.cutting.features import DISK, MEMORY, PLACES, RECOMPUTE, FeatureFlow, Inference, held_bytes
from kdefrost.cutting.surgery import segment
from kdefrost.data import storage
from kdefrost.data.storage import DiskArray


@pytest.fixture(scope="module")
def settled():
    """A residual network whose moving statistics are not those of the start either, which no test changes."""
    return _settled(kdefrost.wide_resnet(10, 1, classes=3, input_shape=(8, 8, 1)))


@pytest.fixture(scope="module")
def images():
    """Images 8×8×1, which no test changes."""
    return make_easy(45, 1)[0]


@pytest.fixture(scope="module")
def extracted(settled, images):
    """What the extractor of each cut makes of the images at once."""
    return [Inference(kdefrost.split(settled, cut)[0])(images) for cut in kdefrost.cut_points(settled)]


def _single(parts):
    return parts[0] if len(parts) == 1 else list(parts)


def _settled(model):
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 0.5, weight.shape) for weight in model.get_weights()])
    return model


def test_inference_equals_the_model_over_uneven_batches(residual):
    images = np.random.default_rng(1).normal(size=(501, 8, 8, 1)).astype("float32")
    np.testing.assert_allclose(Inference(residual)(images)[0], residual.predict(images, verbose=0), atol=1e-6)


def test_cached_features_through_the_tail_are_the_whole_model_at_every_cut(settled, easy):
    images = {name: x for name, (x, _) in easy.items()}
    cuts = kdefrost.cut_points(settled, "layers")
    assert {cut.frozen_layers for cut in cuts} > {cut.frozen_layers for cut in kdefrost.cut_points(settled, "blocks")}
    outputs = {name: settled(x, training=False) for name, x in images.items()}
    flow = FeatureFlow(settled, cuts[0], images, memory_budget=2**30)
    for cut in cuts:
        flow.advance(cut)
        _, tail = kdefrost.split(settled, cut)
        for name, x in images.items():
            assert [part.shape for part in flow.features[name]] == [(len(x), *shape) for shape in cut.shapes]
            np.testing.assert_allclose(tail(_single(flow.features[name]), training=False), outputs[name], atol=1e-5)


@pytest.mark.parametrize("place", PLACES)
def test_wherever_features_are_they_are_the_same(settled, images, extracted, place, tmp_path):
    cuts = kdefrost.cut_points(settled)
    # Cut 3 has 8 numbers for each pixel of 16, cuts 1 and 2 have 16 for each of 64.
    flow = FeatureFlow(settled, cuts[0], {"test": images}, 2**20, tmp_path)
    held, kinds = [], []
    for cut, expected in zip(cuts, extracted, strict=True):
        flow.advance(cut, place if cut.index in (1, 2) else MEMORY)
        features = flow.features["test"]
        kinds.append(type(features[0]))
        if flow.cut is not cut:
            features = Inference(segment(settled, flow.cut, cut))(*features)
        for part, whole in zip(features, expected, strict=True):
            np.testing.assert_allclose(part[:], whole, atol=1e-6)
        held.append(flow.cut.index)
    assert held == ([0, 0, 0, 3, 4] if place == RECOMPUTE else [0, 1, 2, 3, 4])
    assert (DiskArray in kinds) == (place == DISK)


def test_features_that_find_no_room_beside_those_before_them_pass_through_a_file(
    settled, images, tmp_path, monkeypatch
):
    cuts = kdefrost.cut_points(settled)
    # Cuts 1 and 2 have features of one size, for one of which there is room.
    flow = FeatureFlow(settled, cuts[0], {"test": images}, len(images) * cuts[1].feature_bytes, tmp_path)
    made = []
    monkeypatch.setattr(storage, "DiskArray", lambda *of: made.append(DiskArray(*of)) or made[-1])
    for cut in cuts[:3]:
        flow.advance(cut)
        assert len(made) == (cut.index == 2)
        assert cut.index == 0 or isinstance(flow.features["test"][0], np.ndarray)
    np.testing.assert_allclose(flow.features["test"][0], kdefrost.split(settled, cuts[2])[0](images), rtol=2e-6)


@pytest.mark.parametrize(("dtype", "error"), [("float16", 2**-11), ("bfloat16", 2**-8)])
def test_features_in_half_precision_are_rounded_once(settled, images, extracted, dtype, error):
    cuts = kdefrost.cut_points(settled)
    flow = FeatureFlow(settled, cuts[0], {"test": images}, 2**20, dtype=dtype)
    flow.advance(cuts[2])
    (features,) = flow.features["test"]
    (exact,) = extracted[2]
    assert features.dtype == tf.as_dtype(dtype).as_numpy_dtype
    assert features.nbytes == len(images) * held_bytes(cuts[2], dtype) == exact.nbytes // 2
    difference = np.abs(features.astype("float32") - exact)
    assert difference.max() > 0 and (difference <= error * np.abs(exact) + 1e-6).all()


def test_under_a_strategy_features_are_held_as_without(easy, two_devices):
    layers = keras.layers
    source = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(2, 3), layers.Conv2D(2, 3), layers.Flatten()])
    cuts, x = kdefrost.cut_points(source), easy["test"][0]
    expected = FeatureFlow(source, cuts[0], {"test": x}, 2**20, dtype="float16")
    expected.advance(cuts[1])
    with two_devices.scope():
        flow = FeatureFlow(source, cuts[0], {"test": x}, 2**20, dtype="float16")
        flow.advance(cuts[1])
    assert flow.features["test"][0].dtype == np.float16
    np.testing.assert_allclose(flow.features["test"][0], expected.features["test"][0], rtol=2**-10, atol=1e-5)


def test_features_that_half_precision_cannot_hold_are_refused(settled, images):
    cuts = kdefrost.cut_points(settled)
    flow = FeatureFlow(settled, cuts[0], {"test": images * 1e6}, 2**20, dtype="float16")
    with pytest.raises(ValueError, match=r"`feature_dtype` must hold the features at cut 1 \(conv1\).*Use bfloat16"):
        flow.advance(cuts[1])


def test_skipping_cuts_changes_nothing(settled, images):
    cuts = kdefrost.cut_points(settled)
    flows = [FeatureFlow(settled, cuts[0], {"test": images}, 2**30) for _ in range(2)]
    for cut in cuts:
        flows[0].advance(cut)
    flows[1].advance(cuts[-1])
    np.testing.assert_allclose(flows[0].features["test"][0], flows[1].features["test"][0], atol=1e-6)


def test_parity_on_real_cifar10(cifar10):
    """Uint8 images as they come, through a network at 32×32: to its tail at cut 0, and to an extractor."""
    model = _settled(kdefrost.wide_resnet(10, 1))
    images = cifar10.test.images[:16]
    expected = model(images.astype("float32"), training=False)
    cuts = kdefrost.cut_points(model)
    for cut in (cuts[0], cuts[2]):
        extractor, tail = kdefrost.split(model, cut)
        np.testing.assert_allclose(tail(Inference(extractor)(images)[0], training=False), expected, atol=1e-5)


def test_two_devices_infer_as_one_and_in_order(residual, two_devices, monkeypatch):
    """Five batches, the last a short one, so that one replica has nothing to do at the end."""
    used, spread = [], devices.Spread
    monkeypatch.setattr(devices, "Spread", lambda run, strategy: (used.append(strategy), spread(run, strategy))[1])
    images = np.random.default_rng(1).normal(size=(1001, 8, 8, 1)).astype("float32")
    expected, done = Inference(residual)(images)[0], []
    with two_devices.scope():
        model = keras.models.clone_model(residual)
        model.set_weights(residual.get_weights())
        (outputs,) = Inference(model)(images, on_progress=done.append)
    np.testing.assert_allclose(outputs, expected, atol=1e-6)
    assert used == [two_devices] and done == [250, 250, 250, 250, 1]
