"""Where features are held: the cheaper place, on costs worked out by hand."""

import pytest

from kdefrost.cutting.features import DISK, MEMORY, RECOMPUTE
from kdefrost.trials.placement import Costs, measured_costs, place

# Of a Wide-ResNet-10-1 on 8×8 images: 64 numbers, then 1024, 1024, 512 and 64.
SIZES = [4 * 64 * 1, 4 * 1024, 4 * 1024, 4 * 512, 4 * 64]


@pytest.fixture
def cuts(residual_cuts):
    assert [cut.feature_bytes for cut in residual_cuts] == SIZES
    return list(residual_cuts)


def _place(cuts, uses, budget, costs, disk_space=10**9, dtype="float32"):
    asked = []

    def given(held, cut, on_disk):
        asked.append((held.index, cut.index, on_disk))
        return costs

    return list(place(cuts, 100, uses, budget, disk_space, dtype, given).values()), asked


def test_what_fits_the_budget_is_in_memory_and_nothing_is_measured(cuts):
    places, asked = _place(cuts, {1: 500}, 100 * SIZES[1], None)
    assert places == [MEMORY] * 5 and asked == []


def test_half_precision_doubles_what_fits(cuts):
    assert _place(cuts, {1: 500, 2: 500}, 50 * SIZES[1], None, dtype="float16")[0] == [MEMORY] * 5


def test_the_cheaper_place_is_taken(cuts):
    # On disk: 100 (1 + w) + 500 · 0.5; computed again: 500 · 1 + 100 · 1. Equal at w = 2.5.
    budget = 100 * SIZES[3]
    for write, expected in ((2.4, DISK), (2.6, RECOMPUTE)):
        costs = Costs(compute=1.0, write=write, read=0.5, read_held=0.0)
        places, asked = _place(cuts, {1: 500, 2: 500, 4: 1}, budget, costs)
        assert places == [MEMORY, expected, expected, MEMORY, MEMORY]
        assert asked == [(0, 1, False), (1, 2, True) if expected == DISK else (0, 2, False)]


def test_features_that_are_used_once_are_not_written(cuts):
    costs = Costs(compute=1.0, write=0.1, read=0.95, read_held=0.0)
    # On disk: 100 (1 + 0.1) + 0.95 u; computed again: u + 100, on the way to cut 4.
    assert _place(cuts, {1: 100, 4: 1}, 0, costs)[0][1] == RECOMPUTE
    assert _place(cuts, {1: 300, 4: 1}, 0, costs)[0][1] == DISK


def test_a_cut_without_trials_holds_nothing_beyond_the_budget(cuts):
    assert _place(cuts, {2: 500}, 0, Costs(1.0, 0.0, 0.0, 0.0))[0] == [MEMORY, RECOMPUTE, DISK, RECOMPUTE, RECOMPUTE]


def test_the_last_cut_with_trials_leads_to_no_other(cuts):
    # On disk: 100 (1 + 0.5) + 110 · 0; computed again: 110 · 1, and nothing on the way to a later cut.
    costs = Costs(compute=1.0, write=0.5, read=0.0, read_held=0.0)
    assert _place(cuts, {4: 110}, 0, costs)[0][4] == RECOMPUTE
    assert _place(cuts, {3: 110}, 0, costs)[0][3] == RECOMPUTE
    assert _place(cuts, {3: 110, 4: 1}, 0, costs)[0][3] == DISK


def test_what_the_disk_has_no_room_for_is_computed_again(cuts):
    cheap = Costs(compute=1.0, write=0.0, read=0.0, read_held=0.0)
    uses = dict.fromkeys(range(1, 5), 500)
    # Beside the features of a cut lie those of the one before, until they are all made.
    assert _place(cuts, uses, 0, cheap, 100 * SIZES[1])[0][1:] == [DISK, RECOMPUTE, RECOMPUTE, RECOMPUTE]
    assert _place(cuts, uses, 0, cheap, 200 * SIZES[1])[0][1:] == [DISK] * 4


def test_costs_are_measured(residual, cuts, tmp_path, monkeypatch):
    # A MiB goes to disk and back, not 64.
    monkeypatch.setattr("kdefrost.data.storage._BLOCK_BYTES", 2**20)
    costs = measured_costs(residual, "float32", tmp_path)
    assert all(0 < cost < 1 for cost in costs(cuts[3], cuts[4], True))
    assert costs(cuts[3], cuts[4], False).read_held == 0
    assert not list(tmp_path.iterdir())
