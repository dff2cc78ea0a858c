"""The shunt drawn: the small step, and the large branch beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.graph import Graph, Node

from langchain_datashunt.routing.hard_branch import ChatModelInputs
from langchain_datashunt.routing.small_step import SmallStep

if TYPE_CHECKING:
    from langchain_datashunt.routing.engine import Routing
    from langchain_datashunt.routing.router import RunnableDataShunt


def shunt_graph(shunt: RunnableDataShunt, routing: Routing, config: RunnableConfig | None) -> Graph:
    """Return the graph of a bound shunt: both ways from the small step lead to the output."""
    graph = Graph()
    entry = graph.add_node(shunt.get_input_schema(config))
    small = graph.add_node(SmallStep(routing.decider))
    exit_ = graph.add_node(shunt.get_output_schema(config))
    graph.add_edge(entry, small)
    graph.add_edge(small, exit_, data="accepted", conditional=True)
    before_large = small
    if isinstance(routing.large_inputs, ChatModelInputs):
        before_large = graph.add_node(routing.large_inputs.prompt)
        graph.add_edge(small, before_large, data="deferred", conditional=True)
    first, last = _add_branch(graph, shunt, config)
    graph.add_edge(before_large, first, *(("deferred", True) if before_large is small else ()))
    graph.add_edge(last, exit_)
    return graph


def _add_branch(graph: Graph, shunt: RunnableDataShunt, config: RunnableConfig | None) -> tuple[Node, Node]:
    branch = shunt.large.get_graph(config)
    branch.trim_first_node()
    branch.trim_last_node()
    first, last = graph.extend(branch)
    if first is None or last is None:  # a branch of several starts or ends: shown as one node
        for node in branch.nodes.values():
            graph.remove_node(graph.nodes[node.id])
        node = graph.add_node(shunt.large)
        return node, node
    return first, last
