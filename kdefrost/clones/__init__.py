"""Clones: synthetic stand-ins for a data set, which know only a part of what its images show.

gaussian       samples of a Gaussian per class (`isogm`, `gm`)
autoencoders   networks whose bottleneck lets so much through (`ae<k>`)
making         a clone by its name, made once and kept (`make_clone`)
moments        how far apart two sets are: errors of their moments, the Fréchet distance
fidelity       how close a clone comes to its original
figures        a look at each
"""

from kdefrost.clones.autoencoders import autoencoder, train_autoencoder
from kdefrost.clones.gaussian import CLONES
from kdefrost.clones.making import bottleneck, check_clone, clone_settings, is_clone, make_clone, resolved

__all__ = [
    "CLONES",
    "autoencoder",
    "bottleneck",
    "check_clone",
    "clone_settings",
    "is_clone",
    "make_clone",
    "resolved",
    "train_autoencoder",
]
