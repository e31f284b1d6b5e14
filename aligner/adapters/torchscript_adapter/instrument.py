"""A TorchScript archive whose forward also gives back its named tensors: no Python where it runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aligner.adapters.base import Instrumented, chosen
from aligner.adapters.torchscript_adapter.archive import MARK
from aligner.adapters.torchscript_adapter.taps import every_node
from aligner.adapters.torchscript_adapter.unfused import unfused
from aligner.errors import UnsupportedModelError, listing

STATEFUL = frozenset({"prim::SetAttr", "prim::CallMethod", "prim::fork"})


def instrument(path: Path, output: Path, observe: Sequence[str], *, trust: bool = False) -> Instrumented:
    """forward returns (what it returned, {name: tensor}), the inputs among them.

    Weights become constants of the graph, which keeps the names of its values. Raises UnsupportedModelError where
    forward changes the module.
    """
    import torch

    from aligner.adapters.torchscript_adapter.archive import load_script
    from aligner.adapters.torchscript_adapter.graph import read_graph

    script = load_script(path, trust=trust)
    module = None if isinstance(script, torch.jit.ScriptFunction) else script._c
    known = read_graph(unfused(script.inlined_graph), module)
    graph = unfused(script.inlined_graph)
    stateful = {node.kind() for node in every_node(graph)} & STATEFUL
    if stateful:
        raise UnsupportedModelError(
            f"the forward of {path} changes its module or calls what was not inlined",
            found=listing(sorted(stateful)),
            hint="trace the module after .eval(), and instrument that",
        )
    own = {out.debugName(): out for node in graph.nodes() for out in node.outputs()}
    tensors = [
        name for name in known.taps if name in own and name not in known.unasked and _is_tensor(own[name].type())
    ]
    shown = chosen(tensors, observe, path)
    if module is not None:
        inline_state(graph, module)
    fed = [value for value in graph.inputs() if _is_tensor(value.type())]
    copies = [_copied(graph, own[name], name in known.still) for name in shown]
    names = [*_argument_names(script, fed), *shown]
    _give_back(graph, names, [*fed, *copies])
    torch._C._jit_pass_lint(graph)
    function = torch._C._create_function_from_graph("forward", graph)
    torch.jit.save(function, str(output), _extra_files={MARK: json.dumps({"shown": list(shown)})})
    inside = len(known.taps) - len(tensors)
    notes = ["forward now returns a tuple: first what it returned before, then a dict of name → tensor"]
    if inside:
        notes.append(f"{inside} values inside branches and loops, and lists, are not shown")
    return Instrumented(tuple(shown), tuple(notes))


def _argument_names(script: Any, fed: Sequence[Any]) -> list[str]:
    """What forward calls its tensors, which is how they are fed."""
    schema = script.schema if not hasattr(script, "forward") else script.forward.schema
    names = [argument.name for argument in schema.arguments if _is_tensor(argument.type)]
    return names if len(names) == len(fed) else [value.debugName() for value in fed]


def _is_tensor(kind: Any) -> bool:
    return bool(kind.kind() == "TensorType")


def inline_state(graph: Any, module: Any) -> None:
    """Put the module's tensors and numbers in the place of what reads them from it."""
    import torch

    held = {next(iter(graph.inputs())).debugName(): module}
    for node in list(every_node(graph)):
        if node.kind() != "prim::GetAttr":
            continue
        owner = held.get(node.input().debugName())
        value = owner.getattr(node.s("name")) if owner is not None else None
        if node.output().type().kind() in {"ClassType", "InterfaceType"}:
            held[node.output().debugName()] = value
            continue
        graph.setInsertPoint(node)
        constant = value.detach() if isinstance(value, torch.Tensor) else value
        node.output().replaceAllUsesWith(graph.insertConstant(constant))
    for node in reversed([node for node in every_node(graph) if node.kind() == "prim::GetAttr"]):
        node.destroy()
    graph.eraseInput(0)


def _copied(graph: Any, value: Any, still: bool) -> Any:
    """The value, or a copy of it made at once where something writes to its memory later."""
    if still:
        return value
    node = value.node()
    none = graph.create("prim::Constant", [], 1)
    none.output().setType(_none())
    none.insertAfter(node)
    clone = graph.create("aten::clone", [value, none.output()], 1)
    clone.insertAfter(none)
    return clone.output()


def _none() -> Any:
    import torch

    return torch._C.NoneType.get()


def _give_back(graph: Any, names: Sequence[str], values: Sequence[Any]) -> None:
    """(what was returned, {name: value})."""
    import torch

    graph.setInsertPoint(graph.return_node())
    entries = [each for name, value in zip(names, values, strict=True) for each in (graph.insertConstant(name), value)]
    tensor = torch._C.TensorType.get()
    shown = graph.create("prim::DictConstruct", entries, 1)
    shown.output().setType(torch._C.DictType(torch._C.StringType.get(), tensor))
    graph.insertNode(shown)
    returned = list(graph.outputs())
    both = graph.create("prim::TupleConstruct", [*returned, shown.output()], 1)
    both.output().setType(torch._C.TupleType([*(value.type() for value in returned), shown.output().type()]))
    graph.insertNode(both)
    for _ in returned:
        graph.eraseOutput(0)
    graph.registerOutput(both.output())
