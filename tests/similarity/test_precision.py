"""Distances that float32 does not hold are computed in float64, and no others."""

import functools

import keras
import numpy as np
import pytest
from scipy import stats

from kdefrost import similarity
from kdefrost.data.storage import DiskArray
from kdefrost.similarity import representations
from kdefrost.similarity.gram import Plan, Points

SMALL = {"overlap_k": 5, "spearman_k": 20}
N = 240


def _by_differences(x, y):
    """Numbers from float64 differences, point by point, without a product of two points."""
    far = [((z[:, None] - z[None]) ** 2).sum(-1) + np.diag(np.full(N, np.inf)) for z in (x, y)]
    near = [np.argsort(each, axis=1, kind="stable") for each in far]
    ranks = [[stats.rankdata(far[1][i], "min")[near[0][i, 0]] for i in range(N)]]
    ranks.append([stats.rankdata(far[0][i], "min")[near[1][i, 0]] for i in range(N)])
    both = [len({*near[0][i, :5]} & {*near[1][i, :5]}) for i in range(N)]
    rho = [[stats.spearmanr(*(each[i, order[i, :20]] for each in far)).statistic for i in range(N)] for order in near]
    centred = [z - z.mean(axis=0) for z in (x, y)]
    hsic = [((centred[a].T @ centred[b]) ** 2).sum() for a, b in ((0, 1), (0, 0), (1, 1))]
    return {
        "information_imbalance_xy": 2 / N**2 * np.sum(ranks[0]),
        "information_imbalance_yx": 2 / N**2 * np.sum(ranks[1]),
        "cka": hsic[0] / np.sqrt(hsic[1] * hsic[2]),
        "neighborhood_overlap": np.mean(both) / 5,
        "neighbor_spearman_xy": np.mean(rho[0]),
        "neighbor_spearman_yx": np.mean(rho[1]),
    }


def _close_to(x, noise=0.05):
    """Another representation of points, which tells nearly the same of the neighbours among the first."""
    return x + noise * np.random.default_rng(9).standard_normal(x.shape)


def _plain(width=3):
    return np.random.default_rng(0).standard_normal((N, width))


def _clusters(spread, width=3):
    return _plain(width) + spread * np.repeat(np.random.default_rng(1).standard_normal((N // 12, width)), 12, axis=0)


def _one_far(distance):
    x = _plain()
    x[7, 0] = distance
    return x


def _few_tight(count):
    x = _plain()
    x[:count] = x[0] + 1e-5 * x[:count]
    return x


# What float32 gives wrong neighbours of.
HARD = {
    "clusters": _clusters(1e4),
    "places in metres": _clusters(5e4, 2) + np.array([4.5e6, 6.5e5]),
    "on a line": _clusters(1e4, 1) + 1e7,
    "one far point": _one_far(1e6),
    "a few in a tight cluster": _few_tight(N // 10),
    "scales that differ": np.concatenate([np.arange(N)[:, None] % 4 * 1e5, _plain()], axis=1),
    "nearly equally far": np.eye(N) + 1e-6 * np.random.default_rng(2).standard_normal((N, N)),
    "whole numbers": np.rint(_clusters(1e4) * 50).astype("int64"),
}


@functools.cache
def _expected(name):
    x = HARD[name].astype("float64")
    return _by_differences(x, _close_to(_plain()))


def _dtype(x):
    return Points("X", [x], None).squares.dtype


@pytest.mark.parametrize("name", HARD)
def test_what_float32_does_not_hold_is_right_by_default(name):
    x, y = HARD[name], _close_to(_plain())
    assert (_dtype(x), _dtype(y)) == ("float64", "float32")
    numbers, float32, float64 = (similarity.compare(x, y, **SMALL, dtype=d) for d in (None, "float32", "float64"))
    for number, value in _expected(name).items():
        assert numbers[number] == pytest.approx(value, abs=2e-5), number
        assert float64[number] == pytest.approx(value, abs=1e-9), number
    wrong = [abs(float32[number] - value) for number, value in _expected(name).items()]
    assert max(wrong) > 3e-4


def test_every_door_chooses_by_itself():
    x, y, expected = HARD["clusters"], _close_to(_plain()), _expected("clusters")
    assert similarity.information_imbalance(x, y) == pytest.approx(expected["information_imbalance_xy"], abs=1e-9)
    assert similarity.information_imbalance(y, x) == pytest.approx(expected["information_imbalance_yx"], abs=1e-9)
    assert similarity.cka(x, y) == pytest.approx(expected["cka"], abs=1e-6)
    assert similarity.neighborhood_overlap(x, y, k=5) == pytest.approx(expected["neighborhood_overlap"], abs=1e-9)
    assert similarity.neighbor_spearman(x, y, k=20) == pytest.approx(expected["neighbor_spearman_xy"], abs=1e-6)


@pytest.mark.parametrize("kind", [_clusters, _one_far])
@pytest.mark.parametrize(
    ("size", "offset", "scale"), np.random.default_rng(0).uniform([0, 0, -12], [5, 5, 12], (12, 3))
)
def test_over_all_scales_the_default_is_float64s_within_rounding(kind, size, offset, scale):
    x = 10**scale * (kind(10**size) + 10**offset)
    y = _close_to(_plain())
    numbers, float64 = (similarity.compare(x, y, **SMALL, dtype=dtype) for dtype in (None, "float64"))
    assert numbers == pytest.approx(float64, abs=5e-4, nan_ok=True)


@pytest.mark.parametrize("distance", [1e2, 1e3, 1e4, 1e5])
def test_a_far_point_leaves_unbiased_cka_what_it_is(distance):
    """Without the diagonal, by double centring: HSIC₁ is N(N − 3) times the product of U-centred matrices."""
    x, y = _one_far(distance), _close_to(_one_far(distance))

    def centred(z):
        gram = (z - z.mean(axis=0)) @ (z - z.mean(axis=0)).T
        np.fill_diagonal(gram, 0)
        rows = gram.sum(axis=1) / (N - 2)
        gram = gram - rows[:, None] - rows + gram.sum() / ((N - 1) * (N - 2))
        np.fill_diagonal(gram, 0)
        return gram

    a, b = centred(x), centred(y)
    expected = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
    assert similarity.cka(x, y, unbiased=True) == pytest.approx(expected, abs=1e-4)


def _features():
    """Representations like those of networks: sparse, with dead points, twins, and equal distances of others."""
    rng = np.random.default_rng(0)
    wide = np.maximum(rng.standard_normal((N, 40)) @ rng.standard_normal((40, 300)) - 4, 0).astype("float32")
    yield "ReLU", wide
    yield "pooled ReLU", wide.reshape(N, 30, 10).mean(axis=1)
    yield "far from zero", wide + np.float32(1000)
    yield "dead for a third of the points", wide * (np.arange(N) % 3 > 0)[:, None].astype("float32")
    yield "all twice", np.concatenate([wide[: N // 2]] * 2)
    nearly = np.concatenate([wide[: N // 2], wide[: N // 2] * np.float32(1 + 1e-6)])
    yield "all twice but for rounding", nearly
    bits = rng.integers(0, 2, (N, 12))
    yield "bits", bits.astype("uint8")
    yield "scaled bits", 0.37 * bits.astype("float32")
    yield "pixels", rng.integers(0, 256, (N, 4, 4, 3), np.uint8)
    exponents = np.exp(3 * rng.standard_normal((N, 10)))
    yield "softmax", (exponents / exponents.sum(axis=1, keepdims=True)).astype("float32")
    yield "heavy tails", rng.standard_t(3, (N, 50)).astype("float32")
    yield "two features", rng.standard_normal((N, 2))


@pytest.mark.parametrize("name", [name for name, _ in _features()])
def test_ordinary_features_stay_in_float32_to_the_last_bit(name):
    x = dict(_features())[name]
    assert _dtype(x) == "float32"
    y = _plain()
    assert similarity.compare(x, y, **SMALL) == similarity.compare(x, y, **SMALL, dtype="float32")


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("name", ["clusters", "one far point"])
def test_strips_disk_and_parts_choose_alike(name, held, tmp_path):
    x, y = HARD[name], _close_to(_plain())
    on_disk = DiskArray(x.shape[1:], x.dtype, tmp_path)
    on_disk.append(x)
    chosen = representations.Settings(**SMALL)
    for given_x in (on_disk, (x[:, :1], x[:, 1:])):
        points = [representations.as_points(n, z, chosen) for n, z in (("X", given_x), ("Y", y))]
        numbers = representations.compare_points(*points, chosen, Plan(70, 70, held))
        for number, value in _expected(name).items():
            assert numbers[number] == pytest.approx(value, abs=2e-5), number


def test_two_devices_choose_alike(two_devices):
    x, y = HARD["clusters"], _close_to(_plain())
    assert similarity.compare(x, y, **SMALL, strategy=two_devices) == similarity.compare(x, y, **SMALL)


def test_layers_choose_each_by_itself():
    """Both networks take three of six features; those of the first are in clusters, those of the second are not."""
    images = np.concatenate([HARD["clusters"], _close_to(_plain())], axis=1).astype("float32")
    networks = []
    for kernel in (np.eye(6)[:, :3], np.eye(6)[:, 3:]):
        layers = [keras.layers.Dense(3, use_bias=False, name="taken"), keras.layers.Dense(2)]
        networks.append(keras.Sequential([keras.Input((6,)), *layers]))
        networks[-1].layers[0].set_weights([kernel])
    result = similarity.layerwise(*networks, images, ["taken"], verbose=False, **SMALL)
    expected = _by_differences(*np.split(images.astype("float64"), 2, axis=1))
    for number, value in expected.items():
        assert result.values(number)[0, 0] == pytest.approx(value, abs=2e-5), number


@pytest.mark.parametrize("scale", [1e80, 1e-80])
def test_numbers_that_only_float64_holds_are_taken_in_it(scale):
    x, y = _plain(), _close_to(_plain())
    expected = similarity.compare(x, y, **SMALL, dtype="float64")
    assert similarity.compare(scale * x, y, **SMALL) == pytest.approx(expected, abs=1e-5)


def test_what_float64_does_not_tell_apart_is_warned_of():
    x, y = _clusters(1e10), _plain()
    for dtype in (None, "float64"):
        with pytest.warns(UserWarning, match="`X` has points so much nearer .* that float64 does not tell"):
            similarity.compare(x, y, **SMALL, dtype=dtype)
    # Who asks for float32 knows.
    similarity.compare(x, y, **SMALL, dtype="float32")
