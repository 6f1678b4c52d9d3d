"""The figures of the paper (Gerace et al., 2023), from its table of experiments to the drawing.

experiments        the paper's sources, targets, sizes and repeats, a record for each figure
scales             presets: what stands for the paper's numbers where less is run
work               what some figures need, each thing once
medical            network and patches of the transfer from ImageNet, where they are there
answers            what figures are drawn from: stored answers, and what is missing run first
views              parts of profiles, and profiles put together of parts
results            what a figure is drawn from (`FigureResults`)
planning           what figures take, by the table alone
disk               whether what is kept of them fits the disks
panels             panels of which figures are made
figures            the figures, drawn from results
estimates          numbers with their errors that claims are about
verdicts           whether a claim holds, by numbers and their errors
profile_findings   what profiles say of claims
network_findings   what pairs of networks, and networks under springs, say of claims
claims             the paper's claims, and the table of them
page               a page of what became of them
"""

from kdefrost.paper.answers import Answers
from kdefrost.paper.experiments import FIGURES
from kdefrost.paper.results import FigureResults
from kdefrost.paper.scales import SCALES
from kdefrost.paper.work import work_of

__all__ = ["FIGURES", "SCALES", "Answers", "FigureResults", "work_of"]
