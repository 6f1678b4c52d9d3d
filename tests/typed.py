"""A user's script, of which a checker of types must know every type; it is never run."""

import datetime
from pathlib import Path
from typing import assert_type

import keras
import numpy as np
from matplotlib.axes import Axes

import kdefrost
from kdefrost.compliance import ComplianceProfile
from kdefrost.tuning import Space, TailHyperModel, Tuned, Tuning

assert_type(kdefrost.__version__, str)
source = kdefrost.load_source("my_model.keras")

# Data.
data = kdefrost.load_data("photos", image_size=(96, 96), test_share=0)
assert_type(data, kdefrost.ImageData)
assert_type(data.test, kdefrost.Examples | None)
assert_type(data.classes, tuple[str, ...])
mean, deviation = kdefrost.channel_statistics(data.train.images)
clone = kdefrost.make_clone("gm", data, per_class=100)
assert_type(clone, kdefrost.ImageData)

# Cuts.
cuts = kdefrost.cut_points(source, "blocks")
assert_type(cuts[3], kdefrost.Cut)
assert_type([cut.name for cut in cuts], list[str])
extractor, tail = kdefrost.split(source, cuts[3], output=None, seed=0)
whole = kdefrost.join(extractor, tail)

# Profiles.
recipe = kdefrost.Recipe(epochs=60, learning_rate=0.1)
defroster = kdefrost.Defroster(source, recipe=recipe, cuts=10, directory=Path("runs/photos"))
x, y = np.zeros((8, 32, 32, 3)), [0, 1] * 4
profile = defroster.profile((x, y), groups=["a", "b"] * 4, folds=3, patience=1)
assert_type(profile, kdefrost.DefrostProfile)
assert_type(defroster.profile(data.train, test=data.test, per_class=[16, 64], seeds=3), kdefrost.DefrostProfile)
assert_type(defroster.search(data.train, budget=datetime.timedelta(hours=1)), kdefrost.DefrostProfile)
assert_type(defroster.plan(data.train), kdefrost.Plan)
assert_type(profile.best_cut(), kdefrost.Cut)
assert_type(profile.near_best_cuts(per_class=16), list[kdefrost.Cut])
assert_type(profile.scores(per_class=16), np.ndarray)
assert_type(profile.summary(), str)
assert_type(profile.sentence(16), str)
assert_type(profile.plot(), Axes)
assert_type(profile.tuning, Tuning | None)
profile.save("profile.json")
assert_type(kdefrost.DefrostProfile.load("profile.json"), kdefrost.DefrostProfile)
comparison = kdefrost.Comparison({"gm": profile})
assert_type(comparison.summary(), str)
assert_type(comparison.plot(), np.ndarray)

# Models handed over.
model = defroster.best_model(profile, per_class=16)
assert_type(kdefrost.export(model, "saved_models/mine", profile, class_names=data.classes), Path)

# Tuning.
space = Space(learning_rate=(0.001, 0.3))
tuned = kdefrost.Defroster(source, recipe=Tuned(space=space, recipes=8))
assert_type(tuned.hypermodel((x, y), space=space), TailHyperModel)

# Compliance.
compliance = defroster.compliance((x, y), test=(x, y), layers=10, per_class=16)
assert_type(compliance, ComplianceProfile)
assert_type(compliance.summary(), str)
assert_type(compliance.plot(), tuple[Axes, Axes])
assert_type(compliance.predicted_cut(), kdefrost.Cut | None)
coupling = kdefrost.ElasticCoupling(model, source, layers=10, strength=0.01)
model.compile(kdefrost.ElasticSGD(coupling, 0.1, momentum=0.9), loss=keras.losses.SparseCategoricalCrossentropy())

# Scores without training, and similarity.
transferability = defroster.transferability((x, y), per_class=4)
assert_type(transferability, kdefrost.Transferability)
assert_type(transferability.scores("ridge"), np.ndarray)
assert_type(transferability.plot(), np.ndarray)
ranking = kdefrost.rank_sources({"one": source, "other": defroster}, (x, y), per_class=4, seeds=3)
assert_type(ranking, kdefrost.SourceRanking)
assert_type(ranking.summary(), str)
assert_type(ranking.ranking("logme")[0].source, str)
assert_type(kdefrost.similarity.compare(x, x, ["cka"]), dict[str, float])
assert_type(kdefrost.similarity.cka(x, (x, x)), float)
similarity = kdefrost.similarity.layerwise(source, model, data.train.images)
assert_type(similarity, kdefrost.LayerwiseSimilarity)
assert_type(similarity.mean("cka"), np.ndarray)
similarity.plot()
