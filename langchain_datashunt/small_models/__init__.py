"""Small models: whatever has `classes_` and a vectorised `predict_proba`.

Any fitted scikit-learn classifier is one as it is. The adapters here make one of a transformer (run by PyTorch or by
ONNX Runtime), of embeddings and a scikit-learn head, of a LangChain Runnable or decision model, or of a plain function;
`MicroBatched` lets callers share passes. Each lives in its own module and is loaded at its first use, so that importing
this package loads neither torch nor scikit-learn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from langchain_datashunt.small_models.answers import class_names, label_name, probability_rows
from langchain_datashunt.small_models.fingerprints import version_of

if TYPE_CHECKING:
    from langchain_datashunt.small_models.decision_classifier import DecisionClassifier
    from langchain_datashunt.small_models.embedding_classifier import EmbeddingClassifier
    from langchain_datashunt.small_models.function_classifier import FunctionClassifier
    from langchain_datashunt.small_models.linear_head import LinearHead
    from langchain_datashunt.small_models.micro_batched import MicroBatched
    from langchain_datashunt.small_models.onnx_classifier import OnnxClassifier
    from langchain_datashunt.small_models.onnx_export import export_onnx
    from langchain_datashunt.small_models.runnable_classifier import RunnableClassifier
    from langchain_datashunt.small_models.sentence_encoder import SentenceEncoder
    from langchain_datashunt.small_models.transformers_classifier import TransformersClassifier

__all__ = [
    "DecisionClassifier",
    "EmbeddingClassifier",
    "FunctionClassifier",
    "LinearHead",
    "MicroBatched",
    "OnnxClassifier",
    "RunnableClassifier",
    "SentenceEncoder",
    "TransformersClassifier",
    "class_names",
    "export_onnx",
    "label_name",
    "probability_rows",
    "version_of",
]

_HOME = {
    "DecisionClassifier": "decision_classifier",
    "EmbeddingClassifier": "embedding_classifier",
    "FunctionClassifier": "function_classifier",
    "LinearHead": "linear_head",
    "MicroBatched": "micro_batched",
    "OnnxClassifier": "onnx_classifier",
    "RunnableClassifier": "runnable_classifier",
    "SentenceEncoder": "sentence_encoder",
    "TransformersClassifier": "transformers_classifier",
    "export_onnx": "onnx_export",
}


def __getattr__(name: str) -> Any:
    """Load an adapter from its module at its first use, and keep it."""
    if name not in _HOME:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
