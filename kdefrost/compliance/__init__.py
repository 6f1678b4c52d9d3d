"""Compliance: how near the source the first layers can be held, and what that costs.

    strengths   strengths of springs, from none to rigid ones
    policy      ask about all strengths and numbers of layers
    measuring   how far a trained network has strayed from the source
    result      raw numbers over strengths × held layers × seeds (`ComplianceProfile`, `ComplianceTrial`)
    agreement   held beside a defrosting profile: do springs tell where to cut?
    prediction  where to cut, predicted from springs alone
    words       what a result says in tables
    figures     drawn from results

The springs themselves are a part of training (`kdefrost.training.coupling`).
"""

from kdefrost.compliance import figures, prediction, words
from kdefrost.compliance.result import ComplianceProfile, ComplianceTrial
from kdefrost.compliance.strengths import STRENGTHS

# Here, because words and figures take results, which know of neither.
ComplianceProfile.cells = words.cells
ComplianceProfile.plot = figures.plot_strengths
ComplianceProfile.predicted_cut = prediction.predicted_cut
ComplianceProfile.summary = words.summary
ComplianceProfile.table = words.table

__all__ = ["STRENGTHS", "ComplianceProfile", "ComplianceTrial"]
