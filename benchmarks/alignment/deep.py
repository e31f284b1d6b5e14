"""How long the alignment of very deep graphs takes, without running anything.

python -m benchmarks.alignment.deep [--nodes 2000,10000] [--table FILE]
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

import click
import numpy as np

from aligner.alignment.engine import align
from aligner.records.graph import Graph, Node, Value, Weight

_WIDTH = 8
_SHAPE = (1, _WIDTH, 6, 5)
_NODES_OF_A_BLOCK = 4
_HEADS = ("candidate", "reference nodes", "its nodes", "paired", "right", "alignment, s")


class _Deep:
    """A residual network of convolutions, written node by node."""

    def __init__(self, prefix: str, seed: int) -> None:
        self.prefix, self._rng = prefix, np.random.default_rng(seed)
        self.nodes: list[Node] = []
        self.values = {f"{prefix}x": Value(f"{prefix}x", f"{prefix}x", _SHAPE, "float32")}
        self.weights: dict[str, Weight] = {}

    def weight(self, *shape: int) -> str:
        name, array = f"{self.prefix}w{len(self.weights)}", self._rng.uniform(0.5, 1.5, shape).astype(np.float32)
        return self.store(name, array)

    def store(self, name: str, array: np.ndarray) -> str:
        self.weights[name] = Weight(name, array.shape, "float32", lambda: array)
        return name

    def node(self, kind: str, *inputs: str) -> str:
        output = f"{self.prefix}{kind}{len(self.nodes)}"
        held = tuple(name for name in inputs if name in self.weights)
        self.nodes.append(Node(len(self.nodes), output, kind, kind, inputs, (output,), held, {"epsilon": 1e-5}))
        self.values[output] = Value(output, output, _SHAPE, "float32")
        return output

    def graph(self, output: str) -> Graph:
        return Graph("toy", tuple(self.nodes), self.values, self.weights, (f"{self.prefix}x",), (output,))


def deep(prefix: str, blocks: int, *, seed: int = 0, folded: bool = False, copies: bool = False) -> Graph:
    """Blocks of convolution, normalisation, activation and sum."""
    network = _Deep(prefix, seed)
    value = f"{prefix}x"
    for _ in range(blocks):
        kernel, vectors = network.weight(_WIDTH, _WIDTH, 3, 3), [network.weight(_WIDTH) for _ in range(4)]
        if folded:
            gamma, beta, mean, variance = (np.asarray(network.weights.pop(name).load(), np.float64) for name in vectors)
            factor = gamma / np.sqrt(variance + 1e-5)
            network.store(kernel, np.asarray(network.weights[kernel].load(), np.float64) * factor[:, None, None, None])
            end = network.node("conv", value, kernel, network.store(f"{kernel}b", beta - mean * factor))
        else:
            end = network.node("norm", network.node("conv", value, kernel), *vectors)
        if copies:
            end = network.node("identity", end)
        value = network.node("add", network.node("relu", end), value)
    return network.graph(value)


def _measured(label: str, reference: Graph, candidate: Graph) -> tuple[str, ...]:
    start = time.process_time()
    found = align(reference, candidate, inputs=[(reference.inputs[0], candidate.inputs[0])])
    seconds = time.process_time() - start
    pairs = {pair.candidate: pair.reference for pair in found.pairs}
    sums = [[node.outputs[0] for node in graph.nodes if node.kind == "add"] for graph in (candidate, reference)]
    right = sum(pairs.get(value) == other for value, other in zip(*sums, strict=True))
    sizes = f"{len(reference.nodes):,}", f"{len(candidate.nodes):,}"
    return label, *sizes, f"{len(pairs) / len(candidate.values):.2%}", f"{right / len(sums[0]):.2%}", f"{seconds:.1f}"


CANDIDATES: dict[str, Callable[[int], Graph]] = {
    "the same": lambda blocks: deep("c", blocks),
    "normalisations folded": lambda blocks: deep("c", blocks, folded=True),
    "every weight another": lambda blocks: deep("c", blocks, seed=1),
    "folded, copies, every weight another": lambda blocks: deep("c", blocks, seed=1, folded=True, copies=True),
}


@click.command()
@click.option("--nodes", default="500,2000,10000", show_default=True, help="Nodes of the reference, with commas.")
@click.option("--table", type=click.File("w", encoding="utf-8"), help="Write the table as Markdown.")
def main(nodes: str, table: TextIO | None) -> None:
    """Print a line for each candidate and size; "right" is the share of the blocks' ends that answer each other."""
    rows = [_HEADS, ("---",) * len(_HEADS)]
    for count in map(int, nodes.split(",")):
        reference = deep("r", count // _NODES_OF_A_BLOCK)
        for label, build in CANDIDATES.items():
            rows.append(_measured(label, reference, build(count // _NODES_OF_A_BLOCK)))
            print("  ".join(rows[-1]), flush=True)
    if table is not None:
        table.writelines("| " + " | ".join(row) + " |\n" for row in rows)


if __name__ == "__main__":
    main()
