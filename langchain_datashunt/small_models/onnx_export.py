"""From a `TransformersClassifier` to an `OnnxClassifier`: exported by PyTorch, and believed only after a comparison."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from langchain_datashunt.errors import MissingExtraError, SmallModelError
from langchain_datashunt.small_models.onnx_classifier import IDS, MASK, MODEL_FILE, OnnxClassifier
from langchain_datashunt.small_models.onnx_first_token import compute_first_token_only
from langchain_datashunt.small_models.transformers_classifier import TransformersClassifier
from langchain_datashunt.types import FloatArray

LARGEST_DIFFERENCE = 1e-4
"""How far a probability of the exported model may be from the original's."""

_PROBES = (
    "",
    "Yes.",
    "It works exactly as described; I'd buy it again!",
    "NOT what I ordered, twice: Größe falsch, très déçu, 色が違う 😕",
    "The first week was fine. " * 12,
    "word " * 2000,
)
_TRACED_SHAPE = (2, 7)


def export_onnx(
    classifier: TransformersClassifier, folder: str | Path, *, probes: Sequence[str] = ()
) -> OnnxClassifier:
    """Export a classifier to a new folder, compare both, and return the `OnnxClassifier` of that folder.

    The comparison runs both on texts of very different lengths, so in other shapes than the one that was exported, with
    padding and cut. If any probability differs by more than 1e-4, nothing is left behind. The graph computes in
    float32, and of the last layer only what the classifier reads.

    Args:
        classifier: In float32 (another dtype would be another model).
        folder: Does not exist yet; it appears complete or not at all.
        probes: Texts of your own to compare on, beside the built-in ones.

    Raises:
        SmallModelError: It is no `TransformersClassifier`, the folder exists, the classifier cannot be exported, or the
            exported one answers otherwise.
        MissingExtraError: torch, onnxscript or onnxruntime is not installed.

    Example:
        .. code-block:: python

            export_onnx(TransformersClassifier("models/reviews"), "models/reviews-onnx")
            small = OnnxClassifier("models/reviews-onnx")
    """
    if not isinstance(classifier, TransformersClassifier):
        raise SmallModelError(
            f'only a TransformersClassifier is exported, such as TransformersClassifier("models/reviews"); '
            f"got {classifier!r}"
        )
    target = Path(folder).expanduser()
    if target.exists():
        raise SmallModelError(f"{target} is there already; name a folder that is not")
    if classifier.dtype != "float32":
        raise SmallModelError(f"only float32 is exported; this classifier computes in {classifier.dtype}")
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.parent / f".{target.name}-{uuid4().hex}"
    scratch.mkdir()
    try:
        _write_graph(classifier, scratch)
        _write_beside(classifier, scratch)
        settings = classifier.model_dump(include={"max_length", "truncation"})
        _compare(classifier, OnnxClassifier(scratch, **settings), [*_PROBES, *probes])
        os.replace(scratch, target)  # noqa: PTH105  a folder, at once
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return OnnxClassifier(target, **settings)


def _write_graph(classifier: TransformersClassifier, folder: Path) -> None:
    try:
        import onnxscript  # noqa: F401, PLC0415  what torch.onnx writes with
        import torch  # noqa: PLC0415  an extra
    except ImportError as error:
        raise MissingExtraError("export_onnx", "onnx-export") from error

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = classifier.network().float()
            # Attention written out is fewer operations in the graph than what PyTorch's fused attention becomes.
            self.network.set_attn_implementation("eager")

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.network(input_ids=input_ids, attention_mask=attention_mask).logits

    # A tensor of its own for each input: the exporter takes the same tensor, passed twice, for one input.
    ids, mask = torch.ones(_TRACED_SHAPE, dtype=torch.long), torch.ones(_TRACED_SHAPE, dtype=torch.long)
    mask[1, -2:] = 0
    sizes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns about its own parts
        try:
            program = torch.onnx.export(
                Logits().eval(),
                (ids, mask),
                input_names=[IDS, MASK],
                output_names=["logits"],
                dynamic_shapes={IDS: sizes, MASK: sizes},
                dynamo=True,
                verbose=False,
            )
            assert program is not None  # noqa: S101  only the older exporter (dynamo=False) returns none
            compute_first_token_only(program.model.graph)
            program.save(folder / MODEL_FILE, external_data=False)
        except Exception as error:  # whatever the exporter cannot do
            raise SmallModelError(f"{classifier.path_or_hub_id!r} cannot be exported to ONNX: {error}") from error


def _write_beside(classifier: TransformersClassifier, folder: Path) -> None:
    """Write the configuration with the labels, and the tokenizer as `transformers` uses it."""
    from transformers import AutoTokenizer  # noqa: PLC0415  an extra

    tokenizer = AutoTokenizer.from_pretrained(classifier.folder(), local_files_only=True)
    if not tokenizer.is_fast:
        raise SmallModelError(
            f"the tokenizer of {classifier.path_or_hub_id!r} ({type(tokenizer).__name__}) cannot be written as "
            "tokenizer.json, the format that an OnnxClassifier reads"
        )
    tokenizer.save_pretrained(folder)
    config = json.loads((classifier.folder() / "config.json").read_text(encoding="utf-8"))
    config.pop("_name_or_path", None)  # where it once lay on another machine
    config["id2label"] = {str(column): label for column, label in enumerate(classifier.classes_)}
    config["label2id"] = {label: column for column, label in enumerate(classifier.classes_)}
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")


def _compare(classifier: TransformersClassifier, exported: OnnxClassifier, texts: list[str]) -> None:
    ours, theirs = exported.predict_proba(texts), classifier.predict_proba(texts)
    furthest = largest_difference(ours, theirs)
    if not furthest <= LARGEST_DIFFERENCE:
        row = int(np.abs(ours - theirs).max(axis=1).argmax())
        raise SmallModelError(
            f"the exported model answers otherwise: probabilities differ by up to {furthest:.2g} (allowed "
            f"{LARGEST_DIFFERENCE:g}), most on {texts[row][:60]!r}; nothing was written"
        )


def largest_difference(first: FloatArray, second: FloatArray) -> float:
    """Return the largest absolute difference of two ``(n, k)`` arrays."""
    return float(np.abs(first - second).max())
