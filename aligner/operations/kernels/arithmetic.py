"""Operations of two tensors, matrix products, reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aligner.operations.operation import Call, Operation, Unsupported, computes, reads, wide

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_SCALARS = ("other", "exponent", "value", "argument_1")


def _binary() -> dict[str, Callable[[Array, Array], Array]]:
    import numpy as np

    return {
        "add": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        "div": np.divide,
        "pow": np.power,
        "maximum": np.maximum,
        "minimum": np.minimum,
        "floor_divide": np.floor_divide,
        "trunc_divide": lambda a, b: np.trunc(np.divide(a, b)),
        "remainder": np.mod,
        "fmod": np.fmod,
        "squared_difference": lambda a, b: np.square(a - b),
    }


@reads("add", "sub", "mul", "div", "pow", "minmax", "binary")
def read_binary(call: Call) -> Operation:
    """Two operands; a Python number among a torch call's arguments counts as one."""
    import numpy as np

    word, kind, attributes = call.word, call.node.kind, call.attributes
    data = [operand for operand in call.operands if operand is not None]
    if kind == "pow" and word == "square":
        return Operation("square", {}, (data[0],))
    if len(data) == 1:
        number = next((attributes[n] for n in _SCALARS if isinstance(attributes.get(n), (int, float))), None)
        if number is None:
            raise Unsupported(call.node.op)
        integer = data[0].dtype.kind in "iu" and isinstance(number, int)
        data.append(np.asarray(number, dtype=data[0].dtype if integer else np.float64))
        if word in {"rdiv", "rtruediv", "rpow"}:
            data.reverse()
    if word in {"rsub"}:
        data.reverse()
    if len(data) != 2:
        raise Unsupported(call.node.op)
    alpha = attributes.get("alpha")
    if isinstance(alpha, (int, float)) and alpha != 1 and kind in {"add", "sub"}:
        data[0 if word == "rsub" else 1] = data[0 if word == "rsub" else 1] * alpha
    return Operation(_kind(call, data), {}, (data[0], data[1]))


_WORDS = {
    "max": "maximum",
    "min": "minimum",
    "maximum": "maximum",
    "minimum": "minimum",
    "floor_divide": "floor_divide",
    "floordiv": "floor_divide",
    "floor_div": "floor_divide",
    "remainder": "remainder",
    "mod": "remainder",
    "floor_mod": "remainder",
    "fmod": "fmod",
    "squared_difference": "squared_difference",
}


def _kind(call: Call, data: list[Array]) -> str:
    rounding = call.attributes.get("rounding_mode")
    if call.node.kind == "div":
        if rounding in {"floor", "trunc"}:
            return "floor_divide" if rounding == "floor" else "trunc_divide"
        integers = all(operand.dtype.kind in "iu" for operand in data)
        return "trunc_divide" if integers and call.node.op == "Div" else "div"
    if call.node.kind in {"minmax", "binary"}:
        if call.word == "mod" and call.attributes.get("fmod"):
            return "fmod"
        if call.word not in _WORDS:
            raise Unsupported(call.node.op)
        return _WORDS[call.word]
    return call.node.kind


@computes(
    "add",
    "sub",
    "mul",
    "div",
    "pow",
    "maximum",
    "minimum",
    "floor_divide",
    "trunc_divide",
    "remainder",
    "fmod",
    "squared_difference",
)
def combine(operation: Operation) -> Array:
    """Element by element, broadcast from the last axis."""
    left, right = (wide(operand) for operand in operation.data)
    return _binary()[operation.kind](left, right)


_COMPARED = {
    "gt": "greater",
    "greater": "greater",
    "ge": "greater_equal",
    "greaterorequal": "greater_equal",
    "greater_equal": "greater_equal",
    "lt": "less",
    "less": "less",
    "le": "less_equal",
    "lessorequal": "less_equal",
    "less_equal": "less_equal",
    "eq": "equal",
    "equal": "equal",
    "ne": "not_equal",
    "not_equal": "not_equal",
}


@reads("compare")
def read_comparison(call: Call) -> Operation:
    """Two operands, the second of which may be written into the node; setting form: numpy's word."""
    import numpy as np

    data = [operand for operand in call.operands if operand is not None]
    form = _COMPARED.get(call.word)
    if len(data) == 1 and isinstance(call.attributes.get("other"), (int, float)):
        data.append(np.asarray(call.number("other", default=0.0)))
    if form is None or len(data) != 2:
        raise Unsupported(call.node.op)
    return Operation("compare", {"form": form}, (data[0], data[1]))


@computes("compare")
def compare(operation: Operation) -> Array:
    """True and false. A number that is written out is as wide as what it is compared with."""
    import numpy as np

    left, right = operation.data
    if right.size == 1 and left.dtype.kind == "f":
        right = right.astype(left.dtype)
    result: Array = getattr(np, operation.settings["form"])(left, right)
    return result


@reads("matmul")
def read_matmul(call: Call) -> Operation:
    """x · kernelᵀ + bias with kernel [out, in] where the second factor is a weight, else left · right."""
    word, operands = call.word, [o for o in call.operands if o is not None]
    if any(part in word for part in ("integer", "qlinear", "einsum", "nbits", "bilinear", "tensordot", "outer")):
        raise Unsupported(call.node.op)
    bias: Array | None = None
    if word in {"addmm", "baddbmm", "addmv"}:
        bias, left, right = operands[:3]
    else:
        left, right = operands[0], operands[1]
        bias = operands[2] if len(operands) > 2 else None
    attributes = call.attributes
    scale = call.number("alpha", default=1.0) if word in {"gemm", "addmm"} else 1.0
    if attributes.get("transA") or attributes.get("transpose_a"):
        left = left.swapaxes(-1, -2)
    linear = word in {"linear", "fully_connected"}
    turned = bool(attributes.get("transB") or attributes.get("transpose_b") or linear)
    settings: dict[str, Any] = {"scale": scale, "linear": linear}
    if bias is not None:
        bias = bias * call.number("beta", default=1.0) if word in {"gemm", "addmm"} else bias
    parameters = {} if bias is None else {"bias": bias}
    place = [i for i, o in enumerate(call.operands) if o is not None]
    constant = [call.constant[i] for i in place]
    weight = 2 if word in {"addmm", "baddbmm"} else 1
    if len(constant) > weight and (constant[weight] or linear) and right.ndim == 2:
        if word == "fully_connected" and left.ndim != 2:
            left = left.reshape(-1, right.shape[-1]) if not attributes.get("keep_num_dims") else left
        return Operation("matmul", settings, (left,), parameters | {"kernel": right if turned else right.T})
    return Operation("matmul", settings, (left, right.swapaxes(-1, -2) if turned else right), parameters)


@computes("matmul")
def multiply(operation: Operation) -> Array:
    """A matrix product with numpy's broadcasting."""
    left = wide(operation.data[0])
    right = wide(operation.parameters["kernel"]).T if "kernel" in operation.parameters else wide(operation.data[1])
    result = left @ right * operation.settings["scale"]
    bias = operation.parameters.get("bias")
    summed: Array = result if bias is None else result + bias
    return summed


_REDUCTIONS = {
    "mean": "mean",
    "reducemean": "mean",
    "sum": "sum",
    "reducesum": "sum",
    "amax": "max",
    "max": "max",
    "reducemax": "max",
    "amin": "min",
    "min": "min",
    "reducemin": "min",
    "var": "var",
    "std": "std",
    "reducel2": "l2",
    "norm": "l2",
    "prod": "prod",
    "reduceprod": "prod",
    "reducel1": "l1",
    "reducesumsquare": "sumsquare",
    "logsumexp": "logsumexp",
    "reducelogsumexp": "logsumexp",
}


@reads("cumsum")
def read_running_sum(call: Call) -> Operation:
    """Settings axis, reverse, exclusive."""
    x, axis = call.need(0), call.attributes.get("axis", call.attributes.get("dim"))
    if call.word != "cumsum" or not isinstance(axis, int):
        raise Unsupported(call.node.op)
    ends = {name: bool(call.attributes.get(name, False)) for name in ("reverse", "exclusive")}
    return Operation("cumsum", {"axis": axis % x.ndim, **ends}, (x,))


@computes("cumsum")
def running_sum(operation: Operation) -> Array:
    """Sums of all up to each element, from either end, with it or without."""
    import numpy as np

    x, axis, settings = wide(operation.data[0]), operation.settings["axis"], operation.settings
    x = np.flip(x, axis) if settings["reverse"] else x
    total: Array = np.cumsum(x, axis=axis)
    total = total - x if settings["exclusive"] else total
    return np.flip(total, axis) if settings["reverse"] else total


@reads("reduce")
def read_reduce(call: Call) -> Operation:
    """Settings form, axes, keep, correction."""
    import numpy as np

    x, word = call.need(0), call.word.replace("_", "")
    if word not in _REDUCTIONS:
        raise Unsupported(call.node.op)
    axes: Any = call.attributes.get("axes", call.attributes.get("axis", call.attributes.get("dim")))
    second = call.operand(1)
    if axes is None and second is not None and second.dtype.kind in "iu" and second.size <= x.ndim:
        axes = tuple(int(v) for v in np.asarray(second).reshape(-1))
    if isinstance(axes, int):
        axes = (axes,)
    every = tuple(range(x.ndim))
    axes = tuple(int(a) % x.ndim for a in axes if a is not None) if isinstance(axes, tuple) and axes else every
    keep = bool(call.attributes.get("keepdims", call.attributes.get("keep_dims", False)))
    if call.shape is not None:
        keep = len(call.shape) == x.ndim and x.ndim > 0
    correction = call.number("correction", default=1.0)
    if call.attributes.get("unbiased") is False:
        correction = 0.0
    settings = {"form": _REDUCTIONS[word], "axes": tuple(sorted(axes)), "keep": keep, "correction": correction}
    return Operation("reduce", settings, (x,))


@computes("reduce")
def reduce(operation: Operation) -> Array:
    """Sums in float64."""
    import numpy as np

    settings = operation.settings
    x = operation.data[0]
    if x.dtype.kind == "f":
        x = x.astype(np.float64)
    axes, keep, form = settings["axes"], settings["keep"], settings["form"]
    if form in {"var", "std"}:
        count = int(np.prod([x.shape[a] for a in axes]))
        mean = x.mean(axis=axes, keepdims=True)
        variance = np.square(x - mean).sum(axis=axes, keepdims=keep) / max(count - settings["correction"], 1e-30)
        return np.asarray(variance if form == "var" else np.sqrt(variance))
    if form == "l2":
        return np.asarray(np.sqrt(np.square(x).sum(axis=axes, keepdims=keep)))
    if form == "l1":
        return np.asarray(np.abs(x).sum(axis=axes, keepdims=keep))
    if form == "sumsquare":
        return np.asarray(np.square(x).sum(axis=axes, keepdims=keep))
    if form == "logsumexp":
        return np.asarray(np.log(np.exp(x).sum(axis=axes, keepdims=keep)))
    return np.asarray(getattr(x, form)(axis=axes, keepdims=keep))
