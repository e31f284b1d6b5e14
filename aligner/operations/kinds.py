"""What each kind of node means, said once: a row of traits for each kind, and the sets that follow from them.

Whatever asks whether a node moves data, sums up, may be folded or draws random numbers asks here. A kind without a row
fails a test, and so does a set of kinds that is typed in elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Literal

from aligner.records.dataclass import dataclass

Output = Literal[
    "same",  # the input under another name
    "recoded",  # the input's elements in another representation, as near as that has them
    "moved",  # the input's elements in their order, or with axes exchanged
    "shuffled",  # the input's elements, blocks of an axis spread over others
    "picked",  # some of the input's elements, by places
    "looked_up",  # slices of a table, by an operand of indices
    "placed",  # the input's elements, repeated, or with others beside them
    "elementwise",  # each from the elements at its own place
    "windowed",  # each from a neighbourhood along the spatial axes
    "summed",  # each from everything along an axis
    "product",  # sums of products with a second operand
    "ranked",  # places or elements by their order
    "made",  # from no data at all
    "unknown",
]
Layout = Literal["keeps", "spatial"]
Affine = Literal["shift", "scale"]
Weights = Literal["kernel", "vectors", "cells", "table", "indexed", "projections"]
Sums = Literal["products", "axis"]
Response = Literal["steps", "chooses", "compounds", "unknown"]
Drawing = Literal["itself", "inside"]


@dataclass(frozen=True, slots=True)
class KindTraits:
    """What holds for every node of a kind.

    ``output``: how its elements come about. ``exact``: without arithmetic that rounds, as copies and one-sided limits.
    ``operands``: how many tensors an elementwise kind combines. ``commutative``: they may stand in another order,
    perhaps of the converse (a < b is b > a). ``affine``: the inverse of what it does is an operation of its class too.
    ``layout``: axes keep their places, or the node says itself where channels are. ``apart``: channels do not meet.
    ``resizes``: sizes are written into it, and where the shape stays as it is it does nothing. ``strided``: it has
    windows, with strides and padding. ``configured``: constants among its operands say how, not what with.
    ``weights``: what its trained parameters are. ``sums``: over its weights, or along an axis. ``activation``: a
    nonlinearity of one element. ``bounded``: its output has a fixed range, and rounding inside is a few units of that
    range however large the inputs are (|x| · exp(−|x|) < 1). ``fuses``: a converter may work it into the node before
    it, with nothing left to see.
    ``sundry``: the kind lumps operations together which have nothing in common. ``response``: why a small difference
    may become a large one. ``pure``: constants make a constant of it. ``draws``: random numbers, as its purpose or
    somewhere inside. ``principal``: what a user should open first in a region; the table's order is that of weight.
    ``families``: classes within which a converter, or a fault, may turn one kind into the other. ``nested``: graphs of
    its own decide what runs, of a loop several times.
    """

    output: Output
    exact: bool = False
    operands: int = 1
    commutative: bool = False
    affine: Affine | None = None
    layout: Layout | None = None
    apart: bool = False
    resizes: bool = False
    strided: bool = False
    configured: bool = False
    weights: Weights | None = None
    sums: Sums | None = None
    activation: bool = False
    bounded: bool = False
    fuses: bool = False
    sundry: bool = False
    response: Response | None = None
    pure: bool = True
    draws: Drawing | None = None
    principal: bool = False
    families: tuple[str, ...] = ()
    nested: bool = False


_elementwise = partial(KindTraits, "elementwise", layout="keeps", apart=True)
_activation = partial(_elementwise, activation=True)
_CONVOLUTION = KindTraits(
    "product",
    layout="spatial",
    strided=True,
    weights="kernel",
    sums="products",
    principal=True,
    families=("linear",),
)

_ROWS: dict[str, KindTraits] = {
    # linear layers and others with trained parameters
    "conv": _CONVOLUTION,
    "conv_transpose": _CONVOLUTION,
    "matmul": KindTraits("product", weights="kernel", sums="products", principal=True, families=("linear",)),
    "recurrent": KindTraits(
        "unknown", weights="cells", sums="products", response="compounds", draws="inside", principal=True
    ),
    "attention": KindTraits(
        "unknown", weights="projections", sums="axis", response="compounds", draws="inside", principal=True
    ),
    "norm": KindTraits(
        "summed", layout="keeps", apart=True, weights="vectors", sums="axis", fuses=True, principal=True
    ),
    # windows, and what goes along an axis
    "resize": KindTraits("windowed", layout="spatial", apart=True, resizes=True, configured=True, principal=True),
    "max_pool": KindTraits(
        "windowed", exact=True, layout="spatial", apart=True, strided=True, principal=True, families=("pool",)
    ),
    "avg_pool": KindTraits(
        "windowed", layout="spatial", apart=True, strided=True, sums="axis", principal=True, families=("pool",)
    ),
    "reduce": KindTraits("summed", configured=True, sums="axis", families=("pool",)),
    "softmax": KindTraits("summed", layout="keeps", sums="axis", bounded=True, principal=True, families=("softmax",)),
    "log_softmax": KindTraits("summed", layout="keeps", sums="axis", principal=True, families=("softmax",)),
    "cumsum": KindTraits("summed", layout="keeps", configured=True, sums="axis"),
    # moved data
    "depth_to_space": KindTraits(
        "shuffled", exact=True, layout="spatial", configured=True, principal=True, families=("layout",)
    ),
    "concat": KindTraits("placed", exact=True, layout="keeps", principal=True),
    "pad": KindTraits("placed", exact=True, layout="keeps", apart=True, resizes=True, configured=True, principal=True),
    "slice": KindTraits(
        "picked", exact=True, layout="keeps", apart=True, resizes=True, configured=True, families=("pick",)
    ),
    "split": KindTraits("picked", exact=True, layout="keeps", resizes=True, configured=True, families=("pick",)),
    "expand": KindTraits("placed", exact=True, layout="keeps", resizes=True, configured=True, families=("layout",)),
    "tile": KindTraits("placed", exact=True, layout="keeps", resizes=True, configured=True, families=("layout",)),
    "gather": KindTraits(
        "looked_up", exact=True, apart=True, weights="indexed", response="chooses", families=("pick",)
    ),
    "embedding": KindTraits("looked_up", exact=True, weights="table", response="chooses", families=("pick",)),
    "scatter": KindTraits("placed", response="chooses"),
    "transpose": KindTraits("moved", exact=True, configured=True, families=("layout",)),
    "reshape": KindTraits("moved", exact=True, configured=True, families=("layout",)),
    "cast": KindTraits("recoded", layout="keeps", apart=True, response="steps"),
    "quantize": KindTraits("recoded", layout="keeps", apart=True, fuses=True, response="steps"),
    "dequantize": KindTraits("recoded", layout="keeps", apart=True, response="steps"),
    "identity": KindTraits("same", exact=True, layout="keeps", apart=True),
    "dropout": KindTraits("same", exact=True, layout="keeps", apart=True, draws="itself"),
    # arithmetic, element by element
    "add": _elementwise(operands=2, commutative=True, affine="shift", families=("sum", "choice")),
    "sub": _elementwise(operands=2, affine="shift", families=("sum",)),
    "mul": _elementwise(operands=2, commutative=True, affine="scale", families=("scale", "power", "choice")),
    "div": _elementwise(operands=2, affine="scale", families=("scale",)),
    "pow": _elementwise(operands=2, families=("power",)),
    "minmax": _elementwise(exact=True, operands=2, commutative=True, families=("rectifier",)),
    "binary": _elementwise(operands=2, commutative=True, sundry=True, response="unknown", families=("sum", "scale")),
    "where": _elementwise(exact=True, operands=3, response="chooses", families=("choice",)),
    "compare": _elementwise(operands=2, commutative=True, response="steps"),
    "sqrt": _elementwise(),
    "exp": _elementwise(),
    "log": _elementwise(),
    "abs": _elementwise(exact=True),
    "neg": _elementwise(exact=True),
    "erf": _elementwise(bounded=True),
    "unary": _elementwise(sundry=True, families=("power",)),
    "relu": _activation(exact=True, fuses=True, families=("rectifier",)),
    "relu6": _activation(exact=True, fuses=True, families=("rectifier",)),
    "clip": _activation(exact=True, fuses=True, configured=True, families=("rectifier",)),
    "leaky_relu": _activation(fuses=True, draws="inside", families=("rectifier",)),
    "prelu": _activation(weights="vectors", families=("rectifier",)),
    "elu": _activation(families=("rectifier",)),
    "gelu": _activation(families=("rectifier",)),
    "silu": _activation(families=("rectifier",)),
    "hardswish": _activation(families=("rectifier",)),
    "softplus": _activation(families=("rectifier",)),
    "mish": _activation(families=("rectifier",)),
    "activation": _activation(draws="inside", families=("rectifier",)),
    "sigmoid": _activation(bounded=True, families=("squash",)),
    "tanh": _activation(bounded=True, families=("squash",)),
    "hardsigmoid": _activation(bounded=True, families=("squash",)),
    # what is ordered, made, or not known
    "argmax": KindTraits("ranked", configured=True, response="steps"),
    "topk": KindTraits("ranked", configured=True, response="steps"),
    "sort": KindTraits("ranked", configured=True, response="steps"),
    "reverse_sequence": KindTraits("shuffled", exact=True, configured=True),
    "nms": KindTraits("ranked", configured=True, response="steps"),
    "constant": KindTraits("made", configured=True),
    "shape": KindTraits("made", configured=True),
    "random": KindTraits("made", layout="keeps", configured=True, response="unknown", pure=False, draws="itself"),
    "control_flow": KindTraits("unknown", response="unknown", pure=False, nested=True),
    "loop": KindTraits("unknown", response="unknown", pure=False, nested=True),
    "opaque": KindTraits("unknown", response="unknown", pure=False),
    "other": KindTraits("unknown", sundry=True, response="unknown"),
}
TRAITS: Mapping[str, KindTraits] = MappingProxyType(_ROWS)
"""Kind → its traits, the weightiest kinds first; ``reshape`` covers flatten, view, squeeze and unsqueeze."""


_LUMPED = {
    "pow": "square",
    "minmax": "maximum minimum",
    "unary": (
        "reciprocal rsqrt floor ceil round trunc frac sign sin cos tan asin acos atan sinh cosh asinh acosh atanh "
        "expm1 exp2 log1p log2 log10 erfc not bitwise_not isnan isinf isfinite real imag angle conjugate complex_pairs "
        "pairs_complex"
    ),
    "binary": (
        "floor_divide remainder fmod squared_difference atan2 hypot logaddexp copysign xlogy logical_and logical_or "
        "logical_xor bitwise_and bitwise_or bitwise_xor shift_left shift_right"
    ),
    "activation": "celu log_sigmoid selu shrink softsign tanhshrink threshold",
}
SHOWN_AS: Mapping[str, str] = {kind: lump for lump, those in _LUMPED.items() for kind in those.split()}
"""Operation → the kind of its nodes, of those without a row of their own."""


def kinds_that(hold: Callable[[KindTraits], bool]) -> frozenset[str]:
    """The kinds of which something holds."""
    return frozenset(kind for kind, traits in TRAITS.items() if hold(traits))


def kinds_of(words: Mapping[str, str], spelled: str) -> dict[str, str]:
    """A framework's words, each with its kind: those listed by kind, and those that are ``spelled`` as theirs is."""
    listed = {word: kind for kind, those in words.items() for word in those.split()}
    own = {kind.replace("_", ""): kind for kind in TRAITS}
    return listed | {word: own[word.replace("_", "").lower()] for word in spelled.split()}


def ordered(kinds: frozenset[str]) -> tuple[str, ...]:
    """Kinds in the table's order, the weightiest first."""
    return tuple(kind for kind in TRAITS if kind in kinds)


def same_family(reference: str, candidate: str) -> bool:
    """Whether a converter, or a fault, may have turned one kind into the other."""
    if reference == candidate:
        return True
    rows = TRAITS.get(reference), TRAITS.get(candidate)
    return rows[0] is not None and rows[1] is not None and not set(rows[0].families).isdisjoint(rows[1].families)


def neutral_element(kind: str) -> float | None:
    """The constant with which an affine kind changes nothing."""
    affine = TRAITS[kind].affine if kind in TRAITS else None
    return None if affine is None else 0.0 if affine == "shift" else 1.0


SOURCES = kinds_that(lambda row: row.output == "made" and row.pure)
"""Constants and shapes: they hold no data of the run's own."""
RECODED = kinds_that(lambda row: row.output == "recoded")
QUANTIZES = RECODED - {"cast"}
MOVED = kinds_that(lambda row: row.output == "moved")
RENAMED = kinds_that(lambda row: row.output == "same")
VIEWS = MOVED | RENAMED
"""The same numbers, under another name or at another place."""
COPIES = RECODED | RENAMED
"""One data input, and an output of its shape and elements, up to what their dtype can hold."""
LAYOUT = VIEWS | RECODED
"""One data input, and an output that holds the same elements: the tensor before and after are one thing, moved."""
REARRANGED = kinds_that(lambda row: row.output == "shuffled" and row.layout == "spatial")
"""The same elements elsewhere: written out, reshapes around a transposition."""
ORDERED = kinds_that(lambda row: row.operands == 2 and not row.commutative)
"""Two operands that are told apart."""
AMONG_NEAR = kinds_that(lambda row: row.output == "windowed")
"""Means and maxima of what lies near: no number beyond those that are read."""
PICKED = kinds_that(lambda row: row.output == "picked")
LOOKED_UP = kinds_that(lambda row: row.output == "looked_up")
MOVES_DATA = kinds_that(lambda row: row.output in {"same", "recoded", "moved", "shuffled", "picked", "looked_up"}) | (
    kinds_that(lambda row: row.output == "placed" and row.exact)
)
"""Kinds that compute nothing: what they give are elements of what they read, or fill."""
SILENT = VIEWS | SOURCES | {"cast"}
"""Kinds without settings or weights that change numbers."""
EXACT = kinds_that(lambda row: row.exact)
"""Kinds whose output elements are copies (or one-sided limits, or of the other sign) of input elements."""
RESIZES = kinds_that(lambda row: row.resizes)
FITTING = kinds_that(lambda row: row.resizes and row.exact and row.apart)
"""What gives a tensor another size and computes nothing: slices and paddings."""
SIZED = RESIZES | {"reshape"}
"""Kinds that sizes are written into."""

AVERAGES = kinds_that(lambda row: row.sums == "axis" and "pool" in row.families)
"""Kinds that give fewer elements than they read, each a sum or a mean of some."""
ELEMENTWISE = kinds_that(lambda row: row.output == "elementwise")
BOUNDED = kinds_that(lambda row: row.bounded)
ACTIVATIONS = kinds_that(lambda row: row.activation)
AFFINE = kinds_that(lambda row: row.affine is not None)
SCALES = kinds_that(lambda row: row.affine == "scale")
SHIFTS = kinds_that(lambda row: row.affine == "shift")
INVERSES = kinds_that(lambda row: row.affine is not None and not row.commutative)
"""Of affine kinds those that undo: the constant is their second operand."""
BINARY = kinds_that(lambda row: row.output == "elementwise" and row.operands == 2 and row.response != "steps")
"""Arithmetic on two tensors."""
COMBINES = kinds_that(lambda row: row.operands > 1) | {"concat"}
"""Kinds that put several tensors together, any of which may be a constant."""
COMMUTATIVE = kinds_that(lambda row: row.commutative)
SUNDRY = kinds_that(lambda row: row.sundry)

LINEAR = kinds_that(lambda row: row.output == "product")
CONVOLUTIONS = kinds_that(lambda row: row.output == "product" and row.strided)
STRIDED = kinds_that(lambda row: row.strided)
SPATIAL = kinds_that(lambda row: row.layout == "spatial")
KEEPS_AXES = kinds_that(lambda row: row.layout == "keeps")
ALONG_AN_AXIS = kinds_that(
    lambda row: row.layout == "keeps" and (row.output == "picked" or (row.output == "placed" and not row.resizes))
)
"""Kinds that take tensors apart, or put them together, along axes that they name."""
CHANNELS_APART = kinds_that(lambda row: row.apart)
"""Kinds that work on each channel apart, or put whole channels elsewhere."""
SUMS_PRODUCTS = kinds_that(lambda row: row.sums == "products")
SUMS_AXIS = kinds_that(lambda row: row.sums == "axis")

PARAMETRIC = kinds_that(lambda row: row.weights not in {None, "indexed"})
"""Layers that have trained parameters."""
LAYERS = kinds_that(lambda row: row.weights not in {None, "projections"})
"""Kinds whose replay names their parameters, tables of a plain gather included."""
MATRIX_LAYERS = kinds_that(lambda row: row.weights in {"kernel", "cells", "table"})
CONFIGURED = kinds_that(lambda row: row.configured)
"""Kinds whose constant operands say how, not what with: no weights."""
FUSIBLE = kinds_that(lambda row: row.fuses)
"""Kinds that a converter folds into the layer before them, with nothing left to see of them."""

DRAWS = kinds_that(lambda row: row.draws == "itself")
MAY_DRAW = kinds_that(lambda row: row.draws is not None)
IMPURE = kinds_that(lambda row: not row.pure)
NESTED = kinds_that(lambda row: row.nested)
STEPS = kinds_that(lambda row: row.response == "steps")
STEP_FUNCTIONS = frozenset("floor ceil round trunc sign frac not bitwise_not isnan isinf isinf_signed isfinite".split())
"""Of the operations that "unary" lumps together those that jump."""
AMPLIFIES = kinds_that(lambda row: row.response is not None)
"""Kinds that may make a large difference of a small one, and those of which nothing is known."""
PRINCIPAL = ordered(kinds_that(lambda row: row.principal))
"""What a user should open first in a region, the weightiest first."""
