"""Walk an inlined TorchScript graph in order of execution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from aligner.adapters.torchscript_adapter.bindings import Bindings
from aligner.adapters.torchscript_adapter.operands import (
    LIST_CHANGES,
    UNKNOWN,
    Draft,
    Items,
    Produced,
    Ref,
    Submodule,
    evaluate,
    holds_tensors,
    is_module,
    is_tensor,
    leaves,
)
from aligner.adapters.torchscript_adapter.ops import attributes_of, kind_of_node, schema_of, scope_of, source_of
from aligner.adapters.torchscript_adapter.taps import every_node
from aligner.adapters.torchscript_adapter.weights import WeightTable
from aligner.operations.kinds import LAYOUT


class Reader:
    """Drafts of all nodes that compute tensors; branches that constants decide are followed, not listed."""

    def __init__(self, graph: Any, module: Any) -> None:
        self.graph = graph
        self.weights = WeightTable(module)
        self.names = Bindings(graph)
        self.drafts: list[Draft] = []
        self.inputs: list[str] = []
        self.numbers: set[str] = set()
        """Tensors that are numbers to PyTorch ("wrapped"), and what comes of such alone: no tap can hold them."""
        self.result: Ref = None
        self._assigned = _assigned_attributes(graph)
        self._handlers: dict[str, Callable[[Any], None]] = {
            "prim::Constant": self._constant,
            "prim::ConstantMKLDNNTensor": self._constant,
            "prim::GetAttr": self._get_attribute,
            "prim::SetAttr": self._set_attribute,
            "prim::ListConstruct": self._construct,
            "prim::TupleConstruct": self._construct,
            "prim::DictConstruct": self._construct_dict,
            "prim::TupleUnpack": self._unpack,
            "prim::ListUnpack": self._unpack,
            "prim::TupleIndex": self._index,
            "aten::__getitem__": self._index,
            "prim::unchecked_cast": self._pass_on,
            "prim::unchecked_unwrap_optional": self._pass_on,
            "aten::_unwrap_optional": self._pass_on,
            **dict.fromkeys(LIST_CHANGES, self._change),
            "prim::If": self._branch,
            "prim::Loop": self._loop,
            "prim::RaiseException": self._skip,
            "prim::Uninitialized": self._skip,
        }

    def read(self) -> None:
        """Walk the whole graph, once."""
        inputs = list(self.graph.inputs())
        if self.weights.module is not None:
            self.names.bind(inputs.pop(0), Submodule("", self.weights.module))
        for value in inputs:
            self._graph_input(value)
        self._walk(self.graph)
        returned = [self.names.ref(value) for value in self.graph.outputs()]
        self.result = self._stable(returned[0] if len(returned) == 1 else Items(returned))

    def _graph_input(self, value: Any) -> None:
        if value.type().kind() == "TupleType" and holds_tensors(value.type()):
            name = value.debugName()
            elements: list[Ref] = [f"{name}.{index}" for index in range(len(value.type().containedTypes()))]
            self.names.bind(value, Items(elements))
            self.inputs += [str(element) for element in elements]
        else:
            self.inputs.append(self.names.enter(value))
            if not is_tensor(value.type()) and not holds_tensors(value.type()):
                self.names.bind(value, None)

    def _stable(self, ref: Ref) -> Ref:
        """An output whose memory is written after it was computed is known only at the end."""
        if isinstance(ref, Items):
            return Items([self._stable(element) for element in ref.elements], exact=ref.exact, keys=ref.keys)
        if isinstance(ref, str) and (ref in self.weights.records or self.names.written_later(ref)):
            return Items([ref], exact=False)
        return ref

    def _walk(self, block: Any) -> None:
        for node in block.nodes():
            self.names.time += 1
            self._handlers.get(node.kind(), self._operation)(node)

    def _skip(self, node: Any) -> None:
        """Nothing comes out of it."""

    def _draft(self, node: Any, inputs: Sequence[str]) -> Draft:
        kind = kind_of_node(node, self.names.known)
        draft = Draft(node.kind(), kind, list(inputs), [], scope=scope_of(node), source=source_of(node))
        self.drafts.append(draft)
        return draft

    def _produced(self, outputs: Sequence[Any], draft: Draft) -> None:
        """What a node computes: tensors, and containers whose elements will be added as they are taken out."""
        for output in outputs:
            if is_tensor(output.type()):
                self.names.made(output, draft)
            elif holds_tensors(output.type()):
                self.names.bind(output, Produced(draft))

    # constants and attributes

    def _constant(self, node: Any) -> None:
        output = node.output()
        if is_tensor(output.type()):
            self.names.made(output, self._draft(node, ()))
            self.weights.add(output.debugName(), node.t("value"), attribute=False)
            if isinstance(output.toIValue(), int | float | complex):
                self.numbers.add(output.debugName())
        elif holds_tensors(output.type()) and node.hasAttribute("value"):
            self.names.bind(output, self._stored(output.debugName(), output.toIValue()))
        else:
            self.names.bind(output, None, output.toIValue() if node.hasAttribute("value") else None)

    def _get_attribute(self, node: Any) -> None:
        owner, output = self.names.ref(node.input()), node.output()
        if not isinstance(owner, Submodule):
            self._operation(node)
            return
        name = node.s("name")
        path = owner.join(name)
        if is_module(output.type()):
            self.names.bind(output, Submodule(path, owner.module.getattr(name)))
        elif (node.input().type().qualified_name(), name) in self._assigned:
            self._state(node, path)
        elif is_tensor(output.type()) or holds_tensors(output.type()):
            if path not in self.names.attributes:
                self.names.attributes[path] = self._stored(path, owner.module.getattr(name))
            ref = self.names.attributes[path]
            self.names.bind(output, ref, None if ref is None else UNKNOWN)
        else:
            self.names.bind(output, None, owner.module.getattr(name))

    def _state(self, node: Any, path: str) -> None:
        """An attribute that forward also sets: what it holds depends on the run."""
        output, held = node.output(), self.names.attributes.get(path)
        if is_tensor(output.type()):
            draft = self._draft(node, tuple(leaves(held)))
            draft.scope = path.rpartition(".")[0] or None
            draft.attributes["name"] = path
            self.names.made(output, draft)
        elif isinstance(held, Items):
            self.names.bind(output, held)

    def _set_attribute(self, node: Any) -> None:
        owner, value = node.inputs()
        module = self.names.ref(owner)
        if isinstance(module, Submodule):
            self.names.attributes[module.join(node.s("name"))] = self.names.ref(value)

    def _stored(self, path: str, held: Any) -> Ref:
        """Turn what an attribute or constant holds into weights."""
        if isinstance(held, list | tuple):
            listed: list[Ref] = [self._stored(f"{path}.{index}", item) for index, item in enumerate(held)]
            return Items(listed, self.names.block)
        if isinstance(held, dict):
            stored: list[Ref] = [self._stored(f"{path}.{key}", item) for key, item in held.items()]
            return Items(stored, self.names.block, keys=tuple(held))
        return self.weights.add(path, held) if hasattr(held, "data_ptr") else None

    # containers

    def _construct(self, node: Any) -> None:
        inputs, output = list(node.inputs()), node.output()
        if holds_tensors(output.type()):
            self.names.bind(output, Items([self.names.ref(value) for value in inputs], self.names.block))
        else:
            self.names.bind(output, None, [self.names.known(value) for value in inputs])

    def _construct_dict(self, node: Any) -> None:
        inputs = list(node.inputs())
        keys = tuple(self.names.known(value) for value in inputs[0::2])
        exact = not any(key is UNKNOWN for key in keys)
        elements = [self.names.ref(value) for value in inputs[1::2]]
        self.names.bind(node.output(), Items(elements, self.names.block, exact=exact, keys=keys))

    def _unpack(self, node: Any) -> None:
        container, outputs = self.names.ref(node.input()), list(node.outputs())
        known = self.names.known(node.input())
        if isinstance(container, Items) and container.exact and len(container.elements) == len(outputs):
            for value, output, element in zip(
                _constructed(node, len(outputs)), outputs, container.elements, strict=True
            ):
                self.names.bind(output, element, UNKNOWN if value is None else self._plain(value))
        elif isinstance(known, list | tuple) and len(known) == len(outputs):
            for output, item in zip(outputs, known, strict=True):
                self.names.bind(output, None, item)
        else:
            self._take_out(node, container)

    def _plain(self, value: Any) -> Any:
        """A known number, without the stand-in for tensors."""
        known = self.names.known(value)
        return UNKNOWN if known is Ellipsis else known

    def _index(self, node: Any) -> None:
        inputs = list(node.inputs())
        container, key = self.names.ref(inputs[0]), self.names.known(inputs[1])
        if isinstance(container, Items) and container.exact and key is not UNKNOWN:
            try:
                position = container.keys.index(key) if container.keys is not None else key
                self.names.bind(node.output(), container.elements[position])
            except (IndexError, ValueError, TypeError):
                self._take_out(node, container)
        elif is_tensor(node.output().type()) or holds_tensors(node.output().type()):
            self._take_out(node, container)
        else:
            self.names.bind(node.output(), None, evaluate(node.kind(), [self.names.known(value) for value in inputs]))

    def _take_out(self, node: Any, container: Ref) -> None:
        """Elements of a list that an op made belong to that op; of another unknown list, to a node of their own."""
        if isinstance(container, Produced):
            self._produced(list(node.outputs()), self._current(container.draft))
        elif any(is_tensor(output.type()) or holds_tensors(output.type()) for output in node.outputs()):
            draft = self._draft(node, tuple(leaves(container)))
            draft.kind = "identity"
            draft.view = True
            self._produced(list(node.outputs()), draft)

    def _current(self, draft: Draft) -> Draft:
        """The node that made a container, or its like at this place in the order where others came between."""
        if self.drafts[-1] is not draft:
            draft = replace(draft, outputs=[], inputs=list(draft.inputs), attributes=dict(draft.attributes))
            self.drafts.append(draft)
        return draft

    def _pass_on(self, node: Any) -> None:
        source, output = next(node.inputs()), node.output()
        ref = self.names.ref(source)
        if isinstance(ref, Produced) and is_tensor(output.type()):
            self.names.made(output, self._current(ref.draft))
        elif ref is None and is_tensor(output.type()):
            self.names.made(output, self._draft(node, ()))
        else:
            self.names.share(output, source)

    def _change(self, node: Any) -> None:
        inputs = list(node.inputs())
        items = self.names.ref(inputs[0])
        if isinstance(items, Items):
            refs = [self.names.ref(value) for value in inputs]
            items.change(node.kind(), [self.names.known(value) for value in inputs], refs, self.names.block)
        else:
            self.names.forget(inputs[0])
        for output in node.outputs():
            if output.type().kind() == inputs[0].type().kind():  # append and its like answer the list
                self.names.bind(output, items)
            else:
                self._take_out(node, items)

    # nodes that compute

    def _operation(self, node: Any) -> None:
        inputs, outputs = list(node.inputs()), list(node.outputs())
        self._disturb(node, inputs)
        if not any(is_tensor(output.type()) or holds_tensors(output.type()) for output in outputs):
            for output in outputs:
                known = evaluate(node.kind(), [self.names.known(value) for value in inputs])
                self.names.bind(output, None, known)
            return
        schema = schema_of(node)
        operands = self._operands(inputs, schema.optional_tensors)
        draft = self._draft(node, operands)
        draft.view = schema.views
        weight = self.weights.shape(operands[1]) if len(operands) > 1 else None
        draft.attributes = attributes_of(node, self.names.known, weight)
        if node.kind() in ("aten::index", "aten::index_put", "aten::index_put_"):
            draft.attributes |= self._brackets(inputs[1])
        written = [out for operand in operands for out in self.names.stale(operand)]
        if written:
            draft.attributes["stale"] = True
            if draft.kind in LAYOUT:  # what is moved is no longer what the operand's node made of it
                draft.kind = "scatter"
                draft.inputs += dict.fromkeys(written)
        if node.kind().startswith("aten::unsafe_"):  # unsafe_chunk, unsafe_split: autograd trusts, memory is shared
            self.names.undeclared += [*inputs[:1], *outputs]
        self._produced(outputs, draft)
        if operands and self.numbers.issuperset(operands):
            self.numbers.update(draft.outputs)
            draft.kind = "constant"
        if schema.writes is not None:
            self.names.written(inputs[schema.writes], draft)

    def _brackets(self, indices: Any) -> dict[str, str]:
        """The index as eager modules say it: "tensor" where one stands, ":" for an axis that is left whole."""
        items = self.names.ref(indices)
        if not isinstance(items, Items) or not items.exact:
            return {}
        return {"index": ", ".join(":" if element is None else "tensor" for element in items.elements)}

    def _operands(self, inputs: Sequence[Any], optional: frozenset[int]) -> list[str]:
        operands: list[str] = []
        for index, value in enumerate(inputs):
            found = list(leaves(self.names.ref(value)))
            operands += found if found or index not in optional else [""]
        while operands and not operands[-1]:
            operands.pop()
        return operands

    def _disturb(self, node: Any, inputs: Sequence[Any]) -> None:
        """A list that a call may change is no longer known element by element; PyTorch's own ops leave it alone."""
        if not node.kind().startswith(("aten::", "quantized::")):
            for value in inputs:
                if value.type().kind() in ("ListType", "DictType"):
                    self.names.forget(value)

    # control flow

    def _branch(self, node: Any) -> None:
        decided = self.names.known(node.input())
        blocks = list(node.blocks())
        if isinstance(decided, bool):
            taken = blocks[0 if decided else 1]
            self._walk(taken)
            for output, value in zip(node.outputs(), taken.outputs(), strict=True):
                self.names.share(output, value)
            return
        returned: list[Ref] = []
        for block in blocks:
            with self.names.branch():
                self._walk(block)
                returned += [self.names.ref(value) for value in block.outputs()]
        self._join(node, returned)

    def _loop(self, node: Any) -> None:
        """A carried name stands for what enters the loop: that is where the data comes from in the first round."""
        body = next(node.blocks())
        _, _, *initial = node.inputs()
        _, *carried = body.inputs()
        refs = [self.names.ref(value) for value in initial]
        for parameter, ref in zip(carried, refs, strict=True):
            if isinstance(ref, Items):
                ref.exact = False
            if ref is not None:
                self.names.bind(parameter, ref)
        for changing in every_node(body):
            if changing.kind() in LIST_CHANGES:  # in the next round, also for what stands before it
                self.names.forget(next(changing.inputs()))
        with self.names.loop():
            self._walk(body)
            _, *again = body.outputs()
            refs += [self.names.ref(value) for value in again]
        self._join(node, refs)

    def _join(self, node: Any, refs: Sequence[Ref]) -> None:
        """List the If or Loop itself where tensors leave it, behind what is in it."""
        self.names.time += 1
        if any(is_tensor(value.type()) or holds_tensors(value.type()) for value in node.outputs()):
            inputs = dict.fromkeys(leaf for ref in refs for leaf in leaves(ref))
            self._produced(list(node.outputs()), self._draft(node, tuple(inputs)))


def _constructed(node: Any, count: int) -> list[Any]:
    """The operands of the ``prim::TupleConstruct`` that a node unpacks, as far as there is one."""
    made = node.input().node()
    inputs = list(made.inputs()) if made.kind() == "prim::TupleConstruct" else []
    return inputs if len(inputs) == count else [None] * count


def _assigned_attributes(graph: Any) -> set[tuple[str, str]]:
    """(class, attribute) of everything that forward sets."""
    return {
        (next(node.inputs()).type().qualified_name(), node.s("name"))
        for node in every_node(graph)
        if node.kind() == "prim::SetAttr"
    }
