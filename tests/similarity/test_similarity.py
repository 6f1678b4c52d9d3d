"""The measures of similarity: hand-computed, invariant, and by two routes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import sparse, stats

from kdefrost import similarity
from kdefrost.similarity import measures, representations
from kdefrost.similarity.comparing import cka, compare, information_imbalance, neighbor_spearman, neighborhood_overlap
from kdefrost.similarity.gram import Plan, Points

SMALL = {"overlap_k": 7, "spearman_k": 20}


def _pair(points=300, features=20, seed=0):
    """Two representations that have something in common, with two twins in the first."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((points, features))
    x[points // 2] = x[3]
    return x, np.tanh(x[:, :12] @ rng.standard_normal((12, 9))) + 0.5 * rng.standard_normal((points, 9))


def _brute(x, y, overlap_k, spearman_k):
    """All measures point by point, from the definitions, with SciPy's own distances and ranks."""
    n = len(x)

    def distances(z):
        far = np.sqrt(((z[:, None, :] - z[None, :, :]) ** 2).sum(-1))
        return [np.delete(row, i) for i, row in enumerate(far)]

    far = {"x": distances(x), "y": distances(y)}
    order = {name: [np.argsort(row, kind="stable") for row in rows] for name, rows in far.items()}
    numbers = {}
    for way, (a, b) in {"xy": "xy", "yx": "yx"}.items():
        ranks = [stats.rankdata(far[b][i], "min")[order[a][i][0]] for i in range(n)]
        numbers[f"information_imbalance_{way}"] = 2 / n**2 * np.sum(ranks)
        pairs = [(far[a][i][order[a][i][:spearman_k]], far[b][i][order[a][i][:spearman_k]]) for i in range(n)]
        rho = [stats.spearmanr(*pair).statistic for pair in pairs if np.ptp(pair, axis=1).all()]
        numbers[f"neighbor_spearman_{way}"] = np.mean(rho)
    both = [len({*order["x"][i][:overlap_k]} & {*order["y"][i][:overlap_k]}) for i in range(n)]
    numbers["neighborhood_overlap"] = np.mean(both) / overlap_k
    centre = np.eye(n) - 1 / n
    kernels = [centre @ z @ z.T @ centre for z in (x, y)]
    products = [np.sum(kernels[a] * kernels[b]) for a, b in ((0, 1), (0, 0), (1, 1))]
    numbers["cka"] = products[0] / np.sqrt(products[1] * products[2])
    kernels = [z @ z.T - np.diag(np.diag(z @ z.T)) for z in (x, y)]
    one = np.ones(n)

    def hsic(first, second):
        last = 2 / (n - 2) * one @ first @ second @ one
        return np.trace(first @ second) + (one @ first @ one) * (one @ second @ one) / ((n - 1) * (n - 2)) - last

    products = [hsic(kernels[a], kernels[b]) for a, b in ((0, 1), (0, 0), (1, 1))]
    numbers["cka_unbiased"] = products[0] / np.sqrt(products[1] * products[2])
    return numbers


# Five points on a line, and where they lie on another: their neighbours can be counted by hand.
LINE = np.array([[0.0], [1.0], [3.0], [6.0], [10.0]])
BENT = np.array([[0.0], [1.0], [3.0], [10.0], [6.0]])


def test_information_imbalance_of_five_points_by_hand():
    # Nearest on the line: 0→1, 1→0, 2→1, 3→2, 4→3. Their ranks on the bent line are 1, 1, 1, 2 (from 10, 6 is
    # nearer than 3) and 2 (from 6, 3 is nearer than 10).
    assert information_imbalance(LINE, BENT) == pytest.approx(2 / 25 * 7)
    assert information_imbalance(LINE, BENT, form="count") == pytest.approx(2 / 25 * 2)
    # Back: nearest on the bent line are 0→1, 1→0, 2→1, 3→4 and 4→2, of ranks 1, 1, 1, 2 (from 6, 3 is nearer
    # than 10) and 2 (from 10, 6 is nearer than 3) on the line.
    assert information_imbalance(BENT, LINE) == pytest.approx(2 / 25 * 7)


def test_cka_of_five_points_by_hand():
    # Centred, the line is (-4, -3, -1, 2, 6) and the bent line (-4, -3, -1, 6, 2): both of square 66, product 50.
    assert cka(LINE, BENT) == pytest.approx((50 / 66) ** 2)
    # Without the diagonal, with xᵀ1 = 0 and q the squares: tr(KL) = 50² - q·r, K1 = -q, and so on.
    q, r = np.array([16, 9, 1, 4, 36]), np.array([16, 9, 1, 36, 4])
    hsic = [s - a @ b + 66 * 66 / 12 - 2 / 3 * a @ b for s, a, b in ((50**2, q, r), (66**2, q, q))]
    assert cka(LINE, BENT, unbiased=True) == pytest.approx(hsic[0] / hsic[1])


def test_neighborhood_overlap_of_five_points_by_hand():
    # The two nearest on the line: {1,2} {0,2} {1,0} {2,4} {3,2}; points 2 and 3 are equally far from 0 and 6. On the
    # bent line: {1,2} {0,2} {1,0} {4,2} {2,3}.
    assert neighborhood_overlap(LINE, BENT, k=2) == 1.0
    # The nearest alone: 1 0 1 2 3, and 1 0 1 4 2.
    assert neighborhood_overlap(LINE, BENT, k=1) == pytest.approx(3 / 5)


def test_neighbor_spearman_of_five_points_by_hand():
    # Over all four neighbours: points 0, 1 and 2 have two last neighbours swapped (ρ = 0.8, as point 2's in the
    # order 1 0 3 4 of distances 2 3 3 7 and 2 3 7 3). From 6: 3 10 1 0 at 3 4 5 6, on the bent line at 7 4 9 10, of
    # ranks 2 1 3 4 (0.8). From 10: 6 3 1 0 at 4 7 9 10, on the bent line at 4 3 5 6, of ranks 2 1 3 4 (0.8).
    at_2 = stats.pearsonr([1, 2.5, 2.5, 4], [1, 2.5, 4, 2.5]).statistic
    assert neighbor_spearman(LINE, BENT, k=4) == pytest.approx((4 * 0.8 + at_2) / 5)


def test_reference_of_dadapy():
    """Information Imbalance of DADApy 0.3.4, in its rank form."""
    r = np.random.default_rng(0)
    x = r.standard_normal((2000, 512)).astype("f4")
    y = (x * 0.5 + r.standard_normal((2000, 512))).astype("f4")
    assert information_imbalance(x, y) == pytest.approx(0.639637, abs=5e-6)
    assert information_imbalance(x, y, dtype="float64") == pytest.approx(0.639637, abs=5e-7)


@pytest.fixture(scope="module")
def brute():
    return _brute(*_pair(), **SMALL)


@pytest.mark.parametrize("rows", [300, 100, 64, 299])
@pytest.mark.parametrize("held", [True, False])
def test_blocks_that_do_and_do_not_divide_the_points_equal_brute_force(brute, rows, held):
    settings = representations.Settings(**SMALL, dtype="float64")
    x, y = (representations.as_points(name, z, settings) for name, z in zip("XY", _pair(), strict=True))
    numbers = representations.compare_points(x, y, settings, plan=Plan(rows, rows, held))
    assert numbers == pytest.approx(brute, rel=1e-12)


@pytest.mark.parametrize("held", [True, False])
def test_blocks_of_one_point_equal_brute_force(held):
    pair, sizes = _pair(14), {"overlap_k": 3, "spearman_k": 9}
    settings = representations.Settings(**sizes, dtype="float64")
    x, y = (representations.as_points(name, z, settings) for name, z in zip("XY", pair, strict=True))
    numbers = representations.compare_points(x, y, settings, plan=Plan(1, 1, held))
    assert numbers == pytest.approx(_brute(*pair, **sizes), rel=1e-12)


@pytest.mark.parametrize("measured", [1, 12 * 300 * 8 * 11, 2**30])
def test_rows_that_are_measured_at_a_time_do_not_matter(brute, measured):
    settings = representations.Settings(**SMALL, dtype="float64")
    x, y = (representations.as_points(name, z, settings) for name, z in zip("XY", _pair(), strict=True))
    numbers = representations.compare_points(x, y, settings, plan=Plan(150, 150, True, measured))
    assert numbers == pytest.approx(brute, rel=1e-12)


def test_half_the_precision_changes_little(brute):
    numbers = compare(*_pair(), **SMALL)
    assert numbers == pytest.approx(brute, abs=2e-4) and numbers["cka"] == pytest.approx(brute["cka"], rel=1e-5)


def test_the_form_of_the_paper_differs_by_two_over_n(brute):
    numbers = compare(*_pair(), ["information_imbalance"], form="count", dtype="float64")
    for name, value in numbers.items():
        assert value == pytest.approx(brute[name] - 2 / 300, rel=1e-12)


def test_measures_may_be_any_sequence():
    x, y = _pair()
    assert [*compare(x, y, ("cka",))] == ["cka", "cka_unbiased"]


def test_comparing_again_and_again_is_not_traced_again(monkeypatch):
    """TensorFlow warns where it is, and each tracing takes longer than to compare some hundred points."""
    warned = []
    monkeypatch.setattr(tf.get_logger(), "warning", lambda *message: warned.append(message))
    for points in range(40, 52):
        compare(*_pair(points), **SMALL)
        compare(_pair(points)[0], np.ones((points, 1)) * np.arange(points)[:, None], ["cka"])
    assert not warned


def test_each_measure_alone_is_what_all_together_give():
    x, y = _pair()
    whole = compare(x, y, **SMALL)
    assert [*whole] == [name for names in similarity.MEASURES.values() for name in names]
    for measure, names in similarity.MEASURES.items():
        assert compare(x, y, [measure], **SMALL) == {name: whole[name] for name in names}
    assert information_imbalance(x, y) == whole["information_imbalance_xy"]
    assert information_imbalance(y, x) == whole["information_imbalance_yx"]
    assert (cka(x, y), cka(x, y, unbiased=True)) == (whole["cka"], whole["cka_unbiased"])
    assert neighborhood_overlap(x, y, k=7) == whole["neighborhood_overlap"]
    assert neighbor_spearman(x, y, k=20) == whole["neighbor_spearman_xy"]


@pytest.mark.parametrize("change", ["rotation", "scaling", "permutation", "shift"])
def test_invariances(change):
    x, y = _pair()
    rng = np.random.default_rng(1)
    changed = {
        "rotation": lambda: y @ np.linalg.qr(rng.standard_normal((9, 9)))[0],
        "scaling": lambda: 1e6 * y,
        "permutation": lambda: y[:, rng.permutation(9)],
        "shift": lambda: y + 10 * rng.standard_normal(9),
    }[change]()
    expected = compare(x, y, **SMALL, dtype="float64")
    assert compare(x, changed, **SMALL, dtype="float64") == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e30])
def test_float32_does_not_mind_the_scale(scale):
    x, y = (z.astype("float32") for z in _pair())
    expected = compare(x, y, **SMALL)
    assert compare(x, np.float32(scale) * y, **SMALL) == pytest.approx(expected, abs=2e-4)


def test_distances_of_whole_numbers_are_exact():
    """Of bits many are equally far; their mean is no whole number, and must not make differences of nothing."""
    bits = np.random.default_rng(0).integers(0, 2, (300, 12))
    bits = np.unique(bits, axis=0).astype("uint8")
    other = bits[:, :7] ^ bits[:, 5:]
    distinct = np.unique(np.concatenate([other, bits[:, :3]], axis=1), axis=0, return_index=True)[1]
    x, y = bits[distinct], np.concatenate([other, bits[:, :3]], axis=1)[distinct]
    expected = _brute(x.astype("float64"), y.astype("float64"), **SMALL)
    for dtype in ("float32", "float64"):
        assert compare(x, y, **SMALL, dtype=dtype) == pytest.approx(expected, rel=1e-5), dtype
        turned = compare(x, x[:, ::-1], form="count", **SMALL, dtype=dtype)
        assert turned["information_imbalance_xy"] == 0 and turned["neighborhood_overlap"] == 1, dtype
        assert turned["neighbor_spearman_xy"] == pytest.approx(1, abs=1e-6), dtype


def test_a_representation_is_all_like_itself():
    x, _ = _pair()
    numbers = compare(x, x, form="count")
    assert numbers["information_imbalance_xy"] == numbers["information_imbalance_yx"] == 0
    assert numbers["cka"] == numbers["cka_unbiased"] == 1 and numbers["neighborhood_overlap"] == 1
    assert numbers["neighbor_spearman_xy"] == pytest.approx(1, abs=1e-6)
    assert information_imbalance(x, x) == pytest.approx(2 / 300)


def test_independent_representations_have_nothing_in_common():
    rng = np.random.default_rng(0)
    numbers = compare(*(rng.standard_normal((2000, 50)) for _ in range(2)))
    assert numbers["information_imbalance_xy"] == pytest.approx(1, abs=0.02)
    assert numbers["information_imbalance_yx"] == pytest.approx(1, abs=0.02)
    assert numbers["neighborhood_overlap"] == pytest.approx(30 / 1999, abs=0.002)
    # The biased estimator sees some in any two sets of few points; the other is right on average.
    assert abs(numbers["cka_unbiased"]) < 0.005 < 0.02 < numbers["cka"]
    assert abs(numbers["neighbor_spearman_xy"]) < 0.02


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_twin_is_the_nearest_and_a_point_never_its_own_neighbour(dtype):
    """In one representation all points have a twin, in the other none has."""
    rng = np.random.default_rng(0)
    half, other = rng.standard_normal((40, 500)), rng.standard_normal((80, 500))
    twins = np.concatenate([half, half])
    numbers = compare(twins, twins, overlap_k=1, spearman_k=5, dtype=dtype)
    assert numbers["neighborhood_overlap"] == 1
    # The twin's place in the other one, which SciPy ranks without the point itself.
    far = ((other[:, None] - other[None]) ** 2).sum(-1)
    np.fill_diagonal(far, np.inf)
    ranks = [stats.rankdata(far[i], "min")[(i + 40) % 80] for i in range(80)]
    assert compare(twins, other, overlap_k=1, spearman_k=5, dtype=dtype)["information_imbalance_xy"] == pytest.approx(
        2 / 80**2 * np.sum(ranks)
    )


def test_of_equally_far_points_the_first_is_nearer_and_the_strictly_nearer_count():
    # From 0 the points 1 and 2 are equally far, from all of the others just as well; ranks count strictly nearer ones.
    cross = np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    line = np.array([[0.0], [4.0], [3.0], [2.0], [1.0]])
    # Nearest of 0 in the cross is 1, the first of four: three are strictly nearer on the line. Of the others it is 0,
    # of which 3, 2, 1 and 0 are strictly nearer: at 4 the points at 3 2 1, at 3 those at 4 2 1, at 2 those at 3 1, at 1
    # the point at 0 is as far as that at 2.
    assert information_imbalance(cross, line, form="count") == pytest.approx(2 / 25 * (3 + 3 + 3 + 2 + 0))


def test_float32_keeps_twins_equally_far_from_all_others():
    """Products of equal rows differ in their last digit where a product is blocked differently at its edges."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((101, 997)).astype("float32")
    x[[17, 60, 99, 100]] = x[5]
    points = Points("X", [x], "float32")
    np.testing.assert_array_equal(np.flatnonzero(points.first != np.arange(101)), [17, 60, 99, 100])
    # Whatever the order of the five twins in X, each has all others as its nearest four.
    assert neighborhood_overlap(x, x[:, ::-1], k=4) == 1
    numbers = compare(x, x[:, ::-1], ["information_imbalance"], form="count")
    assert numbers == pytest.approx({"information_imbalance_xy": 0, "information_imbalance_yx": 0}, abs=1e-4)


def test_far_off_points_keep_their_order_in_float32():
    x, y = _pair()
    far_off = (x.astype("float32") + np.float32(4096)).astype("float32")
    expected = compare(far_off.astype("float64"), y, **SMALL, dtype="float64")
    numbers = compare(far_off, y, **SMALL)
    for name, value in expected.items():
        assert numbers[name] == pytest.approx(value, abs=1e-3), name


def test_negative_zero_is_zero():
    x = np.array([[0.0, 1.0], [-0.0, 1.0], [5.0, 5.0], [7.0, 1.0]], "float32")
    np.testing.assert_array_equal(Points("X", [x], "float32").first, [0, 0, 2, 3])


def test_arrays_tensors_lists_images_and_parts_are_the_same_representation():
    x, y = _pair()
    x, y = x.astype("float32"), y.astype("float32")
    expected = compare(x, y, **SMALL)
    assert compare(tf.constant(x), tf.constant(y), **SMALL) == expected
    assert compare(x.tolist(), y.tolist(), **SMALL) == pytest.approx(expected, abs=1e-4)
    assert compare(x.reshape(300, 2, 5, 2), y.reshape(300, 3, 3, 1), **SMALL) == expected
    assert compare((x[:, :8], x[:, 8:].reshape(300, 3, 4)), y, **SMALL) == expected
    assert compare([row.reshape(5, 4) for row in x], list(y), **SMALL) == expected
    pixels = np.random.default_rng(0).integers(0, 256, (300, 4, 4, 3), np.uint8)
    assert compare(pixels, y, **SMALL) == compare(pixels.astype("float32"), y, **SMALL)
    halves = tf.constant(x, tf.bfloat16)
    assert compare(halves, y, **SMALL) == compare(tf.cast(halves, tf.float32), y, **SMALL)
    # Large whole numbers lose their last digits only after their mean is subtracted.
    assert compare(pixels + np.int64(2**40), y, **SMALL) == compare(pixels, y, **SMALL)


def test_twins_are_equally_close_to_others_whatever_their_products_are():
    gram = tf.constant([[1.0, 0.5, 0.5001], [0.5, 1.0, 0.9999], [0.5, 1.0, 1.0]])
    close = measures.closeness(gram, tf.constant([0, 1, 2]), tf.ones(3), first=tf.constant([0, 1, 1])).numpy()
    assert close[0, 1] == close[0, 2] == 0 and close[1, 2] == close[2, 1] == np.finfo("float32").max
    np.testing.assert_array_equal(close.diagonal(), -np.inf)
    without = measures.closeness(gram, tf.constant([0, 1, 2]), tf.ones(3)).numpy()
    assert without[0, 1] != without[0, 2]


def test_many_neighbours_are_counted_as_few():
    x, y = _pair()
    far = [((z[:, None] - z[None]) ** 2).sum(-1) + np.diag(np.full(300, np.inf)) for z in (x, y)]
    near = [np.argsort(each, axis=1)[:, :200] for each in far]
    expected = np.mean([len({*a} & {*b}) / 200 for a, b in zip(*near, strict=True)])
    assert neighborhood_overlap(x, y, k=200, dtype="float64") == pytest.approx(expected, rel=1e-12)
    assert neighborhood_overlap(x, y, k=299) == 1


def test_equally_far_points_have_no_unbiased_cka():
    assert np.isnan(cka(np.eye(50), np.eye(50), unbiased=True)) and cka(np.eye(50), np.eye(50)) == pytest.approx(1)


@pytest.mark.parametrize("held", [True, False])
def test_two_devices_give_the_numbers_of_one(held, two_devices):
    settings = representations.Settings(**SMALL)
    numbers = []
    for given in (None, two_devices):
        x, y = (representations.as_points(name, z, settings, given) for name, z in zip("XY", _pair(), strict=True))
        numbers.append(representations.compare_points(x, y, settings, plan=Plan(70, 70, held), strategy=given))
    assert numbers[0] == numbers[1]


def test_the_strategy_in_scope_is_used(two_devices):
    x, y = _pair()
    with two_devices.scope():
        numbers = compare(x, y, **SMALL)
    assert numbers == compare(x, y, **SMALL)


def test_plans_keep_to_the_budget():
    whole = Plan.within(2**30, 10_000, 4096, 4)
    assert (whole.rows, whole.columns, whole.held) == (1000, 1000, True) and whole.measured < 2**26
    # 50,000 points have Gram matrices of 10 GB each.
    strips = Plan.within(2**30, 50_000, 1024, 4)
    assert not strips.held and 2 * strips.rows * 50_000 * 4 <= 2**29
    # Wide points: fewer are multiplied at a time, and more of them where fewer products are held.
    wide, fewer = (Plan.within(2**30, count, 2**18, 4) for count in (10_000, 2_000))
    assert wide.held and fewer.held and wide.rows < fewer.rows < 1000
    for plan, count in ((wide, 10_000), (fewer, 2_000)):
        taken = count * (count + 2 * plan.rows) + 3 * plan.rows * 2**18
        assert 0.8 * 2**30 < 4 * taken + plan.measured <= 2**30
    assert Plan.within(1, 10, 10, 4) == Plan(1, 10, held=False, measured=0)


BAD = {
    "other points": (np.ones((5, 2)) * np.arange(5)[:, None], {}, r"`X` and `Y` must have the same points.* 4 and 5"),
    "few": (np.eye(2), {}, r"`Y` must have at least three points, in all its parts. Received: \[2\] points"),
    "flat": (np.arange(4.0), {}, r"`Y` must be an array of numbers \(points, features\).* shape \(4,\)"),
    "words": (np.array([["a"], ["b"], ["c"], ["d"]]), {}, "`Y` must be an array of numbers"),
    "nan": (np.array([[1.0], [np.nan], [0.0], [2.0]]), {}, "`Y` must have finite features.*among points 0 to 3"),
    "infinite": (np.array([[1.0], [np.inf], [0.0], [2.0]]), {}, "`Y` must have finite features"),
    "constant": (np.full((4, 3), 0.1), {}, "`Y` must tell points apart. Received: 4 points that are all the same"),
    "huge": (
        np.array([[1e80], [2e80], [0.0], [1.0]]),
        {"dtype": "float32"},
        '`Y` .* float32 can hold.*dtype="float64"',
    ),
    "tiny": (
        np.array([[1e-80], [2e-80], [0.0], [3e-80]]),
        {"dtype": "float32"},
        '`Y` .* float32 can hold.*dtype="float64"',
    ),
    "squares too huge": (np.array([[1e200], [2e200], [0.0], [1.0]]), {}, "`Y` .* float64 can hold.*; scale them.$"),
    "too huge": (np.array([[1e308], [1e308], [0.0], [1.0]]), {}, "`Y` must have finite features, and such"),
    "ragged": ([[1.0], [2.0, 3.0], [4.0], [5.0]], {}, "`Y` must have as many features for each point"),
    "sparse": (sparse.csr_matrix(np.eye(4)), {}, r"`Y` must be dense.*csr.*take its toarray\(\)"),
    "symbolic": (keras.Input((3,)), {}, "`Y` must be the features of some points"),
    "objects": (np.zeros(4, [("a", "f4")])[:, None], {}, "`Y` must be an array of numbers"),
    "k": (None, {"overlap_k": 4}, r"`k` of neighborhood_overlap \(`overlap_k` of `compare`\) must be .* from 1 to 3"),
    "k of rho": (None, {"spearman_k": 1}, r"`k` of neighbor_spearman \(`spearman_k`.* from 2 on. Received: 1"),
    "k of no number": (None, {"overlap_k": [1]}, r"`k` of neighborhood_overlap.* from 1 on. Received: \[1\]"),
    "numbers": (None, {"measures": [["cka"]]}, "`measures` must be a list"),
    "measure": (None, {"measures": ["ckA"]}, r"`measures` must be a list of one or more of information_imbalance, cka"),
    "no measure": (None, {"measures": []}, "`measures` must be a list"),
    "a word": (None, {"measures": "cka"}, "`measures` must be a list.*Received: measures='cka'"),
    "strategy": (None, {"strategy": "mirrored"}, "`strategy` must be a tf.distribute.Strategy or None.*'mirrored'"),
    "form": (None, {"form": "ranks"}, "`form` must be one of rank, count. Received: form='ranks'"),
    "dtype": (None, {"dtype": "float16"}, "`dtype` must be one of float32, float64"),
    "budget": (
        None,
        {"memory_budget": 0},
        "`memory_budget` must be a positive .* memory_budget=0",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_mistakes_are_named(case):
    y, arguments, message = BAD[case]
    x = np.array([[0.0], [1.0], [3.0], [7.0]])
    with pytest.raises(ValueError, match=message):
        compare(x, x if y is None else y, **{"overlap_k": 2, "spearman_k": 2, **arguments})


def test_too_many_neighbours_are_named_by_the_measures_too():
    with pytest.raises(ValueError, match=r"`k` of neighborhood_overlap.*Received: 5"):
        neighborhood_overlap(LINE, BENT, k=5)
    with pytest.raises(ValueError, match="`k` of neighbor_spearman"):
        neighbor_spearman(LINE, BENT)


def test_what_double_precision_can_hold_it_compares():
    x = np.array([[1e80], [2e80], [0.0], [1.0]])
    assert cka(x, x, dtype="float64") == pytest.approx(1)


def test_three_points_are_enough_but_for_the_unbiased_estimator():
    numbers = compare(LINE[:3], BENT[:3], overlap_k=1, spearman_k=2)
    assert numbers["cka"] == pytest.approx(1) and np.isnan(numbers["cka_unbiased"])


def test_points_without_an_order_are_left_out_of_the_rank_correlation():
    # A square's two nearest corners are equally far from each; only the fifth point's neighbours have an order.
    square = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [9.0, 8.0]])
    assert neighbor_spearman(square, square, k=2) == pytest.approx(1)
    assert np.isnan(neighbor_spearman(square[:4], square[:4], k=2))


def test_gram_strips_are_the_matrix():
    x, _ = _pair(50)
    centred = x - x.mean(axis=0)
    points = Points("X", [x], "float64")
    for plan in (Plan(7, 7, True), Plan(50, 50, True), Plan(16, 7, False), Plan(3, 50, False)):
        strips = np.concatenate([strip.copy() for strip in points.strips(plan)])
        # Scaled by a power of two that brings their mean square near 1.
        scale = np.exp2(np.rint(np.log2(strips.trace() / np.trace(centred @ centred.T))))
        np.testing.assert_allclose(strips, scale * centred @ centred.T, atol=1e-12)
        np.testing.assert_allclose(points.squares, strips.diagonal(), rtol=1e-12)
        assert 0.25 < strips.diagonal().mean() < 4


@pytest.fixture(scope="module")
def photographs():
    """The first test images of CIFAR-10, without decoding all others, where it is prepared."""
    import tensorflow_datasets as tfds

    builder = tfds.builder("cifar10", try_gcs=False)
    if not builder.is_prepared():
        pytest.skip("CIFAR-10 is not prepared; TFDS_DATA_DIR names the folder where it is.")
    return builder.as_dataset(split="test[:400]", batch_size=-1)["image"].numpy()


def test_real_images_in_float32_are_as_in_float64(photographs):
    images = photographs
    grey = images.mean(axis=-1)
    expected = compare(images, grey, dtype="float64")
    numbers = compare(images, grey)
    for name, value in expected.items():
        assert numbers[name] == pytest.approx(value, abs=1e-3), name
    assert expected["cka"] > 0.9 and expected["information_imbalance_xy"] < 0.05
