"""Images as they stand in a report: small, and in the file itself."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

# Pixels of the longer side. Of more, a report would be as large as the images.
_LONGEST = 160
# Up to here an image is kept pixel by pixel; a photograph takes a tenth as a JPEG.
_SMALL = 64


def pictures(images: np.ndarray) -> list[str] | None:
    """Images as `data:` addresses.

    Args:
        images: Array `(images, height, width, channels)` of 1 or 3 channels: whole numbers from 0 to 255, or others,
            of which the lowest of all becomes black and the highest white.

    Returns:
        The addresses; `None` where the array is of something else than images.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not len(images):
        return None
    if images.dtype != np.uint8:
        low, high = float(images.min()), float(images.max())
        scaled = (images.astype(np.float64) - low) / ((high - low) or 1.0)
        images = np.rint(255 * scaled).astype(np.uint8)
    return [_address(image) for image in images]


def _address(image: np.ndarray) -> str:
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    picture.thumbnail((_LONGEST, _LONGEST))
    kind = "png" if max(picture.size) <= _SMALL else "jpeg"
    file = io.BytesIO()
    picture.save(file, format=kind)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def first_of_each(groups: Sequence[int], count: int) -> list[int]:
    """Places of so many things, one of each group in turn.

    Args:
        groups: The group of each thing.
        count: How many at most.

    Returns:
        The places.
    """
    seen, turns = {}, []
    for place, group in enumerate(groups):
        seen[group] = seen.get(group, 0) + 1
        turns.append((seen[group], group, place))
    return [place for *_, place in sorted(turns)[:count]]
