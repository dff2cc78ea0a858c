"""The training of a transformers student, on `transformers.Trainer`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from langchain_datashunt.distillation.alternating_batches import alternating_batches, stage_scales
from langchain_datashunt.distillation.stages import Stage, joined
from langchain_datashunt.distillation.transformers_training import TransformersTraining
from langchain_datashunt.policy.risk_coverage import risk_coverage
from langchain_datashunt.small_models import TransformersClassifier
from langchain_datashunt.small_models.torch_text_model import no_progress_bar
from langchain_datashunt.types import FloatArray
from langchain_datashunt.whole_files import write_whole

WARM_UP = 0.06
"""Share of the steps in which the rate rises."""

_COMPLETE = "complete"
"""A file in a checkpoint that was written to its end: the names of the others, one of which a deletion takes first."""

Row = tuple[list[int], FloatArray, float]
"""Token ids, target distribution, and weight in the mean loss of a batch."""


def train_alternating(
    small: TransformersClassifier,
    learned: tuple[Stage, Stage],
    held_out: tuple[Stage, Stage],
    training: TransformersTraining,
    *,
    checkpoints: Path,
    progress: Callable[[str, int, int], None] | None,
    seed: int,
) -> tuple[Any, dict[str, Any]]:
    """Return a trained copy of the network, and what the training says of itself.

    The whole order of batches is fixed beforehand, so that a resumed training sees what the killed one would have.

    Args:
        small: The serving model.
        learned: Rows to acquire and to retain.
        held_out: The same, to choose the best checkpoint by; empty to train to the end.
        training: Its settings.
        checkpoints: Their folder; where it holds some, training goes on from the last.
        progress: Is told the steps.
        seed: Of the order, and of dropout.
    """
    network, tokenizer = small.network(), small.tokenizer()
    rows = _rows(tokenizer, learned)
    lengths = [len(ids) for ids, _, _ in rows]
    n = len(learned[0])
    plan = alternating_batches(
        lengths[:n], lengths[n:], epochs=training.epochs, batch_size=training.batch_size, seed=seed
    )
    validation = _rows(tokenizer, held_out) if len(held_out[0]) else None
    trainer = _trainer_class()(
        model=network.float(),
        args=_arguments(training, checkpoints, len(plan), validated=validation is not None, seed=seed),
        train_dataset=rows,
        eval_dataset=validation,
        data_collator=lambda batch: _collated(tokenizer, batch),
        compute_metrics=_metrics,
        callbacks=_callbacks(training, progress, validated=validation is not None),
    )
    trainer.remove_callback(_printer())
    resumed = _last_complete(checkpoints)
    trainer.plan = plan if resumed is None else _not_beyond_its_end(plan, resumed)
    with no_progress_bar():
        trainer.train(resume_from_checkpoint=None if resumed is None else str(resumed))
    return trainer.model, _facts(trainer, validation, resumed, len(plan))


def _rows(tokenizer: Any, stages: tuple[Stage, Stage]) -> list[Row]:
    """Return the rows of both stages, those to acquire first."""
    together = joined(stages)
    scales = stage_scales(stages[0].weights, stages[1].weights)
    return list(zip(tokenizer.tokens(together.inputs), together.targets, scales.tolist(), strict=True))


def _collated(tokenizer: Any, batch: Sequence[Row]) -> dict[str, Any]:
    import torch  # noqa: PLC0415  an extra

    tokens, targets, scales = zip(*batch, strict=True)
    padded = tokenizer.padded(np.arange(len(batch)), list(tokens))
    return {
        "input_ids": torch.from_numpy(padded.input_ids),
        "attention_mask": torch.from_numpy(padded.attention_mask),
        "targets": torch.tensor(np.array(targets), dtype=torch.float32),
        "scales": torch.tensor(scales, dtype=torch.float32),
    }


def _metrics(prediction: Any) -> dict[str, float]:
    """Return the weighted negative log-likelihood of the targets, and the AURC against their most probable classes."""
    logits = np.asarray(prediction.predictions, dtype=np.float64)
    targets, scales = prediction.label_ids
    logits -= logits.max(axis=1, keepdims=True)
    log_rows = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    wrong = logits.argmax(axis=1) != targets.argmax(axis=1)
    losses = -(targets * log_rows).sum(axis=1)
    area = risk_coverage(np.exp(log_rows).max(axis=1), wrong).area
    return {"nll": float((scales * losses).sum() / scales.sum()), "aurc": float(area)}


def _arguments(training: TransformersTraining, folder: Path, steps: int, *, validated: bool, seed: int) -> Any:
    import torch  # noqa: PLC0415  an extra
    from transformers import TrainingArguments  # noqa: PLC0415  an extra

    on_cpu = training.device == "cpu" or not torch.cuda.is_available()
    interval = max(1, -(-steps // training.evaluations))
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=1,  # of the plan, which holds all passes
        learning_rate=training.learning_rate,
        weight_decay=0.01,
        warmup_steps=round(WARM_UP * steps),
        lr_scheduler_type="linear",
        per_device_train_batch_size=training.batch_size,
        per_device_eval_batch_size=32,
        bf16=computes_in_bfloat16(on_cpu=on_cpu),
        use_cpu=on_cpu,
        dataloader_pin_memory=not on_cpu,
        seed=seed,
        eval_strategy="steps" if validated else "no",
        eval_steps=interval,
        save_strategy="steps",
        save_steps=interval,
        save_total_limit=2,
        load_best_model_at_end=validated,
        metric_for_best_model=training.criterion if validated else None,
        greater_is_better=False if validated else None,
        restore_callback_states_from_checkpoint=True,
        label_names=["targets", "scales"],
        remove_unused_columns=False,
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )


def computes_in_bfloat16(*, on_cpu: bool) -> bool:
    """Return whether the device multiplies matrices in bfloat16; where it does not, emulating that would be slower."""
    import torch  # noqa: PLC0415  an extra

    if not on_cpu:
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # torch before 2.11 does not tell
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


@cache
def _trainer_class() -> Any:
    import torch  # noqa: PLC0415  an extra
    from torch.utils.data import DataLoader  # noqa: PLC0415  an extra
    from transformers import Trainer  # noqa: PLC0415  an extra

    class AlternatingTrainer(Trainer):
        """Batches by a fixed plan; the loss is the weighted cross-entropy to soft targets."""

        plan: Any

        def get_train_dataloader(self) -> Any:
            rows: Any = self.train_dataset
            loader: Any = DataLoader(rows, batch_sampler=self.plan, collate_fn=self.data_collator)
            return self.accelerator.prepare(loader)

        def compute_loss(
            self,
            model: Any,
            inputs: Any,
            return_outputs: bool = False,
            num_items_in_batch: Any = None,  # noqa: ARG002  its signature
        ) -> Any:
            output = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
            log_rows = torch.log_softmax(output.logits.float(), dim=-1)
            loss = -(inputs["scales"] * (inputs["targets"] * log_rows).sum(dim=-1)).mean()
            return (loss, {"logits": output.logits}) if return_outputs else loss

    return AlternatingTrainer


def _printer() -> Any:
    from transformers import PrinterCallback  # noqa: PLC0415  an extra

    return PrinterCallback


def _callbacks(training: TransformersTraining, progress: Any, *, validated: bool) -> list[Any]:
    from transformers import EarlyStoppingCallback, TrainerCallback  # noqa: PLC0415  an extra

    class Steps(TrainerCallback):
        """Reports steps, and marks checkpoints that are whole."""

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002  its signature
            if progress is not None:
                progress("train", state.global_step, state.max_steps)

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002  its signature
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            write_whole(folder / _COMPLETE, json.dumps([path.name for path in folder.iterdir()]))

    stopping = [EarlyStoppingCallback(early_stopping_patience=training.patience)] if validated else []
    return [Steps(), *stopping]


def _last_complete(checkpoints: Path) -> Path | None:
    """Return the last checkpoint that was written to its end, and that nobody has begun to delete."""
    marks = checkpoints.glob(f"checkpoint-*/{_COMPLETE}")
    found = [
        mark.parent for mark in marks if all((mark.parent / name).exists() for name in json.loads(mark.read_bytes()))
    ]
    return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def _not_beyond_its_end(plan: list[list[int]], resumed: Path) -> list[list[int]]:
    """Return the plan, up to the checkpoint where it is the last one of a training that had stopped early."""
    state = json.loads((resumed / "trainer_state.json").read_bytes())
    control = state.get("stateful_callbacks", {}).get("TrainerControl", {}).get("args", {})
    return plan[: state["global_step"]] if control.get("should_training_stop") else plan


def _facts(trainer: Any, validation: Sequence[Row] | None, resumed: Path | None, planned: int) -> dict[str, Any]:
    best = trainer.state.best_model_checkpoint
    return {
        "steps": trainer.state.global_step,
        "steps_planned": planned,
        "best_step": None if best is None else int(Path(best).name.rpartition("-")[2]),
        "evaluations": [
            {"step": entry["step"], "nll": entry["eval_nll"], "aurc": entry["eval_aurc"]}
            for entry in trainer.state.log_history
            if "eval_nll" in entry
        ],
        "held_out": 0 if validation is None else len(validation),
        "resumed_from_step": None if resumed is None else int(resumed.name.rpartition("-")[2]),
        "device": str(trainer.args.device),
        "bfloat16": bool(trainer.args.bf16),
    }
