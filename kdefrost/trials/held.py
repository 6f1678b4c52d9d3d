"""What trials are scored on, as it is at cuts, held from one run of an engine to the next."""

import numpy as np

from kdefrost.cutting.cut import Cut
from kdefrost.cutting.features import RECOMPUTE, FeatureFlow


class HeldFeatures:
    """Features of the sets that trials are scored on, which are the same in all runs, at the cuts that were passed.

    Those of early cuts make room for those of later ones, which are smaller and farther from the images.

    Args:
        budget: Bytes that they may take in memory.
    """

    def __init__(self, budget: int):
        self._budget, self._at = budget, {}

    def hold(self, flow: FeatureFlow):
        """Holds the features of a flow at its cut, as far as they are in memory and there is room."""
        features = {name: parts for name, parts in flow.features.items() if name != "train"}
        # What the images themselves are is held already.
        if not features or not flow.cut.frozen_layers or flow.cut.index in self._at:
            return
        arrays = [part for parts in features.values() for part in parts]
        if all(isinstance(part, np.ndarray) and not isinstance(part, np.memmap) for part in arrays):
            self._at[flow.cut.index] = flow.cut, features, sum(part.nbytes for part in arrays)
        while sum(size for *_, size in self._at.values()) > self._budget:
            del self._at[min(self._at)]

    def lead(self, flow: FeatureFlow, cut: Cut, places: dict[int, str]) -> Cut | None:
        """Takes a flow that is at the images on to the last cut, up to another, whose features are held.

        Args:
            flow: The flow; only what is trained on is passed through the model.
            cut: The cut up to which.
            places: By cut index, where features are to be; held ones are of no use where they are computed again.

        Returns:
            The cut to which it came, `None` where none is held.
        """
        usable = [index for index in self._at if index <= cut.index and places.get(index, RECOMPUTE) != RECOMPUTE]
        if not usable:
            return None
        at, features, _ = self._at[max(usable)]
        flow.features = {name: parts for name, parts in flow.features.items() if name not in features}
        flow.advance(at, places[at.index])
        flow.features |= features
        return at
