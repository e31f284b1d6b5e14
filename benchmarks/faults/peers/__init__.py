"""Other tools on the pairs they can take; each is optional, and asked only where it is installed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from benchmarks.faults.built import Built
from benchmarks.faults.peers import diagnostic, polygraphy, torch_verifier
from benchmarks.faults.scoring import Blamed

TOOK = "took it"
CANNOT = "cannot take the pair"
SPARED = "could take it, not in the sample"


@dataclass(frozen=True, slots=True)
class Peer:
    """``takes`` reads no tensor; ``blames`` lists candidate values, first culprit first."""

    name: str
    row: str
    module: str
    takes: Callable[[Built], bool]
    blames: Callable[[Built], list[Blamed]]
    terms: str
    sample: int | None = None
    """How many of the pairs it can take it is asked about, where each takes long; None: all of them."""

    def installed(self) -> bool:
        """Whether it can be asked at all."""
        return find_spec(self.module) is not None

    def version(self) -> str:
        """What is installed, for the page."""
        try:
            return version(self.module)
        except PackageNotFoundError:
            return "of unknown version"


PEERS = (
    Peer(
        "polygraphy",
        "Polygraphy, equal names, max abs > 1e-5",
        "polygraphy",
        polygraphy.takes,
        polygraphy.differing,
        "two ONNX files that are fed the same and share names of values",
    ),
    Peer(
        "onnx_diagnostic",
        "onnx-diagnostic run_aligned, max abs > 1e-5",
        "onnx_diagnostic",
        torch_verifier.takes,
        diagnostic.unaligned,
        "a live module and its dynamo export that are fed the same",
    ),
    Peer(
        "torch verify_onnx_program",
        torch_verifier.NAME,
        "torch",
        torch_verifier.takes,
        torch_verifier.verified,
        "a live module and its dynamo export that are fed the same",
        sample=6,
    ),
)


def states(records: Iterable[Mapping[str, Any]], *, asked: bool) -> dict[str, str]:
    """What the page says of each peer: how many pairs it could take, or why it is not in the table."""
    kept = list(records)
    return {peer.name: _state(peer, kept, asked) for peer in PEERS}


def _state(peer: Peer, records: list[Mapping[str, Any]], asked: bool) -> str:
    if not peer.installed():
        return "not installed"
    if not asked:
        return "not run (--peers)"
    said = Counter(record["peers"][peer.name] for record in records if peer.name in record.get("peers", {}))
    broken = sum(count for text, count in said.items() if text not in {TOOK, CANNOT, SPARED})
    failed = f", failed on {broken}" if broken else ""
    took = f"{peer.version()}, took {said[TOOK]} of {sum(said.values())} pairs{failed}"
    if said[SPARED]:
        took += f", a seeded sample of the {said[TOOK] + said[SPARED] + broken} it can take, each of which takes long"
    return f"{took}; cannot take the others, only {peer.terms}"
