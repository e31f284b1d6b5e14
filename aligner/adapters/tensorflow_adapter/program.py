"""What every TensorFlow model becomes here: one function, and its graph with variables frozen and calls inlined."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from functools import cached_property
from typing import Any

from aligner.errors import UnsupportedModelError
from aligner.records.array import Array
from aligner.records.dataclass import dataclass

_CALL = "StatefulPartitionedCall/"
"""What inlining puts before the names inside a function that a signature calls."""


@dataclass(frozen=True)
class Program:
    """A function of tensors.

    ``call`` runs the model as it is: arrays by input name → its outputs in order; None of a program that was widened to
    float64, which is its graph alone and takes the model's own inputs. ``inputs`` and ``outputs`` name
    tensors of ``graph_def``, inputs by the name under which they are fed. ``variables`` name constants of the graph
    that were variables, as the model's own code calls them; ``layers`` says of a layer's path what it is in Keras.
    """

    graph_def: Any
    call: Callable[[Mapping[str, Array]], list[Any]] | None
    inputs: Mapping[str, str]
    outputs: tuple[str, ...]
    output_names: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    layers: Mapping[str, Any] = field(default_factory=dict)
    keras: str | None = None
    """Keras's version where it is a Keras model."""
    notes: tuple[str, ...] = ()

    @cached_property
    def nodes(self) -> dict[str, Any]:
        """The graph's nodes by name."""
        return {node.name: node for node in self.graph_def.node}


def program_of(concrete: Any, **about: Any) -> Program:
    """A concrete function as a program. Raises UnsupportedModelError where its variables cannot be frozen."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    args, kwargs = concrete.structured_input_signature
    specs = [spec for spec in tf.nest.flatten((args, kwargs)) if isinstance(spec, tf.TypeSpec)]
    try:
        frozen = convert_variables_to_constants_v2(concrete, lower_control_flow=False, aggressive_inlining=True)
    except Exception as error:
        raise UnsupportedModelError(
            "TensorFlow cannot freeze the model's variables",
            found=f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:300]}",
            hint="graphs of up to 2 GiB can be looked into whose variables stay as they are while they run",
        ) from error
    graph_def = frozen.graph.as_graph_def()
    placeholders = [tensor.name for tensor in frozen.inputs]
    names = _input_names(specs, placeholders)

    def call(feeds: Mapping[str, Array]) -> list[Any]:
        given = iter([tf.constant(feeds[name], dtype=spec.dtype) for name, spec in zip(names, specs, strict=True)])
        filled = [next(given) if isinstance(spec, tf.TypeSpec) else spec for spec in tf.nest.flatten((args, kwargs))]
        positional, keywords = tf.nest.pack_sequence_as((args, kwargs), filled)
        found = tf.nest.flatten(concrete(*positional, **keywords))
        return [tensor for tensor in found if tensor is not None]

    return Program(
        graph_def=graph_def,
        call=call,
        inputs=dict(zip(names, placeholders, strict=True)),
        outputs=tuple(tensor.name for tensor in frozen.outputs),
        output_names=_output_names(concrete, len(frozen.outputs)),
        variables=_variables(concrete),
        **about,
    )


def _input_names(specs: list[Any], placeholders: list[str]) -> list[str]:
    """A spec's own name where it has one, the placeholder's otherwise."""
    names = [spec.name or "" for spec in specs]
    plain = [placeholder.rsplit(":", 1)[0] for placeholder in placeholders]
    if len(set(names)) < len(names) or "" in names:
        return plain
    return names


def _output_names(concrete: Any, count: int) -> tuple[str, ...]:
    """The keys of a dictionary of outputs; "" where the function gives none."""
    outputs = concrete.structured_outputs
    if isinstance(outputs, Mapping) and len(outputs) == count:
        return tuple(str(key) for key in sorted(outputs))  # as TensorFlow flattens it
    return ("",) * count


def _variables(concrete: Any) -> dict[str, str]:
    """Placeholder of a captured variable → the variable's name."""
    handles = {id(variable.handle): variable for variable in concrete.graph.variables}
    found = {}
    for outer, inner in concrete.graph.captures:
        variable = handles.get(id(outer))
        if variable is not None:
            found[inner.name.rsplit(":", 1)[0]] = str(variable.name).removesuffix(":0")
    return found


def tensor_name(node: str, place: int) -> str:
    """The id of a result: the node's name, numbered behind the first."""
    return node if place == 0 else f"{node}:{place}"


def shown_name(name: str) -> str:
    """A name without what inlining put before it."""
    return name.removeprefix(_CALL)
