"""What is noticed of the examples of a trial that says how far its scores are to be believed."""

import numpy as np

from kdefrost.trials.rows import Drawn


def noticed_of(
    rows: Drawn, sample: np.ndarray | None, digests: dict[str, np.ndarray], hidden: np.ndarray | None
) -> dict:
    """What an `Answer` notes of its examples: exact copies, and transparency that hid colours.

    Args:
        rows: Rows of the training examples that it is trained on, and of the fold that is held out.
        sample: Rows of the test examples that it is scored on; `None` for all.
        digests: By set, a hash of each example.
        hidden: Mask of the training examples whose transparency hid colours; `None` where images are in no files.

    Returns:
        A dict of what there is something of; `Answer.noticed` says by what names.
    """
    scored = {name: each for name, each in digests.items() if name != "train"}
    if sample is not None:
        scored["test"] = scored["test"][sample]
    if rows.held_out is not None:
        scored["validation"] = digests["train"][rows.held_out]
    trained, noticed = np.unique(digests["train"][rows.train]), {}
    copies = {name: [int(np.isin(each, trained).sum()), len(each)] for name, each in scored.items()}
    if any(count for count, _ in copies.values()):
        noticed["copies"] = {name: counted for name, counted in copies.items() if counted[0]}
    if hidden is not None and hidden[rows.all].any():
        noticed["transparent"] = [int(hidden[rows.all].sum()), len(rows.all)]
    return noticed
