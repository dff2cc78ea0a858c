"""A sequence classifier that ONNX Runtime runs: faster on CPUs than PyTorch, and without torch and transformers."""

from __future__ import annotations

import math
import mmap
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from langchain_datashunt.errors import MissingExtraError, SmallModelError
from langchain_datashunt.small_models.fast_tokens import load_fast_tokenizer
from langchain_datashunt.small_models.folder_classifier import FolderClassifier
from langchain_datashunt.small_models.folder_text_model import LoadedModel
from langchain_datashunt.small_models.folders import ONNX_WEIGHTS
from langchain_datashunt.small_models.tokens import TokenBatch

MODEL_FILE = "model.onnx"
IDS, MASK, TOKEN_TYPES = "input_ids", "attention_mask", "token_type_ids"

_SLOWER_FUSION = "SkipLayerNormFusion"
"""On CPUs the sum and the normalisation that it puts together are faster apart."""

_BATCHES_A_THREAD = 4
"""The longest texts go first, so several short batches at the end even out what the threads have to do."""

_FEWEST_ROWS = 2
"""In a batch, where there are as many texts: a pass over one row makes poor use of the processor."""


class OnnxClassifier(FolderClassifier):
    """A sequence classifier in ONNX format, run on the CPU; needs the packages onnxruntime and tokenizers only.

    The folder holds ``model.onnx`` (token ids and attention mask in, logits out), ``config.json``, ``tokenizer.json``
    and ``tokenizer_config.json``; `export_onnx` makes one of a `TransformersClassifier`. Texts are sorted by length,
    run in batches, and answered in the order they came; the softmax is taken in float64.

    A quantised ``model.onnx`` works too. It is another model: its probabilities differ, so it has another `version` and
    needs a policy that was fitted on it. Dynamic quantisation scales numbers by the largest in a batch; such a model
    gets one text a pass, so that a text's answer does not depend on what else is asked.

    Example::

        small = export_onnx(TransformersClassifier("models/reviews"), "models/reviews-onnx")
        small = OnnxClassifier("models/reviews-onnx", threads=2)

    Raises:
        SmallModelError: At the first use: the folder holds no such classifier.
        MissingExtraError: At the first use: onnxruntime or tokenizers is not installed.
    """

    weight_patterns: ClassVar[tuple[str, ...]] = ONNX_WEIGHTS

    threads: int | None = Field(default=None, ge=1)
    """None is one a core that this process may use. Where processes share a machine, give each fewer.

    One text is answered by all of them together; of enough texts each thread takes a part and works alone, which gains
    more. Each way loads the model at its first use, so a process that uses both holds the weights twice; with one
    thread there is one way. Threads that have nothing to do sleep, and take nothing from the rest of the program.
    """

    batch_size: int = Field(default=8, ge=1)
    """Most texts a forward pass; of few texts each pass takes fewer, so that all threads have work to the end. A model
    that is quantised dynamically gets one."""

    _alone: bool | None = PrivateAttr(default=None)

    def __init__(self, path_or_hub_id: str | Path, *, labels: Sequence[Any] | None = None, **settings: Any) -> None:
        """Name a model and its settings (see the fields); nothing is loaded yet.

        Raises:
            SmallModelError: A setting is unknown or out of range, or two labels have one name.
        """
        super().__init__(path_or_hub_id, labels=labels, **settings)

    def _load_now(self) -> LoadedModel:
        try:
            import onnxruntime  # noqa: F401, PLC0415  an extra
            import tokenizers  # noqa: F401, PLC0415  an extra
        except ImportError as error:
            raise MissingExtraError("OnnxClassifier", "onnx") from error
        folder = self.folder()
        tokenizer = load_fast_tokenizer(
            folder,
            positions=self._positions(),
            max_length=self.max_length,
            truncation=self.truncation,
        )
        self._alone = _scales_by_batch(folder / MODEL_FILE)
        return LoadedModel(tokenizer, _Forward(folder / MODEL_FILE, self._threads()))

    def _rows_a_batch(self, n: int) -> int:
        if self._alone:
            return 1
        return min(self.batch_size, max(_FEWEST_ROWS, math.ceil(n / (_BATCHES_A_THREAD * self._threads()))))

    def _forward_each(self, loaded: LoadedModel, batches: Sequence[TokenBatch]) -> Iterable[NDArray[Any]]:
        threads = self._threads()
        if min(threads, len(batches)) == 1:
            return super()._forward_each(loaded, batches)
        if len(batches) < threads:
            return _shared_out(loaded.forward, batches, len(batches))
        return _shared_out(partial(cast("_Forward", loaded.forward), threads=1), batches, threads)

    def _threads(self) -> int:
        if self.threads is not None:
            return self.threads
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _shared_out(
    run: Callable[[TokenBatch], NDArray[Any]], batches: Sequence[TokenBatch], workers: int
) -> list[NDArray[Any]]:
    """Return the result of each batch; the caller's thread is one of the workers, so that work begins at once."""
    results: list[Any] = [None] * len(batches)
    waiting = deque(enumerate(batches))

    def work() -> None:
        while waiting:
            try:
                place, batch = waiting.popleft()
            except IndexError:  # another worker was faster
                return
            results[place] = run(batch)

    with ThreadPoolExecutor(workers - 1) as pool:
        helpers = [pool.submit(work) for _ in range(workers - 1)]
        try:
            work()
        finally:
            waiting.clear()  # an error, or ctrl-C
    for helper in helpers:
        helper.result()
    return results


def _scales_by_batch(file: Path) -> bool:
    """Tell whether a model quantises while it runs; the names of operators stand in its file as they are."""
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(b"DynamicQuantize") >= 0
    except (OSError, ValueError) as error:  # ValueError: it is empty
        raise SmallModelError(f"no OnnxClassifier can be loaded from {file.parent}: {error}") from error


class _Forward:
    """Runs a model on padded batches, for many threads at once.

    What a session does with its threads is fixed when it is opened, so there is one for each number of threads that is
    asked for, opened when it is.
    """

    def __init__(self, file: Path, threads: int) -> None:
        self._file = file
        self._threads = threads
        self._sessions: dict[int, Any] = {}
        self._opening = threading.Lock()

    def __call__(self, batch: TokenBatch, threads: int | None = None) -> NDArray[np.float64]:
        session = self._session(threads or self._threads)
        feed = {IDS: batch.input_ids, MASK: batch.attention_mask, TOKEN_TYPES: np.zeros_like(batch.input_ids)}
        logits = session.run(None, {each.name: feed[each.name] for each in session.get_inputs()})[0]
        return softmax(logits)

    def _session(self, threads: int) -> Any:
        if threads not in self._sessions:
            with self._opening:
                if threads not in self._sessions:
                    self._sessions[threads] = self._open(threads)
        return self._sessions[threads]

    def _open(self, threads: int) -> Any:
        import onnxruntime  # noqa: PLC0415  an extra

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = onnxruntime.InferenceSession(
                str(self._file),
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=[_SLOWER_FUSION],
            )
        except Exception as error:  # its errors share no narrower class
            raise SmallModelError(f"no OnnxClassifier can be loaded from {self._file.parent}: {error}") from error
        inputs = {each.name for each in session.get_inputs()}
        if not {IDS, MASK} <= inputs <= {IDS, MASK, TOKEN_TYPES}:
            raise SmallModelError(
                f"the model in {self._file.parent} must take {IDS!r} and {MASK!r} (without it, padding would change "
                f"answers), and may take {TOKEN_TYPES!r}; it takes {sorted(inputs)}: export it again with these"
            )
        return session


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Return the row-wise softmax, taken in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    rows: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return rows
