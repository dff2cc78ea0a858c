"""Ask a small model first and a large one only where that helps.

The public names live in their own modules and are loaded when first used, so that importing this package costs
no more than importing LangChain's runnables::

    from langchain_datashunt import RunnableDataShunt, ShuntPolicy
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_datashunt.bounds.live_bound import LiveBound
    from langchain_datashunt.callbacks.audit_monitor import AuditMonitor
    from langchain_datashunt.callbacks.handler import HardSampleCallbackHandler
    from langchain_datashunt.candidates import DropMastered, PredictionSet, TopK, TopP
    from langchain_datashunt.distillation.distilling import Distillation, distill
    from langchain_datashunt.distillation.promotion_gate import GateVerdict, PromotionGate
    from langchain_datashunt.distillation.transformers_training import TransformersTraining
    from langchain_datashunt.errors import (
        AuditError,
        CalibrationDataError,
        CompositionError,
        DataShuntError,
        DistillationError,
        HardSampleStoreError,
        InfeasibleTargetError,
        InvalidInputError,
        MissingExtraError,
        OverloadedError,
        PolicyError,
        PolicyMismatchError,
        RegistryError,
        SmallModelError,
    )
    from langchain_datashunt.evaluation import evaluate_policy
    from langchain_datashunt.fitting import fit_policy
    from langchain_datashunt.hints.measurement import HintMeasurement
    from langchain_datashunt.hints.measuring import ameasure_hint, measure_hint
    from langchain_datashunt.learning_loop import LoopOutcome, learn_once
    from langchain_datashunt.metrics.shunt_metrics import ShuntMetrics
    from langchain_datashunt.policy.costs import CallCosts, Prices
    from langchain_datashunt.policy.goals import EndToEnd, MaxDeferral, TargetRisk
    from langchain_datashunt.policy.shunt_policy import FixedThreshold, ShuntPolicy
    from langchain_datashunt.prompting.pruning_parser import PromptPruningOutputParser
    from langchain_datashunt.prompting.pruning_template import PromptPruningTemplate
    from langchain_datashunt.pruning import learn_pruning
    from langchain_datashunt.registry.model_registry import ModelRegistry
    from langchain_datashunt.registry.promoted_model import PromotedModel
    from langchain_datashunt.report.writing import write_report
    from langchain_datashunt.routing.composition import UnboundDataShunt
    from langchain_datashunt.routing.router import RunnableDataShunt
    from langchain_datashunt.small_models import (
        DecisionClassifier,
        EmbeddingClassifier,
        FunctionClassifier,
        MicroBatched,
        OnnxClassifier,
        RunnableClassifier,
        SentenceEncoder,
        TransformersClassifier,
        export_onnx,
    )
    from langchain_datashunt.store import HardSampleStore
    from langchain_datashunt.store.error_monitor import ErrorMonitor
    from langchain_datashunt.transfer.subtasks import Subtask
    from langchain_datashunt.transfer.transfer_template import PromptTransferTemplate
    from langchain_datashunt.types import Decision, HardSample, Prediction, ShuntMetadata, SmallModel

__version__ = "0.1.0"

__all__ = [
    "AuditError",
    "AuditMonitor",
    "CalibrationDataError",
    "CallCosts",
    "CompositionError",
    "DataShuntError",
    "Decision",
    "DecisionClassifier",
    "Distillation",
    "DistillationError",
    "DropMastered",
    "EmbeddingClassifier",
    "EndToEnd",
    "ErrorMonitor",
    "FixedThreshold",
    "FunctionClassifier",
    "GateVerdict",
    "HardSample",
    "HardSampleCallbackHandler",
    "HardSampleStore",
    "HardSampleStoreError",
    "HintMeasurement",
    "InfeasibleTargetError",
    "InvalidInputError",
    "LiveBound",
    "LoopOutcome",
    "MaxDeferral",
    "MicroBatched",
    "MissingExtraError",
    "ModelRegistry",
    "OnnxClassifier",
    "OverloadedError",
    "PolicyError",
    "PolicyMismatchError",
    "Prediction",
    "PredictionSet",
    "Prices",
    "PromotedModel",
    "PromotionGate",
    "PromptPruningOutputParser",
    "PromptPruningTemplate",
    "PromptTransferTemplate",
    "RegistryError",
    "RunnableClassifier",
    "RunnableDataShunt",
    "SentenceEncoder",
    "ShuntMetadata",
    "ShuntMetrics",
    "ShuntPolicy",
    "SmallModel",
    "SmallModelError",
    "Subtask",
    "TargetRisk",
    "TopK",
    "TopP",
    "TransformersClassifier",
    "TransformersTraining",
    "UnboundDataShunt",
    "ameasure_hint",
    "distill",
    "evaluate_policy",
    "export_onnx",
    "fit_policy",
    "learn_once",
    "learn_pruning",
    "measure_hint",
    "write_report",
]

_HOME = {
    "AuditError": "errors",
    "AuditMonitor": "callbacks.audit_monitor",
    "CalibrationDataError": "errors",
    "CallCosts": "policy.costs",
    "CompositionError": "errors",
    "DataShuntError": "errors",
    "Decision": "types",
    "DecisionClassifier": "small_models",
    "Distillation": "distillation.distilling",
    "DistillationError": "errors",
    "DropMastered": "candidates",
    "EmbeddingClassifier": "small_models",
    "EndToEnd": "policy.goals",
    "ErrorMonitor": "store.error_monitor",
    "FixedThreshold": "policy.shunt_policy",
    "FunctionClassifier": "small_models",
    "GateVerdict": "distillation.promotion_gate",
    "HardSample": "types",
    "HardSampleCallbackHandler": "callbacks.handler",
    "HardSampleStore": "store",
    "HardSampleStoreError": "errors",
    "HintMeasurement": "hints.measurement",
    "InfeasibleTargetError": "errors",
    "InvalidInputError": "errors",
    "LiveBound": "bounds.live_bound",
    "LoopOutcome": "learning_loop",
    "MaxDeferral": "policy.goals",
    "MicroBatched": "small_models",
    "MissingExtraError": "errors",
    "OverloadedError": "errors",
    "ModelRegistry": "registry.model_registry",
    "OnnxClassifier": "small_models",
    "PolicyError": "errors",
    "PolicyMismatchError": "errors",
    "Prediction": "types",
    "PredictionSet": "candidates",
    "Prices": "policy.costs",
    "PromotionGate": "distillation.promotion_gate",
    "PromotedModel": "registry.promoted_model",
    "PromptPruningOutputParser": "prompting.pruning_parser",
    "PromptPruningTemplate": "prompting.pruning_template",
    "PromptTransferTemplate": "transfer.transfer_template",
    "RegistryError": "errors",
    "RunnableClassifier": "small_models",
    "RunnableDataShunt": "routing.router",
    "SentenceEncoder": "small_models",
    "ShuntMetadata": "types",
    "ShuntMetrics": "metrics.shunt_metrics",
    "ShuntPolicy": "policy.shunt_policy",
    "SmallModel": "types",
    "SmallModelError": "errors",
    "Subtask": "transfer.subtasks",
    "TargetRisk": "policy.goals",
    "TopK": "candidates",
    "TopP": "candidates",
    "TransformersClassifier": "small_models",
    "TransformersTraining": "distillation.transformers_training",
    "UnboundDataShunt": "routing.composition",
    "distill": "distillation.distilling",
    "ameasure_hint": "hints.measuring",
    "evaluate_policy": "evaluation",
    "export_onnx": "small_models",
    "fit_policy": "fitting",
    "learn_once": "learning_loop",
    "learn_pruning": "pruning",
    "write_report": "report.writing",
    "measure_hint": "hints.measuring",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module at its first use, and keep it."""
    if name not in _HOME:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
