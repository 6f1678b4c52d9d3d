"""Figures from nothing, with a tiny network: what is run, what is shared and not run again, and what is missing."""

import dataclasses
import shutil

import keras
import numpy as np
import pytest
from conftest import load_script, tiny

import kdefrost
from kdefrost.compliance import ComplianceProfile
from kdefrost.paper import SCALES, Answers
from kdefrost.paper.disk import check_disk
from kdefrost.paper.experiments import FULL, Figure, Pairs, Springs, Transfer
from kdefrost.paper.figures import draw
from kdefrost.paper.medical import MedicalSource

SMALL = dataclasses.replace(SCALES["smoke"], model="tiny_1_1", cuts=(0, 1, 2), strengths=(0.0, 0.1, 1.0))
PROFILES = Figure(4, "profiles", (Transfer("isogm", "digits", (4,), 2), Transfer("gm", "digits", (4,), 2)))
REST = Figure(
    6,
    "the rest",
    (Transfer("gm", "digits", (FULL,), 1),),
    (Pairs("gm", "digits", 1),),
    Springs("gm", "digits", layers=1, repeats=1),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("paper")


@pytest.fixture(scope="module")
def answers(folder):
    def answers(scale=SMALL):
        return Answers(scale, folder / "runs", folder / "saved", verbose=False)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(kdefrost.MODELS, "tiny", tiny)
        yield answers


@pytest.fixture(scope="module")
def results(answers):
    return list(answers().results([PROFILES, REST]))


def test_run_folders_are_named_for_what_they_hold_and_scratch_is_run_once(results, folder):
    names = {path.name for path in (folder / "runs").iterdir() if path.is_dir()}
    assert names == {
        "scratch-digits-tiny_1_1-4epochs",
        "isogm-digits-tiny_1_1-4epochs",
        "gm-digits-tiny_1_1-4epochs",
        "scratch-digits-tiny_1_1-2epochs",
        "gm-digits-tiny_1_1-2epochs",
        "pairs-digits-tiny_1_1",
    }
    isogm, gm = results[0].profiles
    assert [cut.index for cut in gm.cuts] == [0, 1, 2]
    assert (isogm.scores(4)[:, 0] == gm.scores(4)[:, 0]).all() and np.isfinite(gm.scores(4)).all()
    assert gm.configuration["epochs"] == {"4": 4} and gm.configuration["source_name"] == "gm"


def test_scratch_is_what_a_profile_from_the_source_has_at_cut_0(results, folder):
    """The other route: a defroster of the source by itself, with cut 0 among its cuts."""
    (path,) = (folder / "saved" / "sources").glob("gm-digits-tiny_1_1-*/model.keras")
    digits = kdefrost.load_data("digits")
    train, validation = kdefrost.hold_out(digits.train, 0.1)
    source = kdefrost.standardized(kdefrost.load_source(path), digits.train.images)
    defroster = kdefrost.Defroster(source, SMALL.tails, [0, 2])
    sets = {"train": train, "validation": validation, "test": digits.test}
    own = defroster.profile(**sets, per_class=4, seeds=2, classes=10, verbose=False)
    assert np.array_equal(own.scores(4), results[0].profiles[1].scores(4)[:, [0, 2]])


def test_what_was_run_takes_no_more_room(results, folder, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 0))
    check_disk([PROFILES, REST], SMALL, folder / "saved", folder / "runs")
    with pytest.raises(ValueError, match="Sources and clones would take"):
        check_disk([PROFILES, REST], SMALL, folder / "saved", folder / "elsewhere")
    with pytest.raises(ValueError, match="Sources and clones would take"):
        check_disk([PROFILES, REST], SMALL, folder / "elsewhere", folder / "runs")


def test_what_was_run_is_not_run_again(results, answers, monkeypatch):
    def fit(*arguments, **named):
        raise AssertionError("something is trained")

    monkeypatch.setattr(keras.Model, "fit", fit)
    again = list(answers().results([REST, PROFILES]))
    assert [each.trials for each in again[1].profiles] == [each.trials for each in results[0].profiles]
    assert again[0].similarities["gm"].comparisons == results[1].similarities["gm"].comparisons
    assert again[0].compliance.trials == results[1].compliance.trials
    # Of another figure with fewer seeds the first ones are taken.
    fewer = dataclasses.replace(PROFILES, transfers=(Transfer("gm", "digits", (4,), 1),))
    (part,) = next(answers().results([fewer])).profiles
    assert np.array_equal(part.scores(4), results[0].profiles[1].scores(4)[:1])


def test_all_images_are_trained_on_with_their_own_epochs(results):
    (profile,) = results[1].profiles
    assert profile.per_class == [FULL] and profile.configuration["recipe"]["epochs"] == SMALL.full.epochs
    compliance = results[1].compliance
    assert isinstance(compliance, ComplianceProfile)
    assert (compliance.per_class, compliance.counts, compliance.seeds) == (16, [1], [0])


def test_results_are_written_and_read_as_any_other(results, tmp_path):
    written = results[1].save(tmp_path / "out")
    names = ["a-gm-digits", "similarity-gm", "compliance"]
    assert [path.name for path in written] == [f"{name}.{ending}" for name in names for ending in ("json", "csv")]
    assert kdefrost.DefrostProfile.load(written[0]) == results[1].profiles[0]
    assert set((tmp_path / "out").iterdir()) == set(written)


def test_samples_are_a_presets_own_and_whole_or_not_there(answers, results, folder, monkeypatch):
    own, other = answers(), answers(dataclasses.replace(SMALL, name="other"))
    kept = own.samples("gm")
    monkeypatch.setattr(np, "rint", lambda images: 0 * images)
    assert np.array_equal(own.samples("gm"), kept) and not other.samples("gm").any()

    def save(file, images):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "save", save)
    with pytest.raises(KeyboardInterrupt):
        answers(dataclasses.replace(SMALL, name="third")).samples("gm")
    assert not list((folder / "runs").glob("*third*"))


def test_the_clones_panels_stand_side_by_side_with_an_image_of_each(results):
    panels = draw(results[0]).axes
    lines = [panel.lines[0] for panel in panels]
    assert [list(line.get_xdata()) for line in lines] == [
        [cut.frozen_layers for cut in results[0].profiles[0].cuts]
    ] * 2
    assert np.allclose(lines[1].get_ydata(), 100 * results[0].profiles[1].mean(4))
    assert [panel.get_title() for panel in panels] == ["IsoGM → digits, 4 per class", "GM → digits, 4 per class"]
    assert all(len(panel.child_axes[0].images) == 1 for panel in panels)


def test_similarity_stands_above_the_profile_on_one_axis_of_depth(results):
    top, bottom = draw(results[1]).axes
    assert top.get_shared_x_axes().joined(top, bottom)
    similarity = results[1].similarities["gm"]
    assert list(top.lines[0].get_ydata()) == list(similarity.mean("information_imbalance_xy"))
    assert list(top.lines[0].get_xdata()) == [cut.frozen_layers for cut in similarity.layers_a]


def test_springs_and_other_measures_are_drawn(results):
    springs = draw(dataclasses.replace(results[1], figure=dataclasses.replace(REST, number=5)))
    assert springs.axes[0].get_title() == "digits, held near GM"
    measures = draw(dataclasses.replace(results[1], figure=dataclasses.replace(REST, number=9))).axes
    assert [panel.get_ylabel() for panel in measures] == [
        "linear CKA",
        "Spearman, 100 neighbours",
        "overlap, 30 neighbours",
    ]


def test_what_is_missing_of_imagenet_to_idc_is_said_and_the_rest_is_drawn(results):
    medical = MedicalSource(SMALL.medical)
    assert "left out: it needs the breast cancer patches" in medical.missing and "--idc" in medical.missing
    figure = Figure(3, "sizes", (PROFILES.transfers[1], Transfer("imagenet", "idc", (4,), 1)))
    top, bottom = draw(dataclasses.replace(results[0], figure=figure, profiles=(results[0].profiles[1], None))).axes
    assert len(top.lines) and not bottom.lines and "not run" in bottom.texts[0].get_text()


def test_weights_and_patches_that_were_named_must_be_there(tmp_path):
    resnet = dataclasses.replace(SCALES["paper"].medical, image_size=32)
    with pytest.raises(FileNotFoundError, match=r"no folder .*model.safetensors of timm/resnet18.tv_in1k.*--weights"):
        MedicalSource(resnet, weights=tmp_path / "nowhere").check()
    with pytest.raises(FileNotFoundError, match=r"the weights without top of MobileNetV2:0.35"):
        MedicalSource(SMALL.medical, weights=tmp_path / "nowhere.h5").check()
    # The folder is looked at first.
    with pytest.raises(ValueError, match=r"^`idc` \(--idc\) must be the folder of the breast cancer patches"):
        MedicalSource(SMALL.medical, tmp_path, tmp_path / "nowhere.h5").check()
    with pytest.raises(FileNotFoundError, match=r"nowhere; `idc` \(--idc\)"):
        MedicalSource(SMALL.medical, tmp_path / "nowhere").missing  # noqa: B018


def test_the_command_writes_figures_numbers_and_claims(results, tmp_path, capsys):
    written = load_script("reproduce.py").__globals__["report"]([results[0]], tmp_path)
    names = ["a-isogm-digits.json", "a-isogm-digits.csv", "b-gm-digits.json", "b-gm-digits.csv", "claims.md"]
    assert written == [tmp_path / f"figure-4.{ending}" for ending in ("png", "svg")] + [
        tmp_path / "figure-4" / name for name in names
    ]
    assert all(path.exists() for path in written)
    text = (tmp_path / "figure-4" / "claims.md").read_text()
    assert (
        text.startswith("# Figure 4: profiles\n\n| the paper says")
        and text.split("\n\n")[1].strip() in capsys.readouterr().out
    )
