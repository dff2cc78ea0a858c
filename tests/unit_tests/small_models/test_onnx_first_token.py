from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from tiny_models import WORDS, save_tiny_classifier
from transformers import BertConfig, DistilBertConfig, PretrainedConfig, RobertaConfig

from langchain_datashunt.small_models import TransformersClassifier, export_onnx, onnx_export
from langchain_datashunt.small_models.onnx_first_token import compute_first_token_only

RNG = np.random.default_rng(0)
TEXTS = [" ".join(RNG.choice(WORDS, size=int(length))) for length in (1, 2, 5, 9, 29, 200)]
WIDTH, FLOATS = 4, onnx.TensorProto.FLOAT
WEIGHTS = {
    "square": RNG.normal(size=(WIDTH, WIDTH)).astype(np.float32),
    "row": RNG.normal(size=WIDTH).astype(np.float32),
    "half": np.array(0.5, dtype=np.float32),
    "heads": np.array([0, 0, 2, 2]),
    "joined": np.array([0, 0, WIDTH]),
    "first": np.array(0),
    "second": np.array(1),
    "one": np.array([1]),
}

# Name of a step: how many of the values so far it takes, and its operations, "<" between result and what it is made of.
STEPS: dict[str, tuple[int, list[str]]] = {
    "sum": (2, ["$ < Add $0 $1"]),
    "of all tokens": (2, ["$m < ReduceMean $0 one", "$ < Mul $1 $m"]),
    "layer": (1, ["$p < MatMul $0 square", "$b < Add $p row", "$ < Gelu $b"]),
    "normal": (1, ["$ < LayerNormalization:-1 $0 row"]),
    "normal over tokens": (1, ["$s < Mul $0 half", "$ < Softmax:1 $s"]),
    "attention": (
        2,
        [
            *("$h < Reshape $0 heads", "$q < Transpose:0,2,1,3 $h", "$k < Transpose:0,2,3,1 $h"),
            *("$g < Reshape $1 heads", "$v < Transpose:0,2,1,3 $g"),
            *("$s < MatMul $q $k", "$t < Mul $s half", "$w < Softmax:-1 $t", "$c < MatMul $w $v"),
            *("$j < Transpose:0,2,1,3 $c", "$ < Reshape $j joined"),
        ],
    ),
}


def attributes(operation: str, text: str) -> dict[str, Any]:
    numbers = [int(each) for each in text.split(",")] if text else []
    if operation == "Transpose":
        return {"perm": numbers}
    return {"axis": numbers[0]} if numbers else {}


def written(steps: list[tuple[str, int, int]], *, also_read: int, index: str) -> onnx_ir.Model:
    """Write a graph of the steps over values ``(batch, token, 4)``, of whose last it gives one token."""
    values, nodes = ["x"], []
    for number, (name, *places) in enumerate(steps):
        takes, operations = STEPS[name]
        result = f"v{number}"
        for line in operations:
            for place in range(takes):
                line = line.replace(f"${place}", values[places[place] % len(values)])  # noqa: PLW2901  a template
            output, _, operation, *inputs = line.replace("$", result).split()
            kind, _, text = operation.partition(":")
            nodes.append(helper.make_node(kind, inputs, [output], **attributes(kind, text)))
        values.append(result)
    nodes.append(helper.make_node("Gather", [values[-1], index], ["y"], axis=1))
    nodes.append(helper.make_node("Identity", [values[also_read % len(values)]], ["z"]))
    graph = helper.make_graph(
        nodes,
        "steps",
        [helper.make_tensor_value_info("x", FLOATS, ["b", "s", WIDTH])],
        [
            helper.make_tensor_value_info("y", FLOATS, ["b", WIDTH]),
            helper.make_tensor_value_info("z", FLOATS, ["b", "s", WIDTH]),
        ],
        [onnx.numpy_helper.from_array(value, name) for name, value in WEIGHTS.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return onnx_ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True))


def answers(model: onnx_ir.Model, x: Any) -> list[Any]:
    proto = onnx_ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    return list(onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": x}))


@given(
    steps=st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 9), st.integers(0, 9)), max_size=7),
    also_read=st.integers(0, 9),
    index=st.sampled_from(["first", "first", "second"]),
    shape=st.tuples(st.integers(1, 3), st.integers(2, 5)),
)
@settings(max_examples=150, deadline=None)
def test_the_answers_of_any_graph_stay(
    steps: list[tuple[str, int, int]], also_read: int, index: str, shape: tuple[int, int]
) -> None:
    model = written(steps, also_read=also_read, index=index)
    x = np.random.default_rng(0).normal(size=(*shape, WIDTH)).astype(np.float32)
    before = answers(model, x)
    smaller = compute_first_token_only(model.graph)
    for old, new in zip(before, answers(model, x), strict=True):
        assert np.abs(old - new).max() < 1e-4 * max(1, np.abs(old).max())
    if index == "second":
        assert smaller == 0


def sizes_of(model: onnx_ir.Model, operation: str) -> list[int]:
    return [node.outputs[0].shape[-2] for node in model.graph if node.op_type == operation]


def test_of_an_attention_only_keys_and_values_are_computed_for_all() -> None:
    layer = [("layer", 0, 0), ("attention", 1, 1), ("sum", 2, 1), ("normal", 3, 3), ("layer", 4, 4)]
    model = written(layer, also_read=0, index="first")
    # Cut are: scores, weights, context; the sum after it, the normalisation, and the three operations of the layer.
    assert compute_first_token_only(model.graph) == 12
    assert [size if isinstance(size, int) else "all" for size in sizes_of(model, "MatMul")] == ["all", 1, 1, 1]
    assert len([node for node in model.graph if node.op_type == "Slice"]) == 2  # the query, and what is added to it


@pytest.mark.parametrize("last", ["of all tokens", "normal over tokens"])
def test_what_mixes_tokens_is_computed_whole(last: str) -> None:
    model = written([("layer", 0, 0), (last, 1, 0)], also_read=0, index="first")
    before = len(list(model.graph))
    smaller = compute_first_token_only(model.graph)
    assert sizes_of(model, "MatMul") == [onnx_ir.SymbolicDim("s")]
    assert (smaller, len(list(model.graph)) - before) == ((1, 1) if last == "of all tokens" else (0, 0))


def test_a_value_that_somebody_else_reads_is_computed_whole() -> None:
    model = written([("layer", 0, 0)], also_read=1, index="first")
    assert compute_first_token_only(model.graph) == 0


def test_sizes_without_a_name_are_not_taken_for_one_another() -> None:
    model = written([("layer", 0, 0), ("sum", 1, 1)], also_read=0, index="first")
    for node in model.graph:
        for value in (*node.inputs, *node.outputs):
            if value.shape is not None and len(value.shape) == 3:
                value.shape = onnx_ir.Shape([None, None, WIDTH])
    assert compute_first_token_only(model.graph) == 0


SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        (BertConfig, SIZES),
        (DistilBertConfig, {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}),
        (RobertaConfig, SIZES),
    ],
)
def test_families_that_read_the_first_token_get_a_smaller_last_layer(
    kind: type[PretrainedConfig], sizes: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []

    def counted(graph: Any) -> int:
        counts.append(compute_first_token_only(graph))
        return counts[-1]

    monkeypatch.setattr(onnx_export, "compute_first_token_only", counted)
    save_tiny_classifier(tmp_path / "torch", kind, **sizes)
    by_torch = TransformersClassifier(tmp_path / "torch")
    exported = export_onnx(by_torch, tmp_path / "onnx")
    assert counts[0] > 15
    assert np.abs(exported.predict_proba(TEXTS) - by_torch.predict_proba(TEXTS)).max() < 1e-5
