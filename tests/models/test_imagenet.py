"""ImageNet sources: their preprocessing, their weights, and what they refuse."""

import inspect
import json
import re
import sys

import h5py
import keras
import keras_hub
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

import kdefrost
from kdefrost.models import imagenet, resnets
from kdefrost.models.imagenet import _Application, imagenet_source, resnet18

TORCHVISION = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
APPLICATIONS = dict(inspect.getmembers(keras.applications, inspect.isfunction))


def _images(size: int, count: int = 3):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3)).astype("float32")


def _assert_close(received, expected, tolerance=1e-4):
    """Differences relative to the largest value: random networks give features of any scale."""
    received, expected = np.asarray(received), np.asarray(expected)
    assert received.shape == expected.shape and np.ptp(expected) > 0
    assert np.abs(received - expected).max() <= tolerance * np.abs(expected).max()


def _notop(name: str, size: int = 32, **arguments) -> keras.Model:
    """An application without its classifier and with random weights, statistics included."""
    model = APPLICATIONS[name](include_top=False, pooling="avg", input_shape=(size, size, 3), weights=None, **arguments)
    rng = np.random.default_rng(1)
    model.set_weights([w * rng.uniform(0.5, 1.5, w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory):
    """A MobileNet of width 0.25, and the file of its weights."""
    model = _notop("MobileNet", alpha=0.25)
    path = tmp_path_factory.mktemp("weights") / "notop.weights.h5"
    model.save_weights(path)
    return model, path


@pytest.fixture
def shallow_efficientnets(monkeypatch):
    """Has Keras build EfficientNets of the first two kinds of blocks, so that they are soon built."""
    efficientnet = inspect.getmodule(keras.applications.EfficientNetB0)
    monkeypatch.setattr(efficientnet, "DEFAULT_BLOCKS_ARGS", efficientnet.DEFAULT_BLOCKS_ARGS[:2])


@pytest.fixture
def served(monkeypatch):
    """Has Keras's downloads give a file; returns the names of those asked for."""

    def serve(path) -> list[str]:
        asked = []
        monkeypatch.setattr(
            "keras.src.utils.file_utils.get_file", lambda fname, *_, **__: asked.append(fname) or str(path)
        )
        return asked

    return serve


# None of those by name is as soon built.
SHALLOW_DENSENET = _Application(
    "DenseNet", inspect.getmodule(keras.applications.DenseNet121).DenseNet, {"blocks": [1] * 4}
)


@pytest.mark.parametrize(
    ("application", "module", "reverses"),
    [
        (_Application.named("MobileNet:0.25"), keras.applications.mobilenet, False),
        (SHALLOW_DENSENET, keras.applications.densenet, False),
        (_Application.named("VGG16"), keras.applications.vgg16, True),
        (_Application.named("MobileNetV3Small"), keras.applications.mobilenet_v3, False),
    ],
    ids=["tf", "torch", "caffe", "identity"],
)
def test_source_of_raw_images_is_the_application_of_preprocessed_ones(application, module, reverses):
    source = application.source(weights=None, image_size=32)
    images, base = _images(32), source.layers[-1]
    preprocessed = module.preprocess_input(images.copy())
    _assert_close(source(images), base(preprocessed))
    attached = [type(node.operation).__name__ for nodes in source._nodes_by_depth.values() for node in nodes]
    assert ("Flip" in attached) == reverses
    assert ("Rescaling" in attached) == (not np.array_equal(preprocessed, images))


@pytest.mark.parametrize("name", APPLICATIONS)
def test_probing_finds_the_preprocessing_of_every_application(name):
    images = _images(4)
    expected = inspect.getmodule(APPLICATIONS[name]).preprocess_input(images.copy())
    np.testing.assert_allclose(_Application.named(name)._probe()(images), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", sorted(set(APPLICATIONS) - {"MobileNetV3Large", "MobileNetV3Small"}))
def test_image_size_is_the_applications_own(name, monkeypatch):
    # MobileNetV3 looks up no size without weights.
    class Found(Exception):
        pass

    def tell(_, default_size, **__):
        raise Found(default_size)

    monkeypatch.setattr("keras.src.applications.imagenet_utils.obtain_input_shape", tell)
    with pytest.raises(Found, match=rf"^{_Application.named(name).image_size}$"):
        APPLICATIONS[name](weights=None)


def test_preprocessing_that_is_not_affine_is_refused(monkeypatch):
    monkeypatch.setattr(inspect.getmodule(keras.applications.VGG16), "preprocess_input", np.sqrt)
    with pytest.raises(ValueError, match=r"VGG16 cannot be a source by name, because its preprocess_input"):
        _Application.named("VGG16").source(weights=None, image_size=32)


def _assert_weights_of(model, source):
    for received, expected in zip(source.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(received, expected)


def test_source_takes_images_of_the_size_asked_for(mobilenet):
    source = imagenet_source("MobileNet:0.25", weights=mobilenet[1], image_size=(40, 64))
    assert source.input.name == "image" and source.input.dtype == "float32"
    assert source.input.shape == (None, 40, 64, 3) and source.output.shape == (None, 256)
    assert source.name == "MobileNet_0.25"
    _assert_weights_of(mobilenet[0], source)


def test_source_without_a_size_takes_the_applications_own(mobilenet):
    source = imagenet_source("MobileNet:0.25", weights=str(mobilenet[1]))
    assert source.input.shape == (None, 224, 224, 3)
    _assert_weights_of(mobilenet[0], source)


def test_weights_of_a_whole_model_in_a_file_are_all_read(mobilenet, tmp_path):
    model, _ = mobilenet
    model.save(tmp_path / "legacy.h5")
    source = imagenet_source("MobileNet:0.25", weights=tmp_path / "legacy.h5", image_size=32)
    _assert_weights_of(model, source)
    images = _images(32)
    _assert_close(source(images), model(images / 127.5 - 1))


@pytest.mark.parametrize(("size", "of_weights"), [(128, 128), (100, 224), ((128, 160), 224), (None, 224)])
def test_downloaded_weights_are_those_for_the_size(size, of_weights, mobilenet, served):
    model, path = mobilenet
    asked = served(path)
    source = imagenet_source("MobileNet:0.25", image_size=size)
    assert asked == [f"mobilenet_2_5_{of_weights}_tf_no_top.h5"]
    _assert_weights_of(model, source)


def test_mobilenet_v2_has_weights_for_sizes_of_its_own(served, tmp_path):
    model, path = _notop("MobileNetV2", alpha=0.35), tmp_path / "notop.weights.h5"
    model.save_weights(path)
    asked = served(path)
    source = imagenet_source("MobileNetV2:0.35", image_size=96)
    assert asked == ["mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_96_no_top.h5"]
    _assert_weights_of(model, source)


def test_efficientnet_standardizes_as_keras_does(shallow_efficientnets, tmp_path, served):
    # As in Keras's file: the mean, and the deviation where a variance should be.
    model = _notop("EfficientNetB0")
    statistics = next(layer for layer in model.layers if isinstance(layer, keras.layers.Normalization))
    statistics.set_weights([np.array(TORCHVISION["mean"]), np.array(TORCHVISION["std"]), np.array(0)])
    statistics.finalize_state()
    path = tmp_path / "notop.weights.h5"
    model.save_weights(path)
    served(path)
    images = _images(32)
    expected = keras.applications.EfficientNetB0(include_top=False, pooling="avg", input_shape=(32, 32, 3))(images)
    downloaded = imagenet_source("EfficientNetB0", image_size=32)
    read = imagenet_source("EfficientNetB0", weights=path, image_size=32)
    _assert_close(downloaded(images), expected)
    _assert_close(read(images), expected)
    # The model that Keras builds with a file leaves a step out.
    assert np.abs(model(images) - expected).max() > 1e-3 * np.abs(expected).max()


def test_efficientnet_without_statistics_keeps_its_images(shallow_efficientnets, tmp_path):
    model = keras.applications.EfficientNetB0(weights=None, include_top=False, pooling="avg", input_shape=(32, 32, 3))
    model.save_weights(tmp_path / "notop.weights.h5")
    images = _images(32)
    source = imagenet_source("EfficientNetB0", weights=tmp_path / "notop.weights.h5", image_size=32)
    _assert_close(source(images), model(images))


def test_source_can_be_cut(mobilenet):
    source = imagenet_source("MobileNet:0.25", weights=mobilenet[1], image_size=32)
    images = _images(32)
    cuts = kdefrost.cut_points(source)
    for cut in (cuts[0], cuts[len(cuts) // 2], cuts[-1]):
        extractor, tail = kdefrost.split(source, cut)
        _assert_close(tail(extractor(images), training=False), source(images, training=False))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("MobilNetV2", r"no ImageNet model 'MobilNetV2'.* nearest names are MobileNetV2, "),
        ("resnet18", r"no ImageNet model 'resnet18'.* nearest names are .*ResNet18"),
        ("", r"no ImageNet model ''"),
        ("ResNet50:0.5", r"ResNet50 comes in one width, without an alpha; name it without `:0\.5`"),
        ("ResNet18:0.5", r"ResNet18 comes in one width, without an alpha; name it without `:0\.5`"),
        ("MobileNet:small", r"alpha of 'MobileNet:small' must be a positive number.* Received: 'small'"),
        ("MobileNet:-1", r"alpha of 'MobileNet:-1' must be a positive number.* Received: '-1'"),
        ("MobileNet:nan", r"alpha of 'MobileNet:nan' must be a positive number"),
        ("MobileNet:0.001", r"MobileNet:0\.001 cannot be built .*filters.*; give another `image_size` or alpha"),
    ],
)
def test_names_that_do_not_exist(name, words):
    with pytest.raises(ValueError, match=words):
        imagenet_source(name, weights="not_read.h5", image_size=32)


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (16, r"VGG16 cannot be built for images of 16×16: .*at least 32x32.*; give another `image_size`\.$"),
        (0, r"`image_size` must be a positive whole number, or \(height, width\)\. Received: 0"),
        (32.5, r"`image_size` must be .* Received: 32\.5"),
        ((32, 32, 3), r"`image_size` must be .* Received: \(32, 32, 3\)"),
    ],
)
def test_image_sizes_that_cannot_be(size, words):
    with pytest.raises(ValueError, match=words):
        imagenet_source("VGG16", weights="not_read.h5", image_size=size)


def test_missing_weights_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no weights file .*missing\.weights\.h5"):
        imagenet_source("VGG16", weights=tmp_path / "missing.weights.h5", image_size=32)


def _corrupt(model, path):
    path.write_bytes(b"not weights")


def _without_one_layer(model, path):
    model.save_weights(path)
    with h5py.File(path, "a") as file:
        del file["layers/batch_normalization_5"]


def _with_classifier(model, path):
    whole = keras.Model(model.input, keras.layers.Dense(1000)(model.output))
    whole.save_weights(path)


@pytest.mark.parametrize(
    ("write", "file", "name", "words"),
    [
        (_corrupt, "a.weights.h5", "MobileNet:0.25", "does not fit MobileNet:0.25: Unable to .*open file"),
        (_corrupt, "a.h5", "MobileNet:0.25", "does not fit MobileNet:0.25: Unable to .*open file"),
        (_corrupt, "a.pth", "MobileNet:0.25", r"does not fit .*: its name does not end in \.h5"),
        (_without_one_layer, "a.weights.h5", "MobileNet:0.25", "of its 131 arrays 0 .*135 it lacks 4"),
        (_with_classifier, "a.weights.h5", "MobileNet:0.25", "of its 137 arrays 2 have no place .* lacks 0"),
        (keras.Model.save_weights, "a.weights.h5", "MobileNet:0.5", r"of its 135 arrays .*\(alpha=0.5, include_top"),
        (keras.Model.save_weights, "a.weights.h5", "VGG16", r"must hold .*applications.VGG16\(include_top=False\)"),
        (keras.Model.save, "a.h5", "MobileNet:0.5", "does not fit MobileNet:0.5: .*shape"),
        (keras.Model.save, "a.h5", "VGG16", "does not fit VGG16: Layer count mismatch"),
    ],
)
def test_weights_that_do_not_fit_are_refused(write, file, name, words, mobilenet, tmp_path):
    write(mobilenet[0], tmp_path / file)
    with pytest.raises(ValueError, match=words):
        imagenet_source(name, weights=tmp_path / file, image_size=32)


def test_failed_download_says_what_to_do(monkeypatch):
    def fail(*_, **__):
        raise Exception("URL fetch failure on https://storage.example/weights.h5: None -- no network")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", fail)
    words = (
        r"weights of MobileNet:0\.25: URL fetch failure on https://.*; download .* file with `weights=` \(`--weights`"
    )
    with pytest.raises(ValueError, match=words):
        imagenet_source("MobileNet:0.25", image_size=32)


def test_alpha_without_weights_says_which_there_are():
    with pytest.raises(ValueError, match=r"cannot give the ImageNet weights of MobileNet:0\.4: .*alpha can be one of"):
        imagenet_source("MobileNet:0.4", image_size=32)


BLOCKS = [(layer, block) for layer in (1, 2, 3, 4) for block in (0, 1)]


def _convolution_weights(rng, size: int, taken: int, given: int):
    return rng.normal(0, np.sqrt(2 / (size * size * taken)), (given, taken, size, size))


def _normalization_weights(rng, name: str, channels: int) -> dict:
    ranges = {"weight": (0.5, 1.5), "bias": (-0.5, 0.5), "running_mean": (-0.5, 0.5), "running_var": (0.5, 1.5)}
    drawn = {f"{name}.{key}": rng.uniform(*limits, channels) for key, limits in ranges.items()}
    return {**drawn, f"{name}.num_batches_tracked": np.array(1)}


def _resnet18_weights() -> dict[str, np.ndarray]:
    """Random weights by torchvision's names, kernels as (outputs, inputs, height, width)."""
    rng = np.random.default_rng(0)
    weights = {"conv1.weight": _convolution_weights(rng, 7, 3, 64), **_normalization_weights(rng, "bn1", 64)}
    for layer, block in BLOCKS:
        name, channels = f"layer{layer}.{block}", 32 * 2**layer
        taken = channels if block or layer == 1 else channels // 2
        for number, inputs in ((1, taken), (2, channels)):
            weights[f"{name}.conv{number}.weight"] = _convolution_weights(rng, 3, inputs, channels)
            weights.update(_normalization_weights(rng, f"{name}.bn{number}", channels))
        if taken != channels:
            weights[f"{name}.downsample.0.weight"] = _convolution_weights(rng, 1, taken, channels)
            weights.update(_normalization_weights(rng, f"{name}.downsample.1", channels))
    weights.update({"fc.weight": rng.normal(size=(1000, 512)), "fc.bias": rng.normal(size=1000)})
    return {key: value.astype("float32" if value.shape else "int64") for key, value in weights.items()}


def _resnet18_forward(weights: dict, images: np.ndarray, mean, std) -> np.ndarray:
    """ResNet-18 by PyTorch's rules: zeros around an image before a convolution, nothing around it before the pool."""

    def convolve(x, name, stride, padding):
        x = tf.pad(x, [[0, 0], [padding, padding], [padding, padding], [0, 0]])
        return tf.nn.conv2d(x, weights[f"{name}.weight"].transpose(2, 3, 1, 0), stride, "VALID")

    def normalize(x, name):
        statistics = (weights[f"{name}.{key}"] for key in ("running_mean", "running_var", "bias", "weight"))
        return tf.nn.batch_normalization(x, *statistics, 1e-5)

    x = (images / 255 - np.array(mean)) / np.array(std)
    x = tf.nn.relu(normalize(convolve(tf.cast(x, "float32"), "conv1", 2, 3), "bn1"))
    x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=-np.inf)
    x = tf.nn.max_pool2d(x, 3, 2, "VALID")
    for layer, block in BLOCKS:
        name, stride = f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
        y = tf.nn.relu(normalize(convolve(x, f"{name}.conv1", stride, 1), f"{name}.bn1"))
        y = normalize(convolve(y, f"{name}.conv2", 1, 1), f"{name}.bn2")
        if stride == 2:
            x = normalize(convolve(x, f"{name}.downsample.0", stride, 0), f"{name}.downsample.1")
        x = tf.nn.relu(x + y)
    return tf.reduce_mean(x, (1, 2)).numpy()


def _timm_config(**changes) -> dict:
    """What timm writes beside the weights of `resnet18.tv_in1k`, as far as KerasHub reads it, for images of 64×64."""
    pretrained = {"input_size": [3, 64, 64], "interpolation": "bilinear", "crop_pct": 0.875, **TORCHVISION}
    return {"architecture": "resnet18", "num_classes": 1000, "pretrained_cfg": pretrained, **changes}


def _write_preset(folder, weights: dict, config: dict):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    safetensors.numpy.save_file(weights, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def torchvision(tmp_path_factory):
    """Weights by torchvision's names, and a folder with them."""
    weights = _resnet18_weights()
    return weights, _write_preset(tmp_path_factory.mktemp("resnet18"), weights, _timm_config())


def test_resnet18_computes_what_torchvisions_does(torchvision):
    weights, folder = torchvision
    images = _images(64)
    source = imagenet_source("ResNet18", weights=folder, image_size=64)
    assert source.output.shape == (None, 512)
    _assert_close(source(images), _resnet18_forward(weights, images, **TORCHVISION))


def test_resnet18_preprocesses_as_kerashub_does(torchvision):
    images = _images(64)
    converter = keras_hub.layers.ResNetImageConverter.from_preset(str(torchvision[1]))
    received = resnet18(torchvision[1], image_size=64).get_layer("preprocessing")(images)
    np.testing.assert_allclose(received, converter(images), atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "used"),
    [
        (
            {"pretrained_cfg": {**_timm_config()["pretrained_cfg"], "mean": [0.5] * 3, "std": [0.25] * 3}},
            ([0.5], [0.25]),
        ),
        ({"pretrained_cfg": {}}, tuple(TORCHVISION.values())),
    ],
    ids=["its own", "none"],
)
def test_resnet18_takes_the_statistics_of_its_preset(changes, used, torchvision, tmp_path):
    folder = _write_preset(tmp_path / "preset", torchvision[0], _timm_config(**changes))
    images = _images(8)
    received = resnet18(folder, image_size=8).get_layer("preprocessing")(images)
    np.testing.assert_allclose(received, (images / 255 - used[0]) / used[1], atol=1e-5)


def test_random_resnet18_can_be_cut():
    source = resnet18(image_size=(32, 48))
    assert source.input.shape == (None, 32, 48, 3) and source.output.shape == (None, 512)
    # The stem, eight blocks, and both ends.
    assert len(kdefrost.cut_points(source)) == 10
    assert not np.array_equal(source.get_weights()[0], resnet18(image_size=32).get_weights()[0])


def test_sources_are_saved_without_layers_of_others(tmp_path, start):
    sources = {"ResNet18": resnet18(image_size=32), "VGG16": _Application.named("VGG16").source(None, 32)}
    images = _images(32)
    for name, source in sources.items():
        source.save(tmp_path / f"{name}.keras")
        np.save(tmp_path / f"{name}.npy", source(images, training=False))
    np.save(tmp_path / "images.npy", images)
    program = """
import sys, keras, numpy as np
for name in names:
    model = keras.models.load_model(f"{folder}/{name}.keras")
    features = model(np.load(f"{folder}/images.npy"), training=False)
    np.testing.assert_allclose(features, np.load(f"{folder}/{name}.npy"), rtol=1e-4, atol=1e-5)
assert not {"kdefrost", "keras_hub"} & set(sys.modules)
"""
    elsewhere = start(program, folder=str(tmp_path), names=list(sources))
    elsewhere.join()
    assert elsewhere.exitcode == 0


def test_resnet18_by_name_takes_torchvisions_weights(monkeypatch):
    monkeypatch.setattr(imagenet, "resnet18", lambda *arguments: arguments)
    assert imagenet_source("ResNet18") == ("hf://timm/resnet18.tv_in1k", 224)
    assert imagenet_source("ResNet18", weights="folder", image_size=64) == ("folder", 64)


def test_resnet18_without_network_says_what_to_do(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    words = r"cannot give ResNet18 the weights of hf://timm/none: .*; give a folder .*`weights=` \(`--weights`\), or"
    with pytest.raises(ValueError, match=words):
        resnet18("hf://timm/none", image_size=32)


def test_missing_folder_of_resnet18_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*missing; ResNet18 takes a folder or an hf://"):
        resnet18(tmp_path / "missing", image_size=32)


def _drop(weights: dict, name: str) -> dict:
    return {key: value for key, value in weights.items() if key != name}


@pytest.mark.parametrize(
    ("change", "config", "words"),
    [
        # KerasHub would take layer1.0.bn1.weight for it.
        (lambda weights: _drop(weights, "bn1.weight"), {}, "has 99 tensors before the classifier, not 100"),
        (lambda weights: {**weights, "conv1.weight": weights["fc.weight"]}, {}, "axes don't match"),
        (dict, {"architecture": "resnet34"}, r"does not contain tensor layer1\.2\.conv1\.weight"),
        (dict, {"architecture": "vgg11"}, "Saved preset has type `VGGBackbone`"),
    ],
    ids=["incomplete", "shape", "deeper", "other"],
)
def test_weights_that_are_not_resnet18s_are_refused(change, config, words, torchvision, tmp_path):
    folder = _write_preset(tmp_path / "preset", change(torchvision[0]), _timm_config(**config))
    with pytest.raises(ValueError, match=rf"KerasHub cannot give ResNet18 the .*{words}.*; give a folder with timm's"):
        resnet18(folder, image_size=32)


def test_another_resnet_of_kerashub_is_refused(tmp_path):
    config = {**resnets._RESNET18, "stackwise_num_blocks": [1, 1, 1, 1]}
    keras_hub.models.ResNetBackbone(**config).save_to_preset(str(tmp_path))
    safetensors.numpy.save_file(_resnet18_weights(), tmp_path / "model.safetensors")
    with pytest.raises(
        ValueError, match=re.escape("it is another ResNet, with {'stackwise_num_blocks': [1, 1, 1, 1]}")
    ):
        resnet18(tmp_path, image_size=32)


def test_missing_kerashub_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(ImportError, match=r'pip install "kdefrost\[imagenet\]"'):
        resnet18(image_size=32)
