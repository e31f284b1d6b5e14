"""A part of a TorchScript archive as an archive of its own, with a script that runs it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from aligner.adapters.rewriting import Extracted
from aligner.operations.operation import Unsupported
from aligner.records.array import Array

_FILE = "part.pt"


def extract(path: Path, inputs: Mapping[str, Array], output: str, folder: Path) -> Extracted:
    """What computes one value of the top level from others, with the weights that it reads; see ``Extracts``."""
    import torch

    from aligner.adapters.torchscript_adapter.archive import load_script
    from aligner.adapters.torchscript_adapter.instrument import STATEFUL, inline_state
    from aligner.adapters.torchscript_adapter.taps import every_node
    from aligner.adapters.torchscript_adapter.unfused import unfused

    script = load_script(path)
    graph = unfused(script.inlined_graph)
    if {node.kind() for node in every_node(graph)} & STATEFUL:
        raise Unsupported("a forward that changes its module")
    if not isinstance(script, torch.jit.ScriptFunction):
        inline_state(graph, script._c)
    known = {value.debugName(): value for node in graph.nodes() for value in node.outputs()}
    fed = list(graph.inputs())
    known |= {value.debugName(): value for value in fed}
    if output not in known or any(name not in known for name in inputs):
        raise Unsupported("a value inside a branch or a loop")
    while list(graph.outputs()):
        graph.eraseOutput(0)
    graph.registerOutput(known[output])
    for place, name in enumerate(inputs):
        stand_in = graph.addInput(f"input_{place}")
        stand_in.setType(torch._C.TensorType.get())
        known[name].replaceAllUsesWith(stand_in)
    torch._C._jit_pass_dce(graph)
    if any(value.uses() for value in fed):
        raise Unsupported("a part that reads the model's inputs beside its own")
    for place in reversed(range(len(fed))):
        graph.eraseInput(place)
    torch._C._jit_pass_lint(graph)
    torch.jit.save(torch._C._create_function_from_graph("forward", graph), str(folder / _FILE))
    return Extracted(_FILE, _SCRIPT.format(file=_FILE))


_SCRIPT = """import torch

part = torch.jit.load("{file}").eval()
with torch.no_grad():
    got = part(*map(torch.from_numpy, inputs))
got = (got.dequantize() if got.is_quantized else got).double().numpy()
runtime = "torch " + torch.__version__
"""
