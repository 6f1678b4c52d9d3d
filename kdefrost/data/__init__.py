"""Data: images and labels, wherever they come from.

    images        data sets by their names (`load_data`)
    examples      labelled images, as kdefrost has them (`ImageData`, `Examples`)
    folders       which images a folder has, of which classes, in which parts
    parts         which sub-folders are parts of a folder, by their names
    tree          files and sub-folders below a folder
    colors        color modes, and images of one in another
    image_files   images in files, decoded as they are asked for
    holding_out   a part of the training examples, to choose on (`hold_out`)
    channels      mean and deviation of the channels, and the layer that standardises by them
    sets          labelled sets as a user gives them: arrays, or data sets of TensorFlow
    given         what is no such set, refused before it is read
    finite        NaN and infinity among examples
    copies        exact copies among examples
    storage       arrays that need not be in memory

Nothing here knows of models, cuts or trials.
"""

from kdefrost.data.channels import channel_statistics, standardization
from kdefrost.data.examples import Examples, ImageData
from kdefrost.data.holding_out import hold_out
from kdefrost.data.images import load_data

__all__ = ["Examples", "ImageData", "channel_statistics", "hold_out", "load_data", "standardization"]
