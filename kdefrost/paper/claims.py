"""What the paper claims, figure by figure, and where it is looked for in results."""

from collections.abc import Callable
from typing import NamedTuple

from kdefrost.paper.estimates import all_but_last, before_downsampling
from kdefrost.paper.network_findings import (
    IMBALANCE,
    agrees_with_similarity,
    compliant,
    deeper_is_less_alike,
    equivalent_up_to,
    far_without_springs,
    jumps_at_downsampling,
    nears,
    ordered,
)
from kdefrost.paper.profile_findings import (
    early_layers_cost_nothing,
    effective_differently,
    last_is_best,
    last_is_never_better,
    later_for_better_clones,
    moves_back,
    predictable,
    scratch_is_best,
    second_to_last_appears,
    worth_data,
)
from kdefrost.paper.results import FigureResults
from kdefrost.paper.verdicts import NOTHING_LOST, Finding
from kdefrost.tables import markdown


class Claim(NamedTuple):
    """A claim of the paper.

    Attributes:
        figure: The figure that it is about.
        place: Where it stands.
        words: The paper's words.
        look: Looks for it in results.
    """

    figure: int
    place: str
    words: str
    look: Callable[[FigureResults], list[Finding]]


def findings(results: FigureResults) -> list[tuple[Claim, list[Finding]]]:
    """What is seen of each claim about a figure.

    Args:
        results: What the figure is drawn from.

    Returns:
        Pairs of a claim and its findings, which are none where nothing of it was run.
    """
    return [(claim, claim.look(results)) for claim in CLAIMS if claim.figure == results.figure.number]


_ALIKE = {"cka": 1, "neighbor_spearman_xy": 1, "neighborhood_overlap": 1}
CLAIMS = (
    Claim(
        1,
        "Section 1",
        "the optimal accuracy can be achieved by either keeping almost all the layers frozen, or by re-optimizing all "
        "the layers, or by freezing only part of the layers (panels (a), (d) and (b-c), respectively)",
        effective_differently,
    ),
    Claim(
        3,
        "Section 3, size",
        "the optimum of the defrosting profile shifts backward in the layers, as the size of the target training set "
        "is increased",
        moves_back,
    ),
    Claim(
        3,
        "Section 1",
        "in some scenarios, employing a non-vanilla freezing protocol can lead to greater performance improvement than "
        "acquiring 5 times more training data",
        worth_data(5, 0.0),
    ),
    Claim(
        3,
        "Section 3, size",
        "the optimal transfer with 5×10³ samples achieves a comparable performance with vanilla freezing with 10 times "
        "more data",
        worth_data(10, -NOTHING_LOST),
    ),
    Claim(
        3,
        "Section 3, compliance",
        "there are transfer scenarios where the early representations of the network can be completely transferred "
        "without hindering the accuracy",
        early_layers_cost_nothing,
    ),
    Claim(
        4,
        "Section 3, similarity",
        "if the similarity of the two data sources is insufficient (left panel), fully retraining the network and "
        "giving up the transfer learning approach is preferable, even in the data-scarce regime",
        scratch_is_best,
    ),
    Claim(
        4,
        "Section 3, similarity",
        "As the similarity between the two tasks is increased (middle and right panel), the optimal cut for the "
        "defrosting protocol shifts towards the later layers of the network",
        later_for_better_clones,
    ),
    Claim(
        5, "Section 3, compliance", "the very large cosine distance d ∼ 0.6 … in the first layer", far_without_springs
    ),
    Claim(
        5,
        "Section 3, compliance",
        "by increasing the coupling intensity one can force the weights to converge closer to the reference",
        nears,
    ),
    Claim(
        5,
        "Section 3, compliance",
        "the accuracy … is almost unaffected by the strength of the coupling: the network is able to achieve close to "
        "optimal accuracy even when the constraint becomes hard",
        compliant,
    ),
    Claim(
        6,
        "Section 3, similarity of representations",
        "the II is generally increasing as a function of the depth",
        deeper_is_less_alike({IMBALANCE: 1}),
    ),
    Claim(
        6,
        "Section 3, similarity of representations",
        "the main II jumps happen in correspondence with the down-sampling layers in the network",
        jumps_at_downsampling,
    ),
    Claim(
        6,
        "Section 3, similarity of representations",
        "in the case of GM, we see that the representations are almost equivalent up to the 10-th layer",
        equivalent_up_to(1, before_downsampling),
    ),
    Claim(
        6,
        "Section 3, similarity of representations",
        "the topological similarity in the case of L256 is almost perfect until the very last layers",
        equivalent_up_to(2, all_but_last),
    ),
    Claim(
        6,
        "Section 3, similarity of representations",
        "the generalization performance are in agreement with the prediction of the II",
        agrees_with_similarity,
    ),
    Claim(
        7,
        "Appendix B",
        "in the transfer direction IsoGM to CIFAR-10, transferring up to the very layer is never beneficial, no matter "
        "the size of the target task",
        last_is_never_better,
    ),
    Claim(
        7,
        "Appendix B",
        "in the transfer direction L256 to CIFAR-10, we can see it is always convenient to transfer up to the very "
        "last layer, except at very huge training set sizes",
        last_is_best,
    ),
    Claim(
        7,
        "Appendix B",
        "transferring the pre-trained feature map on L32 to CIFAR10 … a peak starts appearing in correspondence of the "
        "second-to-last defrosted layer",
        second_to_last_appears,
    ),
    Claim(
        7,
        "Appendix B",
        "the optimal transfer depth strongly depends on the size of the target training set",
        moves_back,
    ),
    Claim(
        7,
        "Section 3, efficient protocol",
        "the shape of the layer-wise defrosting profile is generally quite regular and predictable from a few points",
        predictable,
    ),
    Claim(
        8,
        "Appendix B",
        "the larger is the size of the bottleneck, the more and the deeper similar the representations are",
        ordered({IMBALANCE: -1}),
    ),
    Claim(
        9,
        "Appendix C",
        "the representation similarity is stronger at early layers",
        deeper_is_less_alike(dict.fromkeys(_ALIKE, -1)),
    ),
    Claim(
        9,
        "Appendix C",
        "the hierarchical structure of the CIFAR10-clones is reflected in the profiles of the similarity measured",
        ordered(_ALIKE),
    ),
)


def claims_table(results: FigureResults) -> str:
    """The claims about a figure as a Markdown table: the paper's words, what is seen, the verdict."""
    rows = [["the paper says", "of", "seen here", "verdict"]]
    for claim, found in findings(results):
        said = f"“{claim.words}” ({claim.place})"
        told = [[each.subject, each.seen, each.verdict.text] for each in found] or [["", "not run", "–"]]
        rows += [[said if not place else "", *each] for place, each in enumerate(told)]
    return markdown(rows, left=(0, 1, 2, 3))
