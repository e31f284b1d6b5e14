"""Elements that are right and stand in the wrong place: transposed, flattened, flipped, joined in another order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations, permutations
from typing import Any, ClassVar

import numpy as np

from aligner.causes.cause import Cause, Claim, Proof, held
from aligner.causes.context import Context
from aligner.causes.setting_cause import is_borrowed
from aligner.numerics.relations import SAME, gap
from aligner.operations.kinds import ELEMENTWISE, LAYOUT, PARAMETRIC, SOURCES
from aligner.operations.settings import Along, Reshape, Transpose
from aligner.records.array import Array
from aligner.records.graph import Node
from aligner.regions.culprit import Culprit
from aligner.regions.layers import layer_pairs
from aligner.regions.subgraph import Subgraph

_LARGEST = 1 << 22
"""Elements that are moved to try another order: a limit of cost, each trial copies them."""
_EXACTLY = 0.999
"""Share of the error that must go: moving numbers changes none of them, so that nothing but rounding is left."""
_JOINS_NOTHING = PARAMETRIC | ELEMENTWISE | LAYOUT | SOURCES


def moves(array: Array) -> Iterator[tuple[tuple[int, ...], Array]]:
    """The array with its axes in every other order (axes of length one stay)."""
    axes = [axis for axis, size in enumerate(array.shape) if size > 1]
    if not 2 <= len(axes) <= 5:
        return
    for order in permutations(axes):
        perm = list(range(array.ndim))
        for place, axis in zip(axes, order, strict=True):
            perm[place] = axis
        if list(order) != axes:
            yield tuple(perm), array.transpose(perm)


class FlattenOrder(Cause):
    """Channels, rows and columns flattened in another order before a dense layer."""

    id: ClassVar[str] = "flatten-order"
    fix: ClassVar[str] = "transpose to the reference's layout before the flatten, or permute the dense layer's columns"
    example: ClassVar[str] = "a flatten of NHWC features before a dense layer trained on NCHW"

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Reshapes that merge axes, and matrices whose columns stand in such an order."""
        if culprit.order_guessed:
            return
        for subgraph, node, operation in culprit.nodes("reshape"):
            x, settings = operation.data[0], operation.settings
            if not isinstance(settings, Reshape) or len(settings.shape) >= x.ndim or x.size > _LARGEST:
                continue
            for perm, moved in moves(x):
                if perm[0] != 0:
                    continue
                before = moved.reshape(settings.shape)
                if not subgraph.nodes[-1:] or before.shape != tuple(settings.shape):
                    continue
                yield self._claim(culprit, subgraph, node, culprit.prediction(subgraph, node, _ordered(perm)), perm)
        yield from self._columns(culprit)

    def _claim(
        self,
        culprit: Culprit,
        subgraph: Subgraph,
        node: Node,
        predict: Callable[[], Array | None],
        perm: tuple[int, ...],
    ) -> Claim:
        return Claim(
            f"{culprit.where} flattens the axes in the order {perm}; the reference flattens them as they stand",
            self.fix,
            "with the elements in the reference's order",
            predict,
            side=subgraph.side,
            node=node.name if subgraph.side == 1 else None,
        )

    def _columns(self, culprit: Culprit) -> Iterator[Claim]:
        """The dense layer after a flatten: its columns reordered as (channels, rows, columns) would be."""
        for pair in layer_pairs(culprit):
            if pair.reference.operation.kind != "matmul" or "kernel" not in pair.roles:
                continue
            shape = self._before(culprit.reference, pair.reference.node)
            left, right = pair.reference.parameters["kernel"], pair.candidate.parameters["kernel"]
            if shape is None or math.prod(shape) != left.shape[1] or left.shape != right.shape:
                continue
            for perm, moved in moves(left.reshape(left.shape[0], *shape)):
                if perm[0] == 0 and gap(moved.reshape(left.shape), right) <= SAME:
                    edit = pair.candidate.node
                    yield Claim(
                        f"the columns of {edit.name} stand in the order {perm[1:]} of {shape}, the flattened axes",
                        "permute the columns back, or flatten in the order they were made for",
                        "with the columns in the reference's order",
                        culprit.prediction(culprit.candidate, edit, lambda o, k=left: o.with_parameters(kernel=k)),  # type: ignore[misc]
                        node=edit.name,
                    )

    @staticmethod
    def _before(subgraph: Subgraph, node: Node) -> tuple[int, ...] | None:
        """The shape that was flattened into a node's input, without the batch."""
        maker = subgraph.graph.producer(node.inputs[0]) if node.inputs else None
        if maker is None or maker.kind != "reshape" or not maker.inputs:
            return None
        array, known = subgraph.array(maker.inputs[0]), subgraph.graph.values.get(maker.inputs[0])
        shape = tuple(array.shape) if array is not None else (known.shape if known else None)
        if not shape or len(shape) <= 2 or None in shape:
            return None
        return tuple(int(d or 0) for d in shape[1:])


def _ordered(perm: tuple[int, ...]) -> Callable[[Any], Any]:
    return lambda operation: operation.with_settings(before=perm)


class LayoutTransposition(Cause):
    """The output is the reference's with two axes exchanged, or a transposition with another order."""

    id: ClassVar[str] = "layout-transposition"
    needs_error: ClassVar[bool] = False

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Another order of the whole output, of a transposition; the output itself moved; the input moved."""
        if not any(subgraph.nodes for subgraph in culprit.subgraphs):
            return  # what is fed: no node of either model moves it
        yield from self._whole(culprit)
        if culprit.expected is None or culprit.found is None or not culprit.gap > 0 or culprit.expected.size > _LARGEST:
            return
        for subgraph, node, operation in culprit.nodes("transpose"):
            perm = operation.read(Transpose).perm
            for other in permutations(range(len(perm))) if len(perm) <= 5 else ():
                shape = [operation.data[0].shape[a] for a in other]
                if other != perm and shape == [operation.data[0].shape[a] for a in perm]:
                    changed = operation.with_settings(perm=other)
                    claim = self._claim(
                        culprit,
                        f"transposes to {other if subgraph.side == 0 else perm}, the reference to "
                        f"{perm if subgraph.side == 0 else other}",
                        culprit.replaced(subgraph, node, changed),
                        subgraph.side,
                    )
                    yield replace(claim, borrowed=is_borrowed(culprit, subgraph, node, changed))
        for perm, moved in moves(culprit.expected):
            if moved.shape == culprit.expected.shape:
                yield self._claim(culprit, f"holds the reference's tensor with axes {perm}", held(moved))
            yield self._claim(
                culprit,
                f"holds the reference's elements as if its axes were {perm}: reshaped where it should be transposed",
                held(moved.reshape(culprit.expected.shape)),
            )
        yield from self._inputs(culprit)

    @staticmethod
    def _whole(culprit: Culprit) -> Iterator[Claim]:
        """The pair agrees only in another order of axes, and is judged a fault: nobody puts it right again."""
        error, axes = culprit.measured.accumulated, culprit.measured.pair.axes
        if axes is None or error is None or error.errors.beyond or culprit.gap > 0:
            return
        found, expected = list(culprit.measured.candidate_shape or ()), list(culprit.measured.reference_shape or ())
        yield Claim(
            f"{culprit.where} holds the reference's numbers with the axes {list(axes)}: {found} instead of {expected}",
            "transpose the output back, or remove the transposition that was added",
            "with the axes in the reference's order",
            measured=Proof(1.0, math.inf, error.errors.max_abs),
        )

    def _inputs(self, culprit: Culprit) -> Iterator[Claim]:
        for name in culprit.reference.region.inputs:
            array = culprit.reference.array(name)
            if array is None or array.size > _LARGEST:
                continue
            for perm, moved in moves(array):
                if moved.shape == array.shape:
                    yield self._claim(
                        culprit,
                        f"reads {name} with axes {perm}",
                        culprit.swapped(culprit.reference, name, moved),
                    )

    def _claim(self, culprit: Culprit, words: str, predict: Callable[[], Array | None], side: int = 0) -> Claim:
        return Claim(
            f"{culprit.where} {words}",
            "give the transposition here the reference's order, or remove the one that was added",
            "with the axes in the reference's order",
            predict,
            side=side,
        )


class SpatialFlip(Cause):
    """The output is the reference's, mirrored or turned."""

    id: ClassVar[str] = "spatial-flip"
    fix: ClassVar[str] = "remove the flip, or apply it on both sides"
    example: ClassVar[str] = "a picture mirrored on one side"

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Flips along one or two axes, of the output or of what is read."""
        if culprit.expected is None or culprit.expected.size > _LARGEST:
            return
        for axes in _flips(culprit.expected):
            yield self._claim(culprit, axes, held(np.flip(culprit.expected, axes)), culprit.expected.ndim)
        for name in culprit.reference.region.inputs:
            array = culprit.reference.array(name)
            if array is not None and array.size <= _LARGEST:
                for axes in _flips(array):
                    yield self._claim(
                        culprit,
                        axes,
                        culprit.swapped(culprit.reference, name, np.flip(array, axes)),
                        array.ndim,
                        f"what it reads ({name})",
                    )

    def _claim(
        self,
        culprit: Culprit,
        axes: tuple[int, ...],
        predict: Callable[[], Array | None],
        rank: int,
        what: str = "the tensor",
    ) -> Claim:
        channels = (rank - 1 if culprit.reference.graph.channels == "last" else 1) if rank in {4, 5} else None
        mixed = channels in axes
        return Claim(
            f"{culprit.where} {'reverses the channels of' if mixed else 'flips'} {what} along axes {axes}",
            self.fix,
            "with the flip taken back",
            predict,
            vague=mixed,  # nobody mirrors those: a cause that says why comes first
        )


def _flips(array: Array) -> Iterator[tuple[int, ...]]:
    axes = [axis for axis, size in enumerate(array.shape) if size > 1]
    for count in (1, 2):
        yield from combinations(axes[:5], count)


class Rolled(Cause):
    """Everything along an axis stands some places further on, what leaves at one end coming in at the other."""

    id: ClassVar[str] = "rolled"
    fix: ClassVar[str] = "roll by the reference's number of places, or not at all"
    example: ClassVar[str] = "torch.roll(x, 3, -1) for torch.roll(x, 2, -1) in a shifted window"
    general: ClassVar[bool] = True

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """By as many places of all axes together as bring the two nearest to each other: where they correlate most."""
        if culprit.expected is None or culprit.found is None or culprit.expected.size > _LARGEST:
            return
        if "f" not in {culprit.expected.dtype.kind, culprit.found.dtype.kind}:
            return
        moved = {axis: by for axis, by in enumerate(_shift(culprit.expected, culprit.found)) if by}
        sizes = {axis: culprit.expected.shape[axis] for axis in moved}
        if any(size > _TWO for size in sizes.values()):
            words = [f"{by} or −{sizes[axis] - by} of {sizes[axis]} along axis {axis}" for axis, by in moved.items()]
            yield Claim(
                f"{culprit.where} holds the reference's tensor rolled by {' and by '.join(words)}",
                self.fix,
                "with everything in the reference's place",
                held(np.roll(culprit.expected, tuple(moved.values()), tuple(moved))),
            )


def _shift(left: Array, right: Array) -> tuple[int, ...]:
    """The places along each axis by which one array, rolled, correlates most with another of its shape."""
    if not (left.size and np.isfinite(left).all() and np.isfinite(right).all()):
        return (0,) * left.ndim
    axes = tuple(range(left.ndim))
    mine, theirs = (np.fft.rfftn(each.astype(np.float64) - each.mean(), axes=axes) for each in (left, right))
    alike = np.fft.irfftn(theirs * mine.conj(), left.shape, axes)
    return tuple(int(place) for place in np.unravel_index(int(alike.argmax()), left.shape))


_TWO = 2
"""Two halves exchanged have other names: parts in another order, a flip."""


class ConcatOrder(Cause):
    """The parts of a concatenation stand in another order."""

    id: ClassVar[str] = "concat-order"

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Every other order of up to five parts."""
        for subgraph, node, operation in culprit.nodes("concat"):
            if all(other.kind in _JOINS_NOTHING for other in culprit.subgraphs[1 - subgraph.side].nodes):
                continue  # nothing stands there to have another order
            count = len(operation.data)
            for order in permutations(range(count)) if 2 <= count <= 5 else ():
                if order == tuple(range(count)):
                    continue
                yield Claim(
                    f"{culprit.said(subgraph, node)} joins its {count} parts in the order {order}",
                    "pass the parts in the reference's order",
                    "with the parts in the reference's order",
                    culprit.replaced(subgraph, node, operation.with_data(*(operation.data[k] for k in order))),
                )


class AxisNotRemapped(Cause):
    """An axis counted in the other layout: right shape, wrong blocks."""

    id: ClassVar[str] = "axis-not-remapped"
    fix: ClassVar[str] = "count the axis in this model's layout"
    example: ClassVar[str] = "a concatenation along axis 1 kept as axis 1 after NCHW became NHWC"

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Concatenations and lookups along every other axis that gives the shape, reshaped where it does not."""
        if culprit.expected is None:
            return
        for subgraph, node, operation in culprit.nodes("concat", "gather"):
            if operation.kind not in {"concat", "lookup"}:
                continue
            data = operation.data[0] if operation.kind == "concat" else operation.parameters["table"]
            for axis in range(data.ndim):
                own = operation.read(Along).axis
                if axis != own % data.ndim:
                    changed = operation.with_settings(axis=axis)
                    yield Claim(
                        f"{culprit.said(subgraph, node)} works along axis {axis}, the reference along {own}",
                        self.fix,
                        "with the axis counted in this layout",
                        culprit.replaced(subgraph, node, changed),
                        borrowed=is_borrowed(culprit, subgraph, node, changed),
                    )


class BroadcastAxis(Cause):
    """A vector applied along another axis of the same length."""

    id: ClassVar[str] = "broadcast-axis"
    fix: ClassVar[str] = "reshape the vector to the axis it belongs to ([C, 1, 1] for channels first)"
    example: ClassVar[str] = "a per-channel scale applied along the width, which is as long"

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """The smaller operand laid along every axis that it fits."""
        for subgraph, node, operation in culprit.nodes("add", "sub", "mul", "div", "binary", "minmax", "prelu"):
            if operation.kind == "prelu":
                shape, slope = operation.data[0].shape, operation.parameters["slope"]
                for axis, size in enumerate(shape):
                    if size == slope.size and axis != operation.read(Along).axis:
                        edited = operation.with_settings(axis=axis).with_parameters(slope=slope.reshape(-1))
                        yield self._claim(culprit, axis, culprit.replaced(subgraph, node, edited), subgraph.side)
                continue
            if len(operation.data) != 2:
                continue
            small = min((0, 1), key=lambda k, d=operation.data: d[k].size)  # type: ignore[misc]
            vector, other = operation.data[small], operation.data[1 - small]
            if vector.size < 2 or max(vector.shape) != vector.size or vector.size == other.size:
                continue
            for axis, size in enumerate(other.shape):
                across = [1] * other.ndim
                across[axis] = vector.size
                if size == vector.size and across != [1] * (other.ndim - vector.ndim) + list(vector.shape):
                    data = [other, other]
                    data[small] = vector.reshape(across)
                    data[1 - small] = other
                    yield self._claim(
                        culprit, axis, culprit.replaced(subgraph, node, operation.with_data(*data)), subgraph.side
                    )

    def _claim(self, culprit: Culprit, axis: int, predict: Callable[[], Array | None], side: int) -> Claim:
        return Claim(
            f"{culprit.where} applies its vector along {'axis ' + str(axis) if side == 0 else 'another axis'}, "
            f"the reference along {'another' if side == 0 else 'axis ' + str(axis)}",
            self.fix,
            "with the vector along the reference's axis",
            predict,
            side=side,
        )
