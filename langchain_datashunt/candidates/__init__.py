"""Candidates: which labels are left for the large model, and how a prompt speaks of them (S4L prompt pruning).

A rule maps calibrated probabilities ``(n, k)`` to a mask ``(n, k)``. `TopK` and `TopP` are rules as they stand;
`PredictionSet` and `DropMastered` say what is to be learned on deferred inputs, and become a rule inside a policy.
"""

from langchain_datashunt.candidates.mastered import DropMastered
from langchain_datashunt.candidates.offered import CandidateLabels, Prior
from langchain_datashunt.candidates.prediction_sets import PredictionSet
from langchain_datashunt.candidates.rules import CandidateRule, TopK, TopP

__all__ = ["CandidateLabels", "CandidateRule", "DropMastered", "PredictionSet", "Prior", "TopK", "TopP"]
