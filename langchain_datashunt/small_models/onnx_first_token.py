"""Leave out of an exported graph what nobody reads: a classifier of the first token needs one row of its last layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Axes = list[int | None]
"""For each input of an operation: the axis whose first entry is all that is needed of it, or None for the whole."""


def compute_first_token_only(graph: Any) -> int:
    """Cut a graph down to what a ``Gather`` of an axis' first entry needs, and return how many operations got smaller.

    A BERT-like classifier reads ``hidden[:, 0]``. Everything before that works on each token by itself, back to the
    last layer's attention, whose keys and values come from all tokens, but whose query need only be the first one's. So
    of the last layer only keys and values are computed for all. The result is the same up to rounding.

    Demands go from the end of the graph to its beginning: of a value of which every reader needs only the first entry
    along one axis, only that is computed, if the operation is known to keep that axis' entries apart; else it is
    computed whole, and cut once for those who need less.

    Args:
        graph: An ``onnx_ir.Graph``, changed in place. Of opset 17 or later. Values without a known shape stay whole.
    """
    needs: dict[Any, Axes] = {}
    smaller: dict[Any, int] = {}
    for node in reversed(graph):
        axis = _demand(node, needs)
        axes = None if axis is None else _axes_of_inputs(node, axis)
        if axis is not None and axes is not None:
            smaller[node] = axis
        needs[node] = _axes_of_first_entry(node) if axes is None else axes
    cuts: dict[tuple[Any, int], Any] = {}
    for node, axis_out in smaller.items():
        for place, axis in enumerate(needs[node]):
            value = node.inputs[place]
            if axis is not None and value.producer() not in smaller:
                if (value, axis) not in cuts:
                    cuts[value, axis] = _cut(graph, value, axis)
                node.replace_input_with(place, cuts[value, axis])
        _shrink(graph, node, axis_out)
    return len(smaller)


def _demand(node: Any, needs: dict[Any, Axes]) -> int | None:
    """Return the axis of which all readers of a node's only output need the first entry alone, else None."""
    if len(node.outputs) != 1 or node.outputs[0].is_graph_output():
        return None
    readers = {needs[reader][place] if reader in needs else None for reader, place in node.outputs[0].uses()}
    return readers.pop() if len(readers) == 1 else None


def _axes_of_first_entry(node: Any) -> Axes:
    """Return what a node that is computed whole needs: all, except of what only its first entry is gathered from."""
    whole: Axes = [None] * len(node.inputs)
    if _operation(node) == "Gather" and node.inputs[0].shape is not None:
        index = node.inputs[1].const_value
        if index is not None and index.size == 1 and not index.numpy().any():
            axis = _attribute(node, "axis", 0)
            whole[0] = axis % len(node.inputs[0].shape)
    return whole


def _axes_of_inputs(node: Any, axis: int) -> Axes | None:
    """Return what a node needs for the first entry along `axis` of its output; None if that is not known."""
    rule = _RULES.get(_operation(node))
    if rule is None or any(value is None or value.shape is None for value in (*node.inputs, *node.outputs)):
        return None
    return rule(node, axis)


def _of_one_input(node: Any, axis: int) -> Axes | None:  # noqa: ARG001  a rule takes both
    return [axis]


def _of_broadcast(node: Any, axis: int) -> Axes | None:
    shape = node.outputs[0].shape
    axes: Axes = []
    for value in node.inputs:
        own = axis - (len(shape) - len(value.shape))
        if own < 0 or value.shape[own] == 1:
            axes.append(None)  # the same for all entries
        elif _same(value.shape[own], shape[axis]):
            axes.append(own)
        else:
            return None
    return axes


def _of_normalisation(node: Any, axis: int) -> Axes | None:
    from_axis = _attribute(node, "axis", -1) % len(node.outputs[0].shape)
    return [axis, *[None] * (len(node.inputs) - 1)] if axis < from_axis else None


def _of_softmax(node: Any, axis: int) -> Axes | None:
    return [axis] if axis != _attribute(node, "axis", -1) % len(node.outputs[0].shape) else None


def _of_matrix_product(node: Any, axis: int) -> Axes | None:
    left, rank = node.inputs[0], len(node.outputs[0].shape)
    return [axis, None] if axis == rank - 2 and len(left.shape) == rank else None


def _of_transposition(node: Any, axis: int) -> Axes | None:
    rank = len(node.outputs[0].shape)
    return [_attribute(node, "perm", range(rank)[::-1])[axis]]


def _of_reshape(node: Any, axis: int) -> Axes | None:
    before, after = node.inputs[0].shape, node.outputs[0].shape
    kept = len(before) > axis and all(map(_same, before[: axis + 1], after[: axis + 1]))
    return [axis, None] if kept and all(isinstance(size, int) for size in after[axis + 1 :]) else None


_RULES: dict[str, Callable[[Any, int], Axes | None]] = {
    **dict.fromkeys(("Cast", "Erf", "Gelu", "Identity", "Neg", "Relu", "Sigmoid", "Sqrt", "Tanh"), _of_one_input),
    **dict.fromkeys(("Add", "Div", "Mul", "Pow", "Sub", "Where"), _of_broadcast),
    "LayerNormalization": _of_normalisation,
    "MatMul": _of_matrix_product,
    "Reshape": _of_reshape,
    "Softmax": _of_softmax,
    "Transpose": _of_transposition,
}
"""For operations that keep the entries of an axis apart: what their inputs need for the first entry of their output."""


def _same(size: Any, other: Any) -> bool:
    """Tell whether two sizes, numbers or names, are surely one; of two without a name nobody knows."""
    return bool(size == other) and (isinstance(size, int) or size.value is not None)


def _cut(graph: Any, value: Any, axis: int) -> Any:
    """Add a slice of a value, right where the value exists, and return what it gives."""
    import onnx_ir  # noqa: PLC0415  comes with onnxscript, an extra

    bounds = [_constant(graph, f"{value.name}_{name}", [at]) for name, at in (("from", 0), ("to", 1), ("axis", axis))]
    node = onnx_ir.node("Slice", [value, *bounds])
    cut = node.outputs[0]
    cut.name, cut.dtype, cut.shape = f"{value.name}_first", value.dtype, _first_of(value.shape, axis)
    if value.producer() is None:
        graph.insert_before(next(iter(graph)), node)
    else:
        graph.insert_after(value.producer(), node)
    return cut


def _shrink(graph: Any, node: Any, axis: int) -> None:
    """Write down the new shape of a node's output; a ``Reshape`` is told it too (0 keeps the size that comes in)."""
    output = node.outputs[0]
    if _operation(node) == "Reshape":
        sizes = [0] * (axis + 1) + list(output.shape[axis + 1 :])
        node.replace_input_with(1, _constant(graph, f"{output.name}_sizes", sizes))
        node.attributes.pop("allowzero", None)  # it would take 0 for a size
    output.shape = _first_of(output.shape, axis)


def _first_of(shape: Any, axis: int) -> Any:
    import onnx_ir  # noqa: PLC0415  comes with onnxscript, an extra

    return onnx_ir.Shape([1 if at == axis else size for at, size in enumerate(shape)])


def _constant(graph: Any, name: str, numbers: list[int]) -> Any:
    import onnx_ir  # noqa: PLC0415  comes with onnxscript, an extra

    value = onnx_ir.val(name, const_value=onnx_ir.tensor(numbers, dtype=onnx_ir.DataType.INT64, name=name))
    graph.register_initializer(value)
    return value


def _operation(node: Any) -> str:
    """Return the operation's name, "" if it is none of ONNX' own."""
    return str(node.op_type) if node.domain == "" else ""


def _attribute(node: Any, name: str, default: Any) -> Any:
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.value
