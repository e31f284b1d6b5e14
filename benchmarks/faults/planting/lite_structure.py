"""Faults in the options and the graph of a TFLite file."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from benchmarks.faults.planting.lite_registry import Guilty, fault
from benchmarks.faults.tflite_model import Operator, TfliteModel

Random = np.random.Generator
_SAME, _VALID = schema.Padding.SAME, schema.Padding.VALID
_ACTIVATION = schema.ActivationFunctionType


def _with_readers(model: TfliteModel, *inserted: Operator) -> list[Operator]:
    """An inserted operator has no counterpart: what reads it is where it shows."""
    return [*inserted, *model.readers(int(inserted[-1].outputs[0]))]


def padding_of(model: TfliteModel, operator: Operator) -> list[tuple[int, int]] | None:
    """What SAME means for a convolution of this size: (begin, end) of rows and columns; None for anything else."""
    if model.word(operator) not in {"CONV_2D", "DEPTHWISE_CONV_2D"} or operator.builtinOptions.padding != _SAME:
        return None
    options, kernel = operator.builtinOptions, model.shape(int(operator.inputs[1]))[1:3]
    sizes = model.shape(int(operator.inputs[0]))[1:3]
    steps = ((options.strideH, options.dilationHFactor), (options.strideW, options.dilationWFactor))
    found = []
    for size, width, (stride, dilation) in zip(sizes, kernel, steps, strict=True):
        total = max((-(-size // stride) - 1) * stride + (width - 1) * dilation + 1 - size, 0)
        found.append((total // 2, total - total // 2))
    return found


def pad_apart(
    model: TfliteModel, operator: Operator, pads: list[tuple[int, int]], word: str = "PAD", options: object = None
) -> Operator:
    """Pad by an operator of its own, before a convolution that does not pad."""
    shape = model.shape(int(operator.inputs[0]))
    around = np.array([(0, 0), *pads, (0, 0)], dtype=np.int32)
    padded = [size + begin + end for size, (begin, end) in zip(shape, around, strict=True)]
    operator.builtinOptions.padding = _VALID
    return model.insert_before(operator, 0, word, around, options=options or schema.PadOptionsT(), shape=padded)


@fault("padding-asymmetric")
def padding_asymmetric(model: TfliteModel, rng: Random) -> Guilty:
    """SAME at stride 2 is read as as much on both sides; where it is that already, all of it goes to the end."""
    operator = model.pick(rng, lambda each: any(map(sum, padding_of(model, each) or ())))
    if operator is None:
        return None
    pads = [(end, end) if begin != end else (0, begin + end) for begin, end in padding_of(model, operator)]
    return [pad_apart(model, operator, pads), operator]


@fault("padding-mode")
def padding_mode(model: TfliteModel, rng: Random) -> Guilty:
    """A convolution's zeros become a mirror image."""
    operator = model.pick(rng, lambda each: any(map(sum, padding_of(model, each) or ())))
    if operator is None:
        return None
    mirror = schema.MirrorPadOptionsT(mode=schema.MirrorPadMode.REFLECT)
    return [pad_apart(model, operator, padding_of(model, operator), "MIRROR_PAD", mirror), operator]


@fault("conv-stride-dilation-groups")
def conv_stride_dilation_groups(model: TfliteModel, rng: Random) -> Guilty:
    """The dilation is read wrongly; SAME makes up for the shape."""

    def fits(operator: Operator) -> bool:
        kernel = model.shape(int(operator.inputs[1]))[1:3] if padding_of(model, operator) else ()
        return set(kernel) == {3} and operator.builtinOptions.strideH == operator.builtinOptions.strideW == 1

    operator = model.pick(rng, fits)
    if operator is None:
        return None
    options = operator.builtinOptions
    other = 1 if options.dilationHFactor > 1 else 2
    options.dilationHFactor = options.dilationWFactor = other
    return [operator]


@fault("activation-variant")
def activation_variant(model: TfliteModel, rng: Random) -> Guilty:
    """Another member of the family: ReLU6 for ReLU and the other way round, another slope."""
    swapped = {_ACTIVATION.RELU6: _ACTIVATION.RELU, _ACTIVATION.RELU: _ACTIVATION.RELU6}

    def fits(operator: Operator) -> bool:
        fused = getattr(operator.builtinOptions, "fusedActivationFunction", None)
        return model.word(operator) in {"LEAKY_RELU", "RELU6"} or fused in swapped

    operator = model.pick(rng, fits)
    if operator is None:
        return None
    if model.word(operator) == "LEAKY_RELU":
        operator.builtinOptions.alpha = 0.01
    elif model.word(operator) == "RELU6":
        operator.opcodeIndex = model.code("RELU")
    else:
        fused = operator.builtinOptions.fusedActivationFunction
        operator.builtinOptions.fusedActivationFunction = swapped[fused]
    return [operator]


@fault("resize-coordinate-mode")
def resize_coordinate_mode(model: TfliteModel, rng: Random) -> Guilty:
    """half_pixel, align_corners and asymmetric are mixed up."""
    operator = model.pick(rng, lambda each: model.word(each) in {"RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"})
    if operator is None:
        return None
    options = operator.builtinOptions
    corners = not options.alignCorners and rng.random() < 0.5
    options.halfPixelCenters = not (options.halfPixelCenters or corners)
    options.alignCorners = corners
    return [operator]


@fault("concat-order")
def concat_order(model: TfliteModel, rng: Random) -> Guilty:
    """The operands of a concatenation change places."""
    operator = model.pick(
        rng,
        lambda each: (
            model.word(each) == "CONCATENATION" and sum(model.floating(int(index)) for index in each.inputs) > 1
        ),
    )
    if operator is None:
        return None
    operator.inputs = [*operator.inputs[1:], operator.inputs[0]]
    return [operator]


@fault("operand-swapped")
def operand_swapped(model: TfliteModel, rng: Random) -> Guilty:
    """a − b becomes b − a."""
    operator = model.pick(
        rng,
        lambda each: model.word(each) in {"SUB", "DIV"} and any(model.floating(int(index)) for index in each.inputs),
    )
    if operator is None:
        return None
    operator.inputs = [*operator.inputs[::-1]]
    return [operator]


@fault("residual-missing")
def residual_missing(model: TfliteModel, rng: Random) -> Guilty:
    """A sum of two branches is one of them."""

    def joins(operator: Operator) -> bool:
        if model.word(operator) != "ADD" or not all(model.floating(int(index)) for index in operator.inputs):
            return False
        shapes = {model.shape(int(index)) for index in operator.inputs}
        return len(shapes) == 1 and operator.outputs[0] not in model.outputs

    operator = model.pick(rng, joins)
    if operator is None:
        return None
    kept = int(operator.inputs[int(rng.integers(2))])
    readers, keeper = model.readers(int(operator.outputs[0])), model.producer(kept)
    model.remove(operator, kept)
    return [*readers, *([keeper] if keeper is not None else [])]


@fault("flatten-order", "layout-transposition")
def flatten_order(model: TfliteModel, rng: Random) -> Guilty:
    """The pixels are flattened channels-first."""

    def flattens(operator: Operator) -> bool:
        before, after = (model.shape(int(index)) for index in (operator.inputs[0], operator.outputs[0]))
        picture = len(before) == 4 and len(after) == 2 and min(before[1:]) > 1 and before[:1] == after[:1]
        return model.word(operator) == "RESHAPE" and model.floating(int(operator.inputs[0])) and picture

    operator = model.pick(rng, flattens)
    if operator is None:
        return None
    batch, height, width, channels = model.shape(int(operator.inputs[0]))
    return _with_readers(model, _transposed(model, operator, (0, 3, 1, 2), (batch, channels, height, width)))


def _transposed(model: TfliteModel, operator: Operator, axes: tuple[int, ...], shape: tuple[int, ...]) -> Operator:
    order = np.array(axes, dtype=np.int32)
    return model.insert_before(operator, 0, "TRANSPOSE", order, options=schema.TransposeOptionsT(), shape=shape)


@fault("layout-transposition")
def transposition_inserted(model: TfliteModel, rng: Random) -> Guilty:
    """A transposition too many, between two axes of one size."""

    def axes(index: int) -> tuple[int, int] | None:
        shape = model.shape(index) if model.floating(index) else ()
        pairs = [(i, j) for j in range(len(shape)) for i in range(j) if shape[i] == shape[j] > 2]
        return pairs[-1] if pairs else None

    operator = model.pick(rng, lambda each: each.inputs[0] >= 0 and axes(int(each.inputs[0])))
    if operator is None:
        return None
    shape = model.shape(int(operator.inputs[0]))
    i, j = axes(int(operator.inputs[0]))
    order = [*range(len(shape))]
    order[i], order[j] = j, i
    return _with_readers(model, _transposed(model, operator, tuple(order), shape))


@fault("reduce-axis-or-bias")
def reduce_axis_or_bias(model: TfliteModel, rng: Random) -> Guilty:
    """A mean divides by n − 1."""
    operator = model.pick(rng, lambda each: model.word(each) == "MEAN" and model.floating(int(each.outputs[0])))
    if operator is None:
        return None
    made = int(operator.outputs[0])
    size = int(np.prod(model.shape(int(operator.inputs[0])))) // int(np.prod(model.shape(made)))
    if size < 2:
        return None
    factor = np.float32(size / (size - 1)).reshape(())
    return _with_readers(model, model.insert_after(made, "MUL", factor, options=schema.MulOptionsT()))
