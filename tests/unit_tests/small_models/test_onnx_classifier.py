from __future__ import annotations

import itertools
import json
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.load import dumps, loads
from tiny_models import POSITIONS, WORDS

from langchain_datashunt import PolicyMismatchError, RunnableDataShunt, ShuntPolicy
from langchain_datashunt.errors import InvalidInputError, MissingExtraError, SmallModelError
from langchain_datashunt.small_models import (
    OnnxClassifier,
    TransformersClassifier,
    class_names,
    export_onnx,
    onnx_export,
)
from langchain_datashunt.small_models.fast_tokens import load_fast_tokenizer
from langchain_datashunt.small_models.tokens import TextTokenizer, TokenBatch, load_tokenizer
from langchain_datashunt.types import SmallModel

RNG = np.random.default_rng(0)
TEXTS = [" ".join(RNG.choice(WORDS, size=int(length))) for length in RNG.integers(1, 30, size=23)]
LONG = " ".join(RNG.choice(WORDS, size=300))


@pytest.fixture(scope="module")
def tiny_onnx(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "tiny"
    export_onnx(TransformersClassifier(tiny_bert), folder)
    return folder


@pytest.fixture(scope="module")
def small(tiny_onnx: Path) -> OnnxClassifier:
    return OnnxClassifier(tiny_onnx, batch_size=4)


def copy_without(folder: Path, to: Path, *names: str, **changes: object) -> Path:
    """Copy a model folder without some files, and change its config.json."""
    shutil.copytree(folder, to)
    config = json.loads((to / "config.json").read_text()) | changes
    (to / "config.json").write_text(json.dumps(config))
    for name in names:
        (to / name).unlink()
    return to


def test_it_is_a_small_model_with_the_labels_of_the_exported_one(small: OnnxClassifier) -> None:
    assert isinstance(small, SmallModel)
    assert class_names(small) == ("negative", "neutral", "positive")


def test_it_answers_as_pytorch_does_whatever_the_shape_the_padding_and_the_cut(
    small: OnnxClassifier, tiny_bert: Path
) -> None:
    texts = [*TEXTS, LONG, "", "unseenword Ünïcode 色 😕"]
    by_torch = TransformersClassifier(tiny_bert, batch_size=7).predict_proba(texts)
    assert np.abs(small.predict_proba(texts) - by_torch).max() < 1e-5
    assert np.ptp(by_torch[:, 0]) > 0.1  # the texts do differ, so a lost order would show


def test_a_batch_answers_each_text_as_it_is_answered_alone(small: OnnxClassifier) -> None:
    alone = np.vstack([small.predict_proba([text]) for text in TEXTS])
    assert np.abs(small.predict_proba(TEXTS) - alone).max() < 1e-5


def test_no_text_gives_no_row_and_what_is_no_text_is_refused(small: OnnxClassifier) -> None:
    assert small.predict_proba([]).shape == (0, 3)
    with pytest.raises(InvalidInputError, match="input 1 is NoneType"):
        small.predict_proba(["good", None])  # type: ignore[list-item]


def test_the_settings_of_the_exported_classifier_are_kept(
    tiny_bert: Path, tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_the_same_graph(_: TransformersClassifier, folder: Path) -> None:  # settings are no part of it
        shutil.copy(tiny_onnx / "model.onnx", folder)

    monkeypatch.setattr(onnx_export, "_write_graph", write_the_same_graph)
    by_torch = TransformersClassifier(tiny_bert, truncation="head_tail", max_length=12, labels=["a", "b", "c"])
    exported = export_onnx(by_torch, tmp_path / "new" / "exported")
    assert (exported.truncation, exported.max_length, exported.classes_) == ("head_tail", 12, ("a", "b", "c"))
    assert np.abs(exported.predict_proba([LONG, *TEXTS]) - by_torch.predict_proba([LONG, *TEXTS])).max() < 1e-5
    assert exported.version != OnnxClassifier(tiny_onnx).version


def test_threads_and_batches_change_neither_answers_nor_version(tiny_onnx: Path, small: OnnxClassifier) -> None:
    other = OnnxClassifier(tiny_onnx, threads=1, batch_size=32)
    assert other.version == small.version
    assert np.abs(other.predict_proba(TEXTS) - small.predict_proba(TEXTS)).max() < 1e-5


@pytest.mark.parametrize(
    ("threads", "texts", "opened"),
    [(1, 20, [1]), (2, 1, [2]), (2, 20, [1]), (16, 8, [16])],  # 8 texts are too few for 16 threads to work alone
)
def test_enough_texts_are_shared_out_and_each_way_is_loaded_once(
    tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch, threads: int, texts: int, opened: list[int]
) -> None:
    import onnxruntime

    real, seen = onnxruntime.InferenceSession, []

    def noted(file: str, options: Any, **settings: Any) -> Any:
        seen.append(options.intra_op_num_threads)
        return real(file, options, **settings)

    monkeypatch.setattr(onnxruntime, "InferenceSession", noted)
    small = OnnxClassifier(tiny_onnx, threads=threads)
    with ThreadPoolExecutor(8) as callers:
        rows = list(callers.map(small.predict_proba, [TEXTS[:texts]] * 16))
    assert seen == opened
    assert all((each == rows[0]).all() for each in rows)


@pytest.mark.parametrize("failing", [0, 3])
def test_an_error_in_any_thread_reaches_the_caller(
    tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    small = OnnxClassifier(tiny_onnx, threads=3)
    small.predict_proba(TEXTS)
    loaded, passes = small._load(), itertools.count()

    def forward(batch: TokenBatch, threads: int) -> Any:
        if next(passes) == failing:
            raise IndexError("no such row")
        return loaded.forward(batch, threads)  # type: ignore[call-arg]

    monkeypatch.setattr(small, "_loaded", loaded._replace(forward=forward))
    with pytest.raises(IndexError, match="no such row"):
        small.predict_proba(TEXTS)


def test_pickle_and_langchain_carry_the_place_and_not_the_session(small: OnnxClassifier) -> None:
    small.predict_proba(TEXTS)
    pickled = pickle.dumps(small)
    assert len(pickled) < 2000
    written = dumps(small)
    for again in (
        pickle.loads(pickled),
        loads(written, allowed_objects=[OnnxClassifier], valid_namespaces=["langchain_datashunt"]),
    ):
        assert (again.predict_proba(TEXTS) == small.predict_proba(TEXTS)).all()


def test_serving_loads_neither_torch_nor_transformers(tiny_onnx: Path) -> None:
    code = (
        "import sys; from langchain_datashunt import OnnxClassifier, RunnableDataShunt; "
        "small = OnnxClassifier(sys.argv[1]); "
        "chain = RunnableDataShunt(small, threshold=0.0, answer=lambda each: each.label, large=lambda text: text); "
        "print(chain.invoke('a good film'), [name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    answer = subprocess.run(  # noqa: S603  this Python, our own lines
        [sys.executable, "-c", code, str(tiny_onnx)],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert answer.stdout.split()[1:] == ["[]"]


def tokenizers_of(folder: Path) -> list[TextTokenizer]:
    limits: dict[str, Any] = {"positions": 512, "max_length": 16, "truncation": "head_tail"}
    return [load_fast_tokenizer(folder, **limits), load_tokenizer(folder, **limits)]


@pytest.fixture(scope="module")
def both_tokenizers(tiny_onnx: Path) -> list[TextTokenizer]:
    return tokenizers_of(tiny_onnx)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=4))
def test_both_tokenizers_cut_any_text_alike(both_tokenizers: list[TextTokenizer], texts: list[str]) -> None:
    fast, slow = both_tokenizers
    assert fast.tokens([*texts, LONG]) == slow.tokens([*texts, LONG])
    assert (fast.pad_id, fast.pad_left, fast.prefix, fast.suffix) == (
        slow.pad_id,
        slow.pad_left,
        slow.prefix,
        slow.suffix,
    )


def test_the_limit_is_the_models_own_unless_another_is_given(tiny_onnx: Path) -> None:
    assert len(OnnxClassifier(tiny_onnx)._load().tokenizer.tokens([LONG])[0]) == POSITIONS
    assert len(OnnxClassifier(tiny_onnx, max_length=9)._load().tokenizer.tokens([LONG])[0]) == 9
    with pytest.raises(SmallModelError, match="more than the 40 positions"):
        OnnxClassifier(tiny_onnx, max_length=41).predict_proba(["good"])


def test_an_export_that_answers_otherwise_is_refused_and_leaves_nothing(
    tiny_bert: Path, tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_a_wrong_graph(_: TransformersClassifier, folder: Path) -> None:
        import onnx

        model = onnx.load(tiny_onnx / "model.onnx")
        (weight,) = (each for each in model.graph.initializer if each.name.endswith("classifier.weight"))
        shifted = onnx.numpy_helper.to_array(weight).copy()
        shifted[0] += 0.01
        weight.CopyFrom(onnx.numpy_helper.from_array(shifted, weight.name))
        onnx.save(model, folder / "model.onnx")

    monkeypatch.setattr(onnx_export, "_write_graph", write_a_wrong_graph)
    with pytest.raises(SmallModelError, match=r"answers otherwise: probabilities differ by up to 0\.00"):
        export_onnx(TransformersClassifier(tiny_bert), tmp_path / "exported")
    assert list(tmp_path.iterdir()) == []


def test_a_quantised_model_is_another_model_that_a_policy_of_the_first_refuses(
    tiny_onnx: Path, small: OnnxClassifier, tmp_path: Path
) -> None:
    from onnxruntime.quantization import quantize_dynamic

    folder = copy_without(tiny_onnx, tmp_path / "int8", "model.onnx")
    quantize_dynamic(tiny_onnx / "model.onnx", folder / "model.onnx")
    quantised = OnnxClassifier(folder)
    assert 1e-5 < np.abs(quantised.predict_proba(TEXTS) - small.predict_proba(TEXTS)).max() < 0.5
    policy = ShuntPolicy(classes=small.classes_, threshold=0.9, small_model_version=small.version)
    with pytest.raises(PolicyMismatchError, match="was fitted for small model 'OnnxClassifier-"):
        RunnableDataShunt(quantised, policy=policy, answer=str, large=lambda _: "large")


def test_what_else_is_asked_moves_no_answer_of_a_dynamically_quantised_model(tiny_onnx: Path, tmp_path: Path) -> None:
    from onnxruntime.quantization import quantize_dynamic

    folder = copy_without(tiny_onnx, tmp_path / "int8", "model.onnx")
    quantize_dynamic(tiny_onnx / "model.onnx", folder / "model.onnx")
    quantised = OnnxClassifier(folder)
    alone = np.concatenate([quantised.predict_proba([text]) for text in TEXTS])
    np.testing.assert_array_equal(quantised.predict_proba(TEXTS), alone)


def test_only_a_transformer_a_new_folder_and_float32_are_exported(tiny_bert: Path, tmp_path: Path) -> None:
    with pytest.raises(SmallModelError, match="only a TransformersClassifier is exported"):
        export_onnx(str(tiny_bert), tmp_path / "new")  # type: ignore[arg-type]
    with pytest.raises(SmallModelError, match="is there already"):
        export_onnx(TransformersClassifier(tiny_bert), tmp_path)
    with pytest.raises(SmallModelError, match="computes in bfloat16"):
        export_onnx(TransformersClassifier(tiny_bert, dtype="bfloat16"), tmp_path / "new")


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("model.onnx", r"holds no weights \(model.onnx\*\)"),
        ("tokenizer.json", "holds no tokenizer.json"),
        ("tokenizer_config.json", "cannot be read as JSON"),
        ("config.json", "cannot be read as JSON"),
    ],
)
def test_a_folder_that_lacks_a_file_is_refused(tiny_onnx: Path, tmp_path: Path, missing: str, said: str) -> None:
    folder = copy_without(tiny_onnx, tmp_path / "lacking", missing)
    with pytest.raises(SmallModelError, match=said):
        _ = OnnxClassifier(folder).version, OnnxClassifier(folder).predict_proba(["good"])


def test_a_file_that_is_no_model_is_refused(tiny_onnx: Path, tmp_path: Path) -> None:
    folder = copy_without(tiny_onnx, tmp_path / "broken")
    for content in (b"no model", b""):
        (folder / "model.onnx").write_bytes(content)
        with pytest.raises(SmallModelError, match="no OnnxClassifier can be loaded"):
            OnnxClassifier(folder).predict_proba(["good"])


def test_a_model_of_other_inputs_is_refused(tiny_onnx: Path, tmp_path: Path) -> None:
    import onnx

    folder = copy_without(tiny_onnx, tmp_path / "images")
    model = onnx.load(folder / "model.onnx")
    for node in model.graph.node:
        node.input[:] = ["pixels" if name == "attention_mask" else name for name in node.input]
    model.graph.input[1].name = "pixels"
    onnx.save(model, folder / "model.onnx")
    for texts in (["good"], TEXTS):
        with pytest.raises(SmallModelError, match=r"it takes \['input_ids', 'pixels'\]"):
            OnnxClassifier(folder).predict_proba(texts)


def test_a_model_to_which_padding_is_text_is_refused(tiny_onnx: Path, tmp_path: Path) -> None:
    import onnx

    folder = copy_without(tiny_onnx, tmp_path / "no-mask")
    model = onnx.load(folder / "model.onnx")
    del model.graph.input[1]
    model.graph.node.insert(0, onnx.helper.make_node("Identity", ["input_ids"], ["attention_mask"]))
    onnx.save(model, folder / "model.onnx")
    with pytest.raises(SmallModelError, match="without it, padding would change answers"):
        OnnxClassifier(folder).predict_proba(["good"])


@pytest.mark.parametrize("absent", ["onnxruntime", "tokenizers"])
def test_without_its_packages_it_names_the_extra(tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch, absent: str) -> None:
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(MissingExtraError, match=r"langchain-datashunt\[onnx\]"):
        OnnxClassifier(tiny_onnx).predict_proba(["good"])


def test_without_its_packages_the_export_names_the_extra(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingExtraError, match=r"langchain-datashunt\[onnx-export\]"):
        export_onnx(TransformersClassifier(tiny_bert), tmp_path / "exported")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bad", [{"threads": 0}, {"device": "cuda"}, {"batch_size": 0}])
def test_settings_out_of_range_are_refused(tiny_onnx: Path, bad: dict[str, Any]) -> None:
    with pytest.raises(SmallModelError, match=next(iter(bad))):
        OnnxClassifier(tiny_onnx, **bad)
