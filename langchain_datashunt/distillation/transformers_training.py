"""How a transformers student is trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from langchain_datashunt.errors import DistillationError

Criterion = Literal["nll", "aurc"]
"""What is watched on held-out rows: negative log-likelihood, or the area under the risk-coverage curve."""


@dataclass(frozen=True, slots=True)
class TransformersTraining:
    """How a transformers student is trained, and where it is written.

    All weights are trained, by AdamW at a rate that warms up and then falls to zero. Batches hold texts of similar
    length, and come from *acquire* and *retain* in turn. Where the device computes in bfloat16 (CUDA from Ampere on,
    and CPUs with AVX-512 BF16 or AMX), the forward pass does; the weights stay float32.

    The folder holds checkpoints while the training runs, and the student when it is done. A training that was killed
    goes on from its last checkpoint when it is started again with the same folder and the same lessons; other lessons
    start anew, and so does a folder that was moved. One training at a time may use a folder.

    Attributes:
        folder: Where the student is written: weights as safetensors, configuration, tokenizer.
        epochs: How often the rows of *acquire* are seen; at least 1.
        learning_rate: The highest.
        batch_size: Texts a step, at least 1.
        validation_share: Share of the rows of either stage, chosen by a hash of the input, that is held out to choose
            the best checkpoint, in [0, 1). 0 trains on all rows to the end.
        criterion: By what it is chosen.
        patience: Training stops when so many evaluations in a row have not been the best.
        evaluations: How often in the whole training the held-out rows are scored and a checkpoint is written.
        device: ``"cuda"`` or ``"cpu"``; None takes CUDA where it is.
    """

    folder: str | Path
    epochs: int = 3
    learning_rate: float = 5e-5
    batch_size: int = 16
    validation_share: float = 0.1
    criterion: Criterion = "nll"
    patience: int = 3
    evaluations: int = 10
    device: Literal["cuda", "cpu"] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot train."""
        for name in ("epochs", "batch_size", "patience", "evaluations"):
            if getattr(self, name) < 1:
                raise DistillationError(f"TransformersTraining.{name} must be at least 1, got {getattr(self, name)!r}")
        if not 0 <= self.validation_share < 1:
            raise DistillationError(f"validation_share must lie in [0, 1), got {self.validation_share!r}")
        if self.learning_rate <= 0:
            raise DistillationError(f"learning_rate must be positive, got {self.learning_rate!r}")
        if self.criterion not in ("nll", "aurc"):
            raise DistillationError(f"criterion must be 'nll' or 'aurc', got {self.criterion!r}")
        if self.device not in (None, "cuda", "cpu"):
            raise DistillationError(f"device must be 'cuda', 'cpu' or None, got {self.device!r}")
