"""The main subgraph of a TFLite model as the framework-neutral graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from types import MappingProxyType

from aligner.adapters.tflite_adapter.attributes import Surroundings, attributes_of
from aligner.adapters.tflite_adapter.bias import steps_of_biases
from aligner.adapters.tflite_adapter.constants import load_constant
from aligner.adapters.tflite_adapter.kinds import kind_of
from aligner.adapters.tflite_adapter.schema import NO_TENSOR, Model, Operator, Subgraph, Tensor, element_count
from aligner.errors import ModelError, listing
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph, InputSpec, Node, Quantization, Shape, Signature, Value, Weight

_INTANGIBLE = frozenset({"resource", "variant"})
"""Types of handles: nothing that could be looked at."""
_OPERAND_LIMIT = 4096
"""Elements of a constant that says how; a larger one is a weight and is not read for that."""


@dataclass(frozen=True, slots=True)
class Naming:
    """Ids of the main subgraph's tensors, by tensor index, and what part each tensor plays."""

    ids: tuple[str, ...]
    """"" for handles of resources, which are no values."""
    indices: Mapping[str, int]
    constants: frozenset[int]
    computed: tuple[int, ...]
    """Tensors that an operator computes, in execution order."""
    producer: Mapping[int, int]
    """Tensor index → index of the operator that computes it."""


def name_tensors(subgraph: Subgraph) -> Naming:
    """Give each tensor an id: its name where that is unique, else "name#index"."""
    names = Counter(tensor.name for tensor in subgraph.tensors)
    producer: dict[int, int] = {}
    for operator in subgraph.operators:
        for index in operator.outputs:
            if index != NO_TENSOR:
                producer.setdefault(index, operator.index)
    ids: list[str] = []
    taken = {name for name, count in names.items() if count == 1}
    for tensor in subgraph.tensors:
        if tensor.dtype in _INTANGIBLE:
            ids.append("")
            continue
        name = tensor.name
        if not name or names[name] > 1:
            name = f"{name}#{tensor.index}"
            while name in taken:
                name += f"#{tensor.index}"
            taken.add(name)
        ids.append(name)
    fed = set(subgraph.inputs)
    constants = frozenset(
        tensor.index
        for tensor in subgraph.tensors
        if ids[tensor.index] and tensor.index not in producer and tensor.index not in fed and _is_constant(tensor)
    )
    computed = tuple(index for index in producer if ids[index] and index not in fed)
    indices = MappingProxyType({name: index for index, name in enumerate(ids) if name})
    return Naming(tuple(ids), indices, constants, computed, MappingProxyType(producer))


def _is_constant(tensor: Tensor) -> bool:
    # A constant without elements has no buffer. A variable counts as the constant that each run starts from.
    return tensor.content is not None or tensor.variable or element_count(tensor.shape) == 0


def declared_shape(tensor: Tensor) -> Shape | None:
    """The shape as far as it is known before running; None where not even the rank is."""
    if not tensor.ranked:
        return None
    signature = tensor.signature if len(tensor.signature) == len(tensor.shape) else tensor.shape
    return tuple(None if size < 0 else size for size in signature)


def build_graph(model: Model, naming: Naming, shapes: Mapping[int, Shape] | None = None) -> Graph:
    """The graph; ``shapes`` replaces declared shapes by those of an actual run, by tensor index."""
    main = model.main
    known = {tensor.index: declared_shape(tensor) for tensor in main.tensors}
    for index in naming.constants:
        known[index] = main.tensors[index].shape
    known.update(shapes or {})
    around = Surroundings(known.get, lru_cache(maxsize=256)(partial(_small_constant, model, naming)))
    handles, steps = _handles(main), steps_of_biases(main)
    aliases = _aliases(model)
    return Graph(
        framework="tflite",
        nodes=tuple(_node(operator, naming, around, handles) for operator in main.operators),
        values=MappingProxyType(
            {
                naming.ids[tensor.index]: _value(tensor, naming, known[tensor.index], aliases)
                for tensor in main.tensors
                if naming.ids[tensor.index] and tensor.index not in naming.constants
            }
        ),
        weights=MappingProxyType(
            {naming.ids[index]: _weight(model, main.tensors[index], steps) for index in sorted(naming.constants)}
        ),
        inputs=_ids(main.inputs, naming),
        outputs=_ids(main.outputs, naming),
        channels="last",
        notes=notes_of(model),
    )


def _ids(indices: Iterable[int], naming: Naming) -> tuple[str, ...]:
    return tuple(naming.ids[index] for index in indices if naming.ids[index])


def _small_constant(model: Model, naming: Naming, index: int) -> Array | None:
    if index not in naming.constants or element_count(model.main.tensors[index].shape) > _OPERAND_LIMIT:
        return None
    try:
        return load_constant(model.data, model.main.tensors[index])
    except ModelError:
        return None


def _handles(subgraph: Subgraph) -> dict[int, str]:
    """Resource tensor → name of the variable that it stands for."""
    found: dict[int, str] = {}
    for operator in subgraph.operators:
        name = operator.options.get("sharedName")
        if isinstance(name, bytes) and operator.outputs:
            found[operator.outputs[0]] = name.decode("utf-8", errors="replace")
    return found


def _node(operator: Operator, naming: Naming, around: Surroundings, handles: Mapping[int, str]) -> Node:
    inputs = tuple("" if index == NO_TENSOR else naming.ids[index] for index in operator.inputs)
    outputs = tuple(naming.ids[index] for index in operator.outputs if index != NO_TENSOR and naming.ids[index])
    attributes = attributes_of(operator, around)
    variable = next((handles[index] for index in operator.inputs if index in handles), None)
    if variable is not None:
        attributes = MappingProxyType({**attributes, "variable": variable})
    return Node(
        index=operator.index,
        name=outputs[0] if outputs else f"{operator.op}#{operator.index}",
        op=operator.op,
        kind=kind_of(operator.op, custom=operator.custom),
        inputs=inputs,
        outputs=outputs,
        weights=tuple(naming.ids[index] for index in operator.inputs if index in naming.constants),
        attributes=attributes,
    )


def _value(tensor: Tensor, naming: Naming, shape: Shape | None, aliases: Mapping[int, tuple[str, ...]]) -> Value:
    return Value(
        id=naming.ids[tensor.index],
        name=tensor.name,
        shape=shape,
        dtype=tensor.dtype,
        index=tensor.index,
        quantization=tensor.quantization,
        aliases=aliases.get(tensor.index, ()),
    )


def _weight(model: Model, tensor: Tensor, steps: Mapping[int, Quantization]) -> Weight:
    return Weight(
        name=tensor.name,
        shape=tensor.shape,
        dtype=tensor.dtype,
        load=partial(_load, model.data, tensor),
        quantization=steps.get(tensor.index, tensor.quantization),
        index=tensor.index,
    )


def _load(data: bytes, tensor: Tensor) -> Array:
    return load_constant(data, tensor)


def _aliases(model: Model) -> dict[int, tuple[str, ...]]:
    found: dict[int, tuple[str, ...]] = {}
    for signature in model.signatures:
        if signature.subgraph == 0:
            for name, index in (*signature.inputs.items(), *signature.outputs.items()):
                if name != model.main.tensors[index].name and name not in found.get(index, ()):
                    found[index] = (*found.get(index, ()), name)
    return found


def signature_of(model: Model, naming: Naming) -> Signature:
    """The inputs and outputs of the main subgraph."""
    tensors = (model.main.tensors[index] for index in model.main.inputs if naming.ids[index])
    return Signature(
        inputs=tuple(
            InputSpec(naming.ids[tensor.index], declared_shape(tensor), tensor.dtype, quantization=tensor.quantization)
            for tensor in tensors
        ),
        outputs=_ids(model.main.outputs, naming),
    )


def input_names(model: Model, naming: Naming) -> dict[str, int]:
    """Every name under which an input may be fed: tensor names and the exporter's signature names."""
    names = {
        name: index
        for signature in model.signatures
        if signature.subgraph == 0
        for name, index in signature.inputs.items()
        if index in model.main.inputs
    }
    names.update({naming.ids[index]: index for index in model.main.inputs if naming.ids[index]})
    return names


def notes_of(model: Model) -> tuple[str, ...]:
    """What a reader should know of the file as a whole."""
    notes = []
    if len(model.subgraphs) > 1:
        inner = [f'{n} "{s.name}"' if s.name else str(n) for n, s in enumerate(model.subgraphs) if n]
        notes.append(
            f"The model has {len(model.subgraphs)} subgraphs; only the main one is looked into, "
            f"the others ({listing(inner)}) run inside its operators or under other signatures."
        )
    elsewhere = [signature.key for signature in model.signatures if signature.subgraph != 0]
    if elsewhere:
        notes.append(f"Signatures that start in other subgraphs are not run: {listing(elsewhere)}.")
    if any(operator.op == "VAR_HANDLE" for operator in model.main.operators):
        notes.append("The model keeps state in variables; every run starts from their initial values.")
    return tuple(notes)
