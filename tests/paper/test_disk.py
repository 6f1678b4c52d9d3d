"""What does not fit the disk is refused, to the byte: of what is there already nothing is counted but what is meant."""

import json
import shutil

import pytest

from kdefrost.paper import SCALES
from kdefrost.paper.disk import check_disk
from kdefrost.paper.experiments import Figure, Transfer
from kdefrost.paper.planning import cost_of
from kdefrost.training.recipe import Recipe

SCALE = SCALES["smoke"]
FIGURES = [Figure(0, "", (Transfer("ae2", "digits", (4, 16), 2),))]
# 1,797 images of 8×8 numbers in float32.
CLONE = 1797 * 64 * 4


@pytest.fixture(scope="module")
def cost():
    return cost_of(FIGURES, SCALE)


@pytest.fixture
def fits(tmp_path, monkeypatch):
    """Whether the figures fit where so many bytes are free, beside what is kept in `kept` and `out`."""

    def fits(free):
        monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**12, 0, free))
        try:
            check_disk(FIGURES, SCALE, tmp_path / "kept", tmp_path / "out")
        except ValueError:
            return False
        return True

    return fits


def _keep(folder, **manifest):
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_all_that_is_kept_is_counted_wherever_it_goes(fits, cost, tmp_path):
    assert cost.disk == cost.kept + cost.tails and cost.tails > 0
    assert fits(cost.disk) and not fits(cost.disk - 1)
    words = (
        r"Sources and clones would take .* GB more in .*kept, best tails .* GB in .*out, and .* GB are free: make room"
    )
    with pytest.raises(ValueError, match=words):
        check_disk(FIGURES, SCALE, tmp_path / "kept", tmp_path / "out")


def test_what_is_none_of_it_makes_no_room(fits, cost, tmp_path):
    """Exports, and sources, clones and tails of others, lie in the same folders."""
    export = tmp_path / "kept" / "mine"
    export.mkdir(parents=True)
    (export / "model.keras").write_bytes(bytes(cost.disk))
    _keep(tmp_path / "kept" / "clones" / "gm-digits-0123abcd", clone="gm", seed=0, autoencoder=None)
    _keep(tmp_path / "kept" / "clones" / "ae2-digits-0123abcd", clone="ae2", seed=0, autoencoder={"recipe": {}})
    (tmp_path / "kept" / "clones" / "ae2-digits-4567abcd").mkdir()
    (tmp_path / "out" / "gm-digits").mkdir(parents=True)
    (tmp_path / "out" / "gm-digits" / "tail-4.npz").write_bytes(bytes(cost.tails))
    assert fits(cost.disk) and not fits(cost.disk - 1)


def test_what_is_there_already_is_not_counted(fits, cost, tmp_path):
    recipe = {**vars(SCALE.autoencoder)}
    told = {
        "clone": "ae2",
        "seed": 0,
        "autoencoder": {"recipe": recipe, "seed": 0, "images": "x"},
        "original": "digits",
    }
    _keep(tmp_path / "kept" / "clones" / "ae2-digits-0123abcd", **told)
    left = cost.disk - CLONE
    assert fits(left) and not fits(left - 1)
    source = {"source": "ae2", "model": SCALE.model, "seed": 0, "clone": told}
    folder = tmp_path / "kept" / "sources"
    _keep(folder / f"ae2-digits-{SCALE.model}-0123abcd", **source, recipe=vars(Recipe(epochs=3)))
    assert not fits(left - 1)
    _keep(folder / f"ae2-digits-{SCALE.model}-4567abcd", **source, recipe=vars(SCALE.source))
    small = left - cost_of([Figure(0, "", (Transfer("gm", "digits", (4,), 1),))], SCALE).kept + CLONE
    assert fits(small) and not fits(small - 1)
    one_size = cost_of([Figure(0, "", (Transfer("ae2", "digits", (16,), 2),))], SCALE).tails
    for source in ("scratch", "ae2"):
        run = tmp_path / "out" / f"{source}-digits-{SCALE.model}-{SCALE.tails.epochs}epochs"
        run.mkdir(parents=True)
        (run / "tail-4.npz").write_bytes(b"")
    assert fits(small - one_size) and not fits(small - one_size - 1)
