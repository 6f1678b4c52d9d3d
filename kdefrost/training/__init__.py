"""Training: how a network is trained, and the one place that does.

recipe       how a source or a tail is trained, and the presets (`Recipe`, `PRESETS`)
forms        whether losses and metrics take whole numbers or one-hot rows
labels       what kind of task labels are of, in one form for each
metrics      Keras's metrics by name, and those computed from all outputs at once
tasks        what is learnt: output, loss, metrics, and the objective that chooses (`Task`, `Objective`)
coupling     springs between the first layers of a network and a source's (`ElasticCoupling`)
optimizers   optimisers that know of them (`ElasticSGD`, `ElasticAdam`)
scaling      scaling of the loss in float16 (`ScaledLoss`)
batches      examples handed to TensorFlow batch by batch
fitting      compiling and fitting, for sources, tails and autoencoders (`fit`)
"""

from kdefrost.training.coupling import ElasticCoupling
from kdefrost.training.fitting import STEPS_PER_EXECUTION, StepSchedule, compile_model, fit, training_rate
from kdefrost.training.optimizers import ElasticAdam, ElasticSGD
from kdefrost.training.recipe import PRESETS, AutoencoderRecipe, Preset, Recipe
from kdefrost.training.tasks import Objective, Task

__all__ = [
    "PRESETS",
    "STEPS_PER_EXECUTION",
    "AutoencoderRecipe",
    "ElasticAdam",
    "ElasticCoupling",
    "ElasticSGD",
    "Objective",
    "Preset",
    "Recipe",
    "StepSchedule",
    "Task",
    "compile_model",
    "fit",
    "training_rate",
]
