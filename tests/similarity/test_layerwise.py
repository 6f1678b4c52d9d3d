"""Two networks layer by layer: features that flow, and results that are kept."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from matplotlib import pyplot

import kdefrost
from kdefrost import similarity
from kdefrost.cutting.features import Inference, each_layer
from kdefrost.data.storage import DiskArray
from kdefrost.similarity import figures as layer_plots
from kdefrost.similarity import precision

SMALL = {"overlap_k": 3, "spearman_k": 9, "verbose": False}


def _network(seed: int, width: int = 8):
    """A residual block between two convolutions: three layers to compare, and one more inside the block."""
    layers = keras.layers
    inputs = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(width, 3, padding="same", name="conv1")(inputs)
    y = layers.Conv2D(width, 3, padding="same", activation="relu", name="inside1")(x)
    y = layers.Conv2D(width, 3, padding="same", name="inside2")(y)
    x = layers.ReLU(name="relu")(layers.Add(name="block")([x, y]))
    x = layers.Conv2D(width, 3, activation="relu", name="conv2")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(inputs, layers.Dense(3, activation="softmax", name="output")(x))
    kdefrost.reinitialize(model, seed)
    return model


@pytest.fixture(scope="module")
def networks():
    return [_network(seed) for seed in range(4)]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(size=(40, 8, 8, 1)).astype("float32")


@pytest.fixture(scope="module")
def one_pair(networks, images):
    return similarity.layerwise(networks[0], networks[1], images, **SMALL)


@pytest.fixture(scope="module")
def result(networks, images):
    """Of two pairs."""
    return similarity.layerwise(networks[:2], networks[2:], images, **SMALL)


@pytest.fixture(scope="module")
def matrix(networks, images):
    return similarity.layerwise(networks[0], networks[1], images, ["conv1", "pool"], pairs="all", **SMALL)


def _by_hand(a, b, cut_a, cut_b, images):
    """The other route: the extractors of both, and their features at once."""
    features = [
        [part.reshape(len(images), -1) for part in Inference(kdefrost.split(model, cut)[0])(images)]
        for model, cut in ((a, cut_a), (b, cut_b))
    ]
    x, y = (np.concatenate(parts, axis=1) for parts in features)
    return similarity.compare(x, y, overlap_k=3, spearman_k=9)


@pytest.mark.parametrize("layers", ["blocks", "layers"])
def test_each_layer_is_compared_with_its_counterpart(networks, images, layers):
    a, b = networks[:2]
    result = similarity.layerwise(a, b, images, layers, **SMALL)
    cuts = kdefrost.cut_points(a, layers)[1:]
    assert [cut.name for cut in result.layers_a] == [cut.name for cut in result.layers_b] == [c.name for c in cuts]
    assert result.pairs == [0] and result.configuration["images"] == 40
    for place, cut in enumerate(cuts):
        expected = _by_hand(a, b, cut, kdefrost.cut_points(b, layers)[place + 1], images)
        for name, value in expected.items():
            assert result.values(name)[0, place] == pytest.approx(value, abs=2e-3), (cut.name, name)


def test_all_layers_with_all(networks, images, matrix):
    a, b = networks[:2]
    assert matrix.is_matrix and matrix.matrix("cka").shape == (1, 2, 2)
    for row, column in np.ndindex(2, 2):
        expected = _by_hand(a, b, matrix.layers_a[row], matrix.layers_b[column], images)
        assert matrix.matrix("cka")[0, row, column] == pytest.approx(expected["cka"], abs=1e-5)
    same = similarity.layerwise(a, b, images, ["conv1", "pool"], **SMALL)
    np.testing.assert_allclose(matrix.values("cka"), same.values("cka"), atol=1e-6)
    # Where only counterparts were compared, the others are not known.
    assert np.isnan(same.matrix("cka")[0, 0, 1])


def test_a_network_is_all_like_itself(networks, images):
    result = similarity.layerwise(networks[0], networks[0], images, form="count", **SMALL)
    assert not result.values("information_imbalance_xy").any() and (result.values("cka") > 1 - 1e-6).all()


def test_networks_of_other_depth_are_compared_all_with_all(networks, images):
    dense = [keras.layers.Dense(5, "relu", name="one"), keras.layers.Dense(3)]
    plain = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), *dense])
    with pytest.raises(ValueError, match=r'`layers` must give as many of both models.*3 of `model_a` and 1 of.*"all"'):
        similarity.layerwise(networks[0], plain, images, **SMALL)
    result = similarity.layerwise(networks[0], plain, images, pairs="all", **SMALL)
    assert result.matrix("cka").shape == (1, 3, 1)
    with pytest.raises(ValueError, match=r"3 and 1 were compared. Take `matrix`"):
        result.values("cka")


def test_several_pairs_are_what_each_gives_alone(networks, images, result):
    parts = [similarity.layerwise(networks[n], networks[n + 2], images, **SMALL) for n in range(2)]
    joined = kdefrost.LayerwiseSimilarity.joined(parts)
    assert joined == result and result.pairs == [0, 1]
    values = result.values("cka")
    np.testing.assert_array_equal(values, np.concatenate([part.values("cka") for part in parts]))
    np.testing.assert_allclose(result.mean("cka"), values.mean(axis=0))
    np.testing.assert_allclose(result.standard_error("cka"), np.abs(values[0] - values[1]) / 2)
    assert np.isnan(parts[0].standard_error("cka")).all()


def test_pairs_of_models_whose_layers_keras_named(images):
    def network():
        layers = keras.layers
        made = [
            layers.Conv2D(4, 3),
            layers.ReLU(),
            layers.Conv2D(5, 3),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ]
        return keras.Sequential([keras.Input((8, 8, 1)), *made])

    models = [network() for _ in range(4)]
    whole = similarity.layerwise(models[:2], models[2:], images, **SMALL)
    parts = [similarity.layerwise(models[n], models[n + 2], images, **SMALL) for n in range(2)]
    joined = kdefrost.LayerwiseSimilarity.joined(parts)
    np.testing.assert_array_equal(joined.values("cka"), whole.values("cka"))
    # Names in a list are of both networks; these have none in common.
    places = [cut.index for cut in whole.layers_a]
    assert similarity.layerwise(models[:2], models[2:], images, places, **SMALL) == whole
    assert len(layer_plots.plot_layerwise({"one": parts[0], "other": parts[1]})) == 4


def test_half_precision_goes_to_disk_too(images):
    layers, half = keras.layers, {"dtype": "mixed_bfloat16"}
    made = [layers.Conv2D(4, 3, **half), layers.Conv2D(5, 3, **half), layers.GlobalAveragePooling2D(**half)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *made, layers.Dense(3)])
    result = similarity.layerwise(model, model, images, memory_budget=40 * 400, **SMALL)
    assert result.values("neighborhood_overlap").tolist() == [[1.0, 1.0]]


def test_only_results_that_fit_are_joined(result):
    other = dataclasses.replace(result, configuration={**result.configuration, "images": 7})
    with pytest.raises(ValueError, match="`results` must have the same configuration"):
        kdefrost.LayerwiseSimilarity.joined([result, other])
    with pytest.raises(ValueError, match="`results` must hold one or more"):
        kdefrost.LayerwiseSimilarity.joined([])


@pytest.mark.parametrize("budget", [1, 40 * 3000, 2**30])
def test_features_on_disk_are_those_in_memory(networks, images, budget, tmp_path):
    cuts = kdefrost.cut_points(networks[0], "layers")
    kinds = set()
    for cut, features in each_layer(networks[0], cuts, images, budget, tmp_path):
        expected = Inference(kdefrost.split(networks[0], cut)[0])(images)
        for part, whole in zip(features, expected, strict=True):
            np.testing.assert_allclose(part[:], whole, atol=1e-5)
        if cut.index:
            kinds |= {type(part) for part in features}
            held = sum(part.nbytes for part in features if isinstance(part, np.ndarray))
            assert held <= budget
    expected = {1: {DiskArray}, 40 * 3000: {DiskArray, np.ndarray}, 2**30: {np.ndarray}}
    assert kinds == expected[budget]


def test_a_small_budget_changes_no_number(networks, images, one_pair):
    result = similarity.layerwise(networks[0], networks[1], images, memory_budget=40 * 3000, **SMALL)
    for name in one_pair.names:
        np.testing.assert_allclose(result.values(name), one_pair.values(name), atol=1e-4)


@pytest.mark.parametrize("labelled", [True, False])
def test_images_may_be_a_data_set_that_is_read_once(networks, images, one_pair, labelled):
    passes = []

    def batches():
        passes.append(1)
        for start in range(0, 40, 16):
            batch = images[start : start + 16]
            yield (batch, np.zeros(len(batch))) if labelled else batch

    spec = tf.TensorSpec((None, 8, 8, 1), tf.float32)
    signature = (spec, tf.TensorSpec((None,), tf.float64)) if labelled else spec
    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
    result = similarity.layerwise(networks[0], networks[1], dataset, **SMALL)
    assert result == one_pair and len(passes) == 1


def test_two_devices_give_the_numbers_of_one(networks, images, two_devices):
    result = similarity.layerwise(networks[0], networks[1], images, ["pool"], strategy=two_devices, **SMALL)
    assert result == similarity.layerwise(networks[0], networks[1], images, ["pool"], **SMALL)


def test_neither_network_is_changed(networks, images):
    before = networks[0].get_weights()
    similarity.layerwise(networks[0], networks[1], images, **SMALL)
    for old, new in zip(before, networks[0].get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def _wrong_models(networks, images):
    yield ([networks[0]], networks[:2], images, {}), "`model_a` and `model_b` must be as many models. Received: 1 and 2"
    yield ([], [], images, {}), "`model_a` must be a model, or a list of one or more"
    yield (
        ([networks[0], _network(0, width=4)], networks[:2], images, {}),
        "The models of `model_a` must have layers of the same shapes",
    )
    broken = np.where(np.arange(40)[:, None, None, None] == 7, np.nan, images)
    yield (*networks[:2], broken, {}), "`images` must be finite"
    yield (*networks[:2], (images, np.zeros(40)), {}), "`images` must be images alone"
    yield (*networks[:2], images, {"directory": "no/such/folder"}), "`directory` must be a folder that exists"
    yield (*networks[:2], images[:, :4], {}), r"`images` must be what both models take, \(8, 8, 1\).*\(4, 8, 1\)"
    yield (*networks[:2], images[:0], {}), "`images` must be images.*at least one"
    yield (*networks[:2], images[:9], {}), r"`k` of neighbor_spearman \(`spearman_k`.*from 2 to 8"
    yield (*networks[:2], images, {"pairs": "some"}), "`pairs` must be one of same, all. Received: pairs='some'"
    yield (*networks[:2], images, {"layers": ["conv9"]}), "There is no cut 'conv9'"
    flat = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
    yield (flat, flat, images, {}), r"`layers` must give one or more of `model_a`, beside its input"
    yield (*networks[:2], images, {"measures": ["cca"]}), "`measures` must be a list"
    yield (*networks[:2], images, {"memory_budget": -1}), "`memory_budget` must be a positive number"
    endless = tf.data.Dataset.from_tensors(images).repeat()
    yield (*networks[:2], endless, {}), "`images` must be a tf.data.Dataset that ends"
    single = tf.data.Dataset.from_tensor_slices(np.zeros(4))
    yield (*networks[:2], single, {}), "`images` must be a tf.data.Dataset of batches of images"
    yield (*networks[:2], tf.data.Dataset.from_tensors(images).take(0), {}), "`images` must be .* that is not empty"


def test_mistakes_are_named(networks, images):
    for (a, b, given, arguments), message in _wrong_models(networks, images):
        with pytest.raises(ValueError, match=message):
            similarity.layerwise(a, b, given, **{**SMALL, **arguments})


def _dead(value):
    """A network whose features are all alike, or no numbers, from `pool` on."""
    network = _network(0)
    conv = network.get_layer("conv2")
    conv.set_weights([np.full_like(w, value) for w in conv.get_weights()])
    return network


@pytest.mark.parametrize("value", [0, np.nan])
def test_a_layer_that_tells_nothing_is_nan_alone_and_named(networks, images, one_pair, value):
    for pair, name in ((networks[0], _dead(value)), "model_b"), ((_dead(value), networks[0]), "model_a"):
        with pytest.warns(UserWarning, match=f"`{name}` at layer `pool` must .* Numbers of this layer are NaN."):
            result = similarity.layerwise(*pair, images, **SMALL)
        for number in result.names:
            np.testing.assert_array_equal(np.isnan(result.values(number)), [[False, False, True]])
            assert result.cells(number)[2] == "nan"
    alone = similarity.layerwise(networks[0], _dead(1.0), images, ["conv1", "block"], **SMALL)
    with pytest.warns(UserWarning, match="`pool`"):
        beside = similarity.layerwise(networks[0], _dead(0.0), images, **SMALL)
    np.testing.assert_array_equal(beside.values("cka")[:, :2], alone.values("cka"))


def test_a_layer_that_tells_nothing_is_nan_among_all(networks, images, tmp_path):
    with pytest.warns(UserWarning, match="`model_b` at layer `pool`") as told:
        result = similarity.layerwise(networks[0], _dead(0), images, pairs="all", **SMALL)
    assert len(told) == 1
    np.testing.assert_array_equal(np.isnan(result.matrix("cka")[0]), [[False, False, True]] * 3)
    image = result.plot().images[0]
    assert (image.get_array().mask == np.isnan(result.matrix("cka")[0])).all() and image.get_clim() == (0, 1)
    result.save(tmp_path / "similarity.json")
    loaded = kdefrost.LayerwiseSimilarity.load(tmp_path / "similarity.json")
    np.testing.assert_array_equal(loaded.matrix("cka"), result.matrix("cka"))
    pyplot.close("all")


def test_means_are_of_the_pairs_that_have_a_number(networks, images, result):
    with pytest.warns(UserWarning, match=r"`model_b\[0\]` at layer `pool`"):
        partly = similarity.layerwise(networks[:2], [_dead(0), networks[3]], images, **SMALL)
    assert partly.mean("cka")[2] == result.values("cka")[1, 2] and np.isnan(partly.standard_error("cka")[2])
    np.testing.assert_array_equal(np.isfinite(partly.standard_error("cka")), [True, True, False])


@pytest.mark.parametrize("dead", [["pool"], ["conv1", "block", "pool"]])
def test_figures_leave_out_what_is_nan(one_pair, dead):
    numbers = [
        dict.fromkeys(c.numbers, np.nan) if cut.name in dead else c.numbers
        for c, cut in zip(one_pair.comparisons, one_pair.layers_a, strict=True)
    ]
    comparisons = [dataclasses.replace(c, numbers=n) for c, n in zip(one_pair.comparisons, numbers, strict=True)]
    result = dataclasses.replace(one_pair, comparisons=tuple(comparisons))
    count = 3 - len(dead)
    assert [len(line[0].get_ydata()) for line in result.plot()[0].containers] == [count, count]
    ax = layer_plots.plot_imbalance_plane({"gm": result})
    assert np.isfinite(ax.get_xlim()).all() and len(ax.lines[-1].get_xdata()) == min(count, 1)
    pyplot.close("all")


def test_a_saved_result_is_the_same(result, tmp_path):
    result.save(tmp_path / "similarity.json")
    assert kdefrost.LayerwiseSimilarity.load(tmp_path / "similarity.json") == result


def test_what_is_no_result_is_refused(result, tmp_path):
    path = tmp_path / "similarity.json"
    path.write_text('{"kdefrost_profile": 2}')
    with pytest.raises(ValueError, match="is not a similarity of this version"):
        kdefrost.LayerwiseSimilarity.load(path)
    result.save(path)
    values = json.loads(path.read_text())
    # Without the digest, by which any change is found.
    del values["sha256"]
    for damaged in ({"comparisons": []}, {"layers_b": None}):
        path.write_text(json.dumps({**values, **damaged}))
        with pytest.raises(ValueError, match="is damaged"):
            kdefrost.LayerwiseSimilarity.load(path)


def test_table_and_csv_have_the_numbers(result, tmp_path):
    lines = result.table().splitlines()
    assert lines[0].split("  ")[0] == "cut" and "imbalance X→Y" in lines[0] and "CKA, unbiased" in lines[0]
    mean, error = result.mean("cka")[0], result.standard_error("cka")[0]
    assert f"{mean:.3f} ± {error:.3f}" in lines[1] and "conv1" in lines[1]
    result.save_csv(tmp_path / "similarity.csv")
    rows = (tmp_path / "similarity.csv").read_text().splitlines()
    assert rows[0].startswith("pair,cut_a,layer_a,cut_b,layer_b,information_imbalance_xy") and len(rows) == 1 + 2 * 3
    assert rows[1].split(",")[:5] == ["0", "1", "conv1", "1", "conv1"]
    assert float(rows[1].split(",")[7]) == result.values("cka")[0, 0]


def test_an_unknown_number_is_named(result):
    with pytest.raises(ValueError, match=r"`name` must be one of information_imbalance_xy, .*name='ckb'"):
        result.mean("ckb")


@pytest.fixture(autouse=True)
def _close():
    yield
    pyplot.close("all")


def test_lines_are_the_numbers_both_ways(result):
    axes = layer_plots.plot_layerwise({"isogm": result, "gm": result})
    assert [ax.get_ylabel() for ax in axes] == [
        "information imbalance",
        "linear CKA",
        "neighbourhood overlap",
        "neighbour Spearman ρ",
    ]
    forth, back = axes[0].containers[:2]
    assert (forth[0].get_linestyle(), back[0].get_linestyle()) == ("-", "--")
    np.testing.assert_array_equal(forth[0].get_ydata(), result.mean("information_imbalance_xy"))
    np.testing.assert_array_equal(back[0].get_ydata(), result.mean("information_imbalance_yx"))
    heights = [segment[1, 1] - segment[0, 1] for segment in forth[2][0].get_segments()]
    np.testing.assert_allclose(heights, 2 * result.standard_error("information_imbalance_xy"))
    assert [tick.get_text() for tick in axes[0].get_xticklabels()][:2] == ["conv1 1", "block 2"]
    legend = axes[-1].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["isogm", "gm", "X→Y", "Y→X"]
    assert [len(ax.containers) for ax in axes] == [4, 2, 2, 4]


def test_some_measures_can_be_drawn_on_given_axes(result):
    _, given = pyplot.subplots()
    (ax,) = layer_plots.plot_layerwise({"gm": result}, ["cka"], axes=given)
    assert ax is given and [text.get_text() for text in ax.get_legend().get_texts()] == ["gm"]
    with pytest.raises(ValueError, match="`axes` must be 2"):
        layer_plots.plot_layerwise({"gm": result}, ["cka", "neighborhood_overlap"], axes=given)


def test_what_cannot_be_drawn_is_named(result):
    with pytest.raises(ValueError, match="`results` must hold one or more"):
        layer_plots.plot_layerwise({})
    with pytest.raises(ValueError, match="`measures` must be measured in all"):
        layer_plots.plot_layerwise({"gm": result}, ["ckA"])
    shorter = dataclasses.replace(result, layers_a=result.layers_a[1:])
    with pytest.raises(ValueError, match=r"`results` must be of the same layers.*of 'one'.*of 'other'"):
        layer_plots.plot_layerwise({"one": result, "other": shorter})
    only = [dataclasses.replace(c, numbers={"cka": 1.0}) for c in result.comparisons]
    with pytest.raises(ValueError, match="`results` must have the information imbalance"):
        layer_plots.plot_imbalance_plane({"gm": dataclasses.replace(result, comparisons=tuple(only))})


def test_the_plane_has_one_way_against_the_other(result):
    ax = layer_plots.plot_imbalance_plane({"isogm": result, "gm": result})
    for container in ax.containers:
        np.testing.assert_array_equal(container[0].get_xdata(), result.mean("information_imbalance_xy"))
        np.testing.assert_array_equal(container[0].get_ydata(), result.mean("information_imbalance_yx"))
    assert ax.get_xlabel() == "information imbalance X→Y" and ax.get_xlim() == ax.get_ylim()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["isogm", "gm", "first layer"]


def test_the_matrix_is_an_image_of_means(matrix):
    ax = matrix.plot()
    np.testing.assert_array_equal(ax.images[0].get_array(), matrix.matrix("cka")[0])
    assert ax.get_yticklabels()[0].get_text() == "conv1 1"
    assert ax.get_xlabel() == "layer of Y (cut)"


def test_a_result_draws_itself(result):
    assert len(result.plot()) == 4


def test_which_dtype_a_layer_needs_is_found_out_once(monkeypatch):
    asked = []
    suffices = precision.float32_suffices
    monkeypatch.setattr(
        "kdefrost.similarity.gram.float32_suffices", lambda points: asked.append(points.name) or suffices(points)
    )
    images = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
    a, b = (keras.Sequential([keras.Input((6,)), *(keras.layers.Dense(4) for _ in range(3))]) for _ in range(2))
    kdefrost.similarity.layerwise(a, b, images, pairs="all", overlap_k=5, spearman_k=5, verbose=False)
    assert len(asked) == len(set(asked)) == 4
