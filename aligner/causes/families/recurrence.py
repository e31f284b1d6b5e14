"""Recurrent layers and lookups: gates, directions, the reset of a GRU, shifted indices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import permutations
from typing import Any, ClassVar

from aligner.causes.cause import Cause, Claim
from aligner.causes.context import Context
from aligner.causes.setting_cause import SettingCause
from aligner.operations.operation import Operation
from aligner.operations.settings import Recurrent
from aligner.regions.culprit import Culprit

_WEIGHTS = ("w", "r", "b", "rb")


class RnnGateOrder(Cause):
    """Frameworks order the gates of a cell differently: i f g o, i o f g, r z n, z r n."""

    id: ClassVar[str] = "rnn-gate-order"
    fix: ClassVar[str] = "reorder the rows of both weights and biases to the framework's gate order"
    example: ClassVar[str] = "i f g o read as i o f g"

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Every order of the gates."""
        for subgraph, node, operation in culprit.nodes("recurrent"):
            gates = operation.read(Recurrent).gates
            for order in permutations(gates):
                if "".join(order) != gates:
                    yield Claim(
                        f"{culprit.where} reads its weights with the gates in another order: {''.join(order)} where "
                        f"{gates} is meant",
                        "reorder the rows of both weights and both biases to the framework's gate order",
                        "with the gates in the right order",
                        culprit.replaced(subgraph, node, operation.with_settings(gates="".join(order))),
                    )


class RnnDirection(SettingCause):
    """The sequence is read from its end, the reversed half is not turned back, or each has the other's weights."""

    id: ClassVar[str] = "rnn-direction"
    fix: ClassVar[str] = "read the sequence in the reference's direction"
    example: ClassVar[str] = "a reversed half that is not turned back"
    kinds: ClassVar[tuple[str, ...]] = ("recurrent",)
    names: ClassVar[tuple[str, ...]] = ("directions",)

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Settings, then the weights of the two directions exchanged."""
        yield from super().claims(culprit, context)
        for subgraph, node, operation in culprit.nodes("recurrent"):
            if culprit.gap > 0 and len(operation.read(Recurrent).directions) == 2:
                turned = {name: operation.parameters[name][::-1] for name in _WEIGHTS if name in operation.parameters}
                yield Claim(
                    f"{culprit.where} runs forwards with the weights that the reference runs backwards with, and the "
                    "other way round",
                    "exchange the two directions in both weights and in the biases",
                    "with the weights of the two directions exchanged",
                    culprit.replaced(subgraph, node, operation.with_parameters(**turned)),
                )

    def others(self, operation: Operation, culprit: Culprit) -> Iterator[Mapping[str, Any]]:
        """The other direction; both exchanged."""
        directions = operation.read(Recurrent).directions
        yield {"directions": ("reverse",) if directions == ("forward",) else ("forward",) * len(directions)}
        if len(directions) == 2:
            yield {"directions": directions[::-1]}
            yield {"directions": ("reverse", "reverse")}


class GruResetAfter(SettingCause):
    """The reset gate acts before or after the matrix product."""

    id: ClassVar[str] = "gru-reset-after"
    fix: ClassVar[str] = "choose the form that the weights were trained with (reset_after, linear_before_reset)"
    example: ClassVar[str] = "a Keras GRU read as ONNX's default form"
    kinds: ClassVar[tuple[str, ...]] = ("recurrent",)
    names: ClassVar[tuple[str, ...]] = ("after",)

    def relevant(self, operation: Operation, name: str) -> bool:
        """An LSTM has no reset gate."""
        return operation.read(Recurrent).cell == "gru"

    def others(self, operation: Operation, culprit: Culprit) -> Iterator[Mapping[str, Any]]:
        """The other place."""
        settings = operation.read(Recurrent)
        if settings.cell == "gru":
            yield {"after": not settings.after}


class EmbeddingOffset(Cause):
    """Rows looked up one too early or too late: a padding row added or dropped."""

    id: ClassVar[str] = "embedding-offset"
    fix: ClassVar[str] = "check the padding row and the first index of the vocabulary"
    example: ClassVar[str] = "a vocabulary with an extra row for padding"

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Indices moved by one or two."""
        for subgraph, node, operation in culprit.nodes("embedding", "gather", constant=True):
            for offset in (1, -1, 2, -2):
                shift = offset if subgraph.side == 0 else -offset
                yield Claim(
                    f"{culprit.where} looks up rows {shift:+d} of those the reference looks up",
                    self.fix,
                    "with the rows that the reference looks up",
                    culprit.replaced(subgraph, node, operation.with_data(operation.data[0] + offset)),
                )
