"""What an exported program takes, and how flat arrays become its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aligner.adapters.pytorch_adapter.signature import ForwardSignature, Parameter
from aligner.adapters.pytorch_adapter.tensors import to_array
from aligner.adapters.torch_quantization import dtype_word
from aligner.records.dataclass import dataclass
from aligner.records.graph import InputSpec, Shape


@dataclass(frozen=True, slots=True)
class ProgramSignature(ForwardSignature):
    """Inputs go by the names of the program's placeholders; those that export made constants are not asked for."""

    leaves: tuple[tuple[str, Any], ...] = ()
    """(name, constant) of every leaf of the arguments, in order."""
    structure: Any = None

    def call(self, tensors: Mapping[str, Any], module: Any = None) -> tuple[list[Any], dict[str, Any]]:
        """The arguments as they were nested when the program was exported."""
        del module  # its own arguments are known
        from torch.utils._pytree import tree_unflatten

        flat = [
            (tensors[name].item() if self.parameters[name].scalar else tensors[name]) if name in tensors else constant
            for name, constant in self.leaves
        ]
        positional, keywords = tree_unflatten(flat, self.structure)
        return list(positional), dict(keywords)


def read_program(program: Any) -> ProgramSignature:
    """Names, shapes and dtypes that a program declares."""
    from torch.export.graph_signature import ConstantArgument, InputKind

    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    parameters: dict[str, Parameter] = {}
    leaves: list[tuple[str, Any]] = []
    for spec in program.graph_signature.input_specs:
        if spec.kind != InputKind.USER_INPUT:
            continue
        name = spec.arg.name
        if isinstance(spec.arg, ConstantArgument):
            leaves.append((name, spec.arg.value))
            continue
        leaves.append((name, None))
        parameters[name] = _parameter(name, values.get(name))
    return ProgramSignature(parameters, open=False, leaves=tuple(leaves), structure=program.call_spec.in_spec)


def _parameter(name: str, value: Any) -> Parameter:
    if hasattr(value, "shape"):
        return Parameter(InputSpec(name, shape_of(value), dtype_word(value)), declared=True)
    word = "float64" if "Float" in type(value).__name__ else "int64"
    return Parameter(InputSpec(name, (), word), declared=True, scalar=True)


def shape_of(value: Any) -> Shape:
    """Sizes, None for those that vary."""
    return tuple(size if isinstance(size, int) else None for size in value.shape)


def example_of(program: Any, signature: ProgramSignature) -> dict[str, Any] | None:
    """The inputs that the program was exported with, where it holds them."""
    from torch.utils._pytree import tree_leaves

    given = program.example_inputs
    if given is None:
        return None
    leaves = tree_leaves(given)
    if len(leaves) != len(signature.leaves):
        return None
    named = {
        name: leaf for leaf, (name, _) in zip(leaves, signature.leaves, strict=True) if name in signature.parameters
    }
    if not all(hasattr(leaf, "shape") for leaf in named.values()):
        return None
    return {name: to_array(leaf) for name, leaf in named.items()}
