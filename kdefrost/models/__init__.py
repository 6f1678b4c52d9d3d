"""Models: networks to transfer from.

networks        Wide-ResNets, and networks by name (`wide_resnet`, `build_model`)
normalization   batch normalisation by TensorFlow's fused kernel
imagenet        networks trained on ImageNet, with their preprocessing (`imagenet_source`)
resnets         ResNet-18 with torchvision's weights (`resnet18`)
preprocessing   what these networks do to raw images
archive         the archive that a `.keras` file is, looked through before Keras builds anything of it
loading         source models from files and by name (`load_source`)
"""

from kdefrost.models.imagenet import imagenet_source
from kdefrost.models.loading import load_source
from kdefrost.models.networks import MODELS, build_model, wide_resnet
from kdefrost.models.normalization import BatchNormalization
from kdefrost.models.resnets import resnet18

__all__ = ["MODELS", "BatchNormalization", "build_model", "imagenet_source", "load_source", "resnet18", "wide_resnet"]
