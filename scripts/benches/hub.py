"""Backbones of KerasHub, small and without weights."""

from collections.abc import Callable

import keras


def hub_models() -> dict[str, Callable[[], keras.Model]]:
    """What makes each backbone, by its name.

    Returns:
        A dict; empty where KerasHub is not installed.
    """
    try:
        from keras_hub import models
    except ImportError:
        return {}
    shape = (64, 64, 3)
    return {
        "ViTBackbone": lambda: models.ViTBackbone(
            image_shape=shape, patch_size=16, num_layers=3, num_heads=2, hidden_dim=16, mlp_dim=32
        ),
        "ResNetBackbone": lambda: models.ResNetBackbone(
            input_conv_filters=[64],
            input_conv_kernel_sizes=[7],
            stackwise_num_filters=[64, 64],
            stackwise_num_blocks=[1, 1],
            stackwise_num_strides=[1, 2],
            block_type="basic_block",
            image_shape=shape,
        ),
        "DenseNetBackbone": lambda: models.DenseNetBackbone(
            stackwise_num_repeats=[2, 2, 2], image_shape=shape, growth_rate=4
        ),
        "VGGBackbone": lambda: models.VGGBackbone(
            stackwise_num_repeats=[1, 1, 2], stackwise_num_filters=[4, 8, 16], image_shape=shape
        ),
        "MiTBackbone": lambda: models.MiTBackbone(
            layerwise_depths=[1, 1],
            image_shape=shape,
            hidden_dims=[8, 16],
            num_layers=2,
            layerwise_num_heads=[1, 2],
            layerwise_sr_ratios=[4, 2],
            max_drop_path_rate=0.1,
            layerwise_patch_sizes=[7, 3],
            layerwise_strides=[4, 2],
        ),
        "XceptionBackbone": lambda: models.XceptionBackbone(
            stackwise_conv_filters=[[4, 4], [8, 8], [8, 8]], stackwise_pooling=[True, True, False], image_shape=shape
        ),
        "DeiTBackbone": lambda: models.DeiTBackbone(
            image_shape=shape, patch_size=16, num_layers=2, num_heads=2, hidden_dim=16, intermediate_dim=32
        ),
        "BertBackbone": lambda: models.BertBackbone(
            vocabulary_size=50, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16
        ),
    }
