"""Dumps that the tools write themselves: ``python tests/data/tool_dumps/write.py`` wrote what lies beside it.

Needs polygraphy 0.53 and executorch 1.5; run with ``tests`` on PYTHONPATH. Either dump is of a model with a fault.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
LOST = "2"
"""The module whose bias the program on the device has not."""


def polygraphy(folder):
    """What ``polygraphy run net.onnx --onnxrt --onnx-outputs mark all --save-outputs outputs.json`` writes."""
    import dumped_models
    from polygraphy.backend.onnx import ModifyOutputs
    from polygraphy.backend.onnxrt import OnnxrtRunner, SessionFromOnnx
    from polygraphy.comparator import Comparator
    from polygraphy.constants import MARK_ALL

    marked = ModifyOutputs(dumped_models.network("kernel"), outputs=MARK_ALL)
    runner = OnnxrtRunner(SessionFromOnnx(lambda: marked().SerializeToString()))
    results = Comparator.run([runner], data_loader=[{"x": dumped_models.picture()}])
    results.save(str(folder / "outputs.json"))


def network():
    """The network as it should be, and its input; its numbers do not depend on a version of torch."""
    import torch
    from torch import nn

    made = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.Flatten(), nn.Linear(80, 2)).eval()
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for weight in made.parameters():
            weight.copy_(torch.from_numpy(rng.uniform(-0.4, 0.4, tuple(weight.shape))))
    return made, torch.from_numpy(rng.random((1, 3, 8, 8), dtype=np.float32))


def executorch(folder):
    """The etdump, debug buffer and etrecord of one run by the portable kernels."""
    import torch
    from executorch.devtools import generate_etrecord
    from executorch.exir import to_edge
    from executorch.extension.pybindings.portable_lib import _load_for_executorch_from_buffer

    right, x = network()
    wrong = copy.deepcopy(right)
    torch.nn.init.zeros_(wrong[int(LOST)].bias)
    edge = to_edge(torch.export.export(wrong, (x,)))
    for node in edge.exported_program().graph.nodes:
        if "stack_trace" in node.meta:
            node.meta["stack_trace"] = "where it was written is nobody's business"
    again = copy.deepcopy(edge)
    made = edge.to_executorch()
    generate_etrecord(str(folder / "etrecord.bin"), again, made)
    program = _load_for_executorch_from_buffer(made.buffer, enable_etdump=True, debug_buffer_size=1 << 14)
    program.forward([x])
    program.write_etdump_result_to_file(str(folder / "x.etdp"), str(folder / "debug_buffer.bin"))


def main():
    sys.path.insert(0, str(HERE.parents[1]))
    for write in (polygraphy, executorch):
        folder = HERE / write.__name__
        folder.mkdir(exist_ok=True)
        write(folder)


if __name__ == "__main__":
    main()
