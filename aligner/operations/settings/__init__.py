"""What an operation is told besides its operands: one frozen record for each family of kinds.

A field without a default must be said by whoever translates a node: frameworks disagree on it, or it has no neutral
value. A default is neutral: left out, it changes nothing. Settings are mappings as well, for those who hold two of a
kind against each other without knowing it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aligner.operations.settings.base import Along as Along
from aligner.operations.settings.base import Settings as Settings
from aligner.operations.settings.base import family_of as family_of
from aligner.operations.settings.elements import Approximated as Approximated
from aligner.operations.settings.elements import Clip as Clip
from aligner.operations.settings.elements import HardSigmoid as HardSigmoid
from aligner.operations.settings.elements import Infinite as Infinite
from aligner.operations.settings.elements import Selu as Selu
from aligner.operations.settings.elements import Shrink as Shrink
from aligner.operations.settings.elements import Slope as Slope
from aligner.operations.settings.elements import Softplus as Softplus
from aligner.operations.settings.elements import Swish as Swish
from aligner.operations.settings.elements import Threshold as Threshold
from aligner.operations.settings.layers import AdaptivePool as AdaptivePool
from aligner.operations.settings.layers import Attention as Attention
from aligner.operations.settings.layers import Convolution as Convolution
from aligner.operations.settings.layers import Einsum as Einsum
from aligner.operations.settings.layers import GridSample as GridSample
from aligner.operations.settings.layers import LengthPool as LengthPool
from aligner.operations.settings.layers import Pool as Pool
from aligner.operations.settings.layers import Product as Product
from aligner.operations.settings.layers import Recurrent as Recurrent
from aligner.operations.settings.layers import Resize as Resize
from aligner.operations.settings.layers import TransposedConvolution as TransposedConvolution
from aligner.operations.settings.layers import Windowed as Windowed
from aligner.operations.settings.moves import BatchBlocks as BatchBlocks
from aligner.operations.settings.moves import Blocks as Blocks
from aligner.operations.settings.moves import Cast as Cast
from aligner.operations.settings.moves import Compare as Compare
from aligner.operations.settings.moves import Dequantize as Dequantize
from aligner.operations.settings.moves import Fft as Fft
from aligner.operations.settings.moves import Fill as Fill
from aligner.operations.settings.moves import Flip as Flip
from aligner.operations.settings.moves import Mesh as Mesh
from aligner.operations.settings.moves import Pad as Pad
from aligner.operations.settings.moves import Quantize as Quantize
from aligner.operations.settings.moves import Repeat as Repeat
from aligner.operations.settings.moves import Reshape as Reshape
from aligner.operations.settings.moves import Roll as Roll
from aligner.operations.settings.moves import Shaped as Shaped
from aligner.operations.settings.moves import ShapeOf as ShapeOf
from aligner.operations.settings.moves import Split as Split
from aligner.operations.settings.moves import Tile as Tile
from aligner.operations.settings.moves import Transpose as Transpose
from aligner.operations.settings.norms import BatchNorm as BatchNorm
from aligner.operations.settings.norms import GroupNorm as GroupNorm
from aligner.operations.settings.norms import InstanceNorm as InstanceNorm
from aligner.operations.settings.norms import LayerNorm as LayerNorm
from aligner.operations.settings.norms import LengthNorm as LengthNorm
from aligner.operations.settings.norms import Norm as Norm
from aligner.operations.settings.norms import ResponseNorm as ResponseNorm
from aligner.operations.settings.norms import RmsNorm as RmsNorm
from aligner.operations.settings.norms import Softmax as Softmax
from aligner.operations.settings.picks import ArgMax as ArgMax
from aligner.operations.settings.picks import Cumulate as Cumulate
from aligner.operations.settings.picks import GatherNd as GatherNd
from aligner.operations.settings.picks import Index as Index
from aligner.operations.settings.picks import NonZero as NonZero
from aligner.operations.settings.picks import OneHot as OneHot
from aligner.operations.settings.picks import Reduce as Reduce
from aligner.operations.settings.picks import RunningSum as RunningSum
from aligner.operations.settings.picks import ScatterElements as ScatterElements
from aligner.operations.settings.picks import ScatterNd as ScatterNd
from aligner.operations.settings.picks import Slice as Slice
from aligner.operations.settings.picks import Sort as Sort
from aligner.operations.settings.picks import Triangle as Triangle

_NORMS: dict[Any, type[Norm]] = {
    "batch": BatchNorm,
    "instance": InstanceNorm,
    "group": GroupNorm,
    "layer": LayerNorm,
    "rms": RmsNorm,
    "length": LengthNorm,
}


def settings_of(kind: str, given: Mapping[str, Any]) -> Settings:
    """Settings as the record of a kind; raises TypeError for names that the family does not know, or misses."""
    family = family_of(kind)
    if isinstance(given, family):
        return given
    said = dict(given)
    if family is Norm:
        family = _NORMS.get(said.get("form"), Norm)
    return family(**said)
