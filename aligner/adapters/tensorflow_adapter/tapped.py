"""A program's graph with a tap behind every tensor: what is computed can be fetched, what consumers see can be fed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aligner.adapters.tensorflow_adapter.dataflow import Dataflow
from aligner.errors import ModelExecutionError
from aligner.records.array import Array

_TAP = "aligner_tap"


class TappedGraph:
    """One graph for plain, observed and injected runs, none of it rewritten by TensorFlow's optimisers."""

    def __init__(self, flow: Dataflow) -> None:
        import tensorflow as tf

        self._taps = {
            tensor.name: f"{_TAP}/{number}:0" for number, tensor in enumerate([*flow.fed.values(), *flow.results()])
        }
        graph = tf.Graph()
        with graph.as_default():
            tf.graph_util.import_graph_def(self._definition(flow), name="")
        rewriting = tf.compat.v1.ConfigProto()
        rewriting.graph_options.optimizer_options.opt_level = -1  # L0: as it stands
        rewriting.graph_options.rewrite_options.disable_meta_optimizer = True
        rewriting.device_count["GPU"] = 0
        self._session = tf.compat.v1.Session(graph=graph, config=rewriting)

    def _definition(self, flow: Dataflow) -> Any:
        import tensorflow as tf

        definition = tf.compat.v1.GraphDef()
        definition.versions.CopyFrom(flow.program.graph_def.versions)
        definition.library.CopyFrom(flow.program.graph_def.library)
        computing = {op.name: [self._tapped(tensor) for tensor in flow.operands(op)] for op in flow.kept}
        sources = {tensor.op.name for tensor in flow.fed.values()}
        sources |= {tensor.op.name for op in flow.kept for tensor in flow.operands(op) if tensor.op.type == "Const"}
        for node in flow.program.graph_def.node:
            if node.name in computing or node.name in sources:
                copied = definition.node.add()
                copied.CopyFrom(node)
                copied.input[:] = computing.get(node.name, [])
        for tensor in [*flow.fed.values(), *flow.results()]:
            tap = definition.node.add(name=self._taps[tensor.name][:-2], op="PlaceholderWithDefault")
            tap.input.append(tensor.name)
            tap.attr["dtype"].type = tensor.dtype.base_dtype.as_datatype_enum
            tap.attr["shape"].shape.unknown_rank = True
        return definition

    def _tapped(self, tensor: Any) -> str:
        return self._taps.get(tensor.name, str(tensor.name))

    def run(self, fetched: Iterable[str], seen: Mapping[str, Array]) -> list[Array]:
        """Compute tensors by name; ``seen`` are what the consumers of tensors read in their place.

        Raises ModelExecutionError.
        """
        import tensorflow as tf

        try:
            return list(self._session.run(list(fetched), {self._taps[name]: array for name, array in seen.items()}))
        except (tf.errors.OpError, ValueError, TypeError) as error:
            raise failed(error) from error

    def close(self) -> None:
        """Release TensorFlow's session."""
        self._session.close()


def failed(error: Exception) -> ModelExecutionError:
    """The error of a model that TensorFlow could not run."""
    text = str(getattr(error, "message", "") or error).strip().splitlines()
    return ModelExecutionError(
        "TensorFlow could not run the model",
        found=f"{type(error).__name__}: {(text or [''])[0][:300]}",
        hint="check the shapes and types of the inputs that were fed",
    )
