"""torch's own check of an exported network, intermediate by intermediate.

python -m benchmarks.speed.peer NETWORK
"""

from __future__ import annotations

import sys

import torch

from benchmarks.speed import networks
from benchmarks.speed.stopwatch import timed


def main():
    """The command line of this module; exporting is not counted."""
    from torch.onnx.verification import verify_onnx_program

    torch.manual_seed(0)
    module = getattr(networks, sys.argv[1])(0).eval()
    x = torch.from_numpy(networks.given(sys.argv[1], 0))
    program = torch.onnx.export(module, (x,), dynamo=True, verbose=False)

    def work():
        found = verify_onnx_program(program, (x,), compare_intermediates=True)
        return {"verdict": "no verdict", "pairs": len(found)}

    timed(work)


if __name__ == "__main__":
    main()
