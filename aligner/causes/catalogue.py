"""What there is to say of each cause beside its code: what helps, and an example; the rest is read off the classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from aligner.causes.cause import Cause
from aligner.causes.global_cause import WholeCause
from aligner.causes.search import find_causes  # noqa: F401 - loads every family
from aligner.causes.unknown import Unknown
from aligner.errors import InputError

_HELP = {
    "activation-variant": (
        "use the reference's function, slope and limits, or replace the module by one that exports exactly",
        "GELU exported with the tanh approximation; LeakyReLU of slope 0.01 for 0.2",
    ),
    "attention-mask": (
        "pass the mask on unchanged; build causal masks inside the model with torch.triu(..., diagonal=1)",
        "a causal mask lost in the export, or beginning one diagonal too late",
    ),
    "attention-scale": (
        "scale the scores by 1/√(head width), once",
        "a fused attention that scales again what was scaled already",
    ),
    "attributes-differ": (
        "give the node the reference's attributes",
        "an operator of a vendor's own, or a tree ensemble, with other numbers inside",
    ),
    "axis-not-remapped": (
        "count the axis in this model's layout",
        "a concatenation along axis 1 kept as axis 1 after NCHW became NHWC",
    ),
    "axis-split": (
        "split the axis into the reference's factors: the number of heads or groups",
        "view(b, t, 8, -1) for view(b, t, 4, -1); a channel shuffle of 4 groups for 2",
    ),
    "broadcast-axis": (
        "reshape the vector to the axis it belongs to ([C, 1, 1] for channels first)",
        "a per-channel scale applied along the width, which is as long",
    ),
    "capture-artefact": (
        "compare with the runtime's optimisations off, and look whether the untouched model is wrong at all",
        "a fusion that is switched off by observing a tensor inside it",
    ),
    "concat-order": (
        "pass the parts in the reference's order",
        "skip connection and upsampled features joined the other way round",
    ),
    "constant-changed": (
        "give the node the reference's number, or export again after its last change",
        "a fill value of −100 for −∞; a buffer that changed after the export",
    ),
    "conv-stride-dilation-groups": (
        "give the layer the reference's stride, dilation, groups and kernel size",
        "dilation dropped by a converter",
    ),
    "depth-to-space-order": (
        "choose CRD for torch.nn.PixelShuffle, DCR for TensorFlow's depth_to_space",
        "a pixel shuffle converted to TensorFlow's order",
    ),
    "division-rounding": (
        "write the rounding out (torch.div(..., rounding_mode=...)) before exporting",
        "−7 // 2 as −3 instead of −4",
    ),
    "dropout-active": (
        "call model.eval() before exporting, and F.dropout(x, training=self.training)",
        "functional dropout that ignores eval()",
    ),
    "embedding-offset": (
        "check the padding row and the first index of the vocabulary",
        "a vocabulary with an extra row for padding",
    ),
    "flatten-order": (
        "transpose to the reference's layout before the flatten, or permute the dense layer's columns",
        "a flatten of NHWC features before a dense layer trained on NCHW",
    ),
    "fusion-or-kernel": (
        "run with optimisations off or another provider; report the kernel to its runtime",
        "a graph fusion that drops a bias",
    ),
    "gru-reset-after": (
        "choose the form that the weights were trained with (reset_after, linear_before_reset)",
        "a Keras GRU read as ONNX's default form",
    ),
    "ill-conditioned": (
        "compare in float64, or judge by what is decided from the outputs",
        "the difference of two nearly equal sums",
    ),
    "inplace-write-lost": (
        "write x = torch.where(...) or torch.cat(...) instead of assigning through a view",
        "y[:, ::2] *= 0.5 lost when traced",
    ),
    "input-channel-order": (
        "give both sides RGB or both BGR",
        "a picture read by OpenCV on one side",
    ),
    "input-dtype": (
        "feed floats; cast after scaling, not before",
        "pictures of 0…1 cast to uint8",
    ),
    "input-layout": (
        "transpose the input, do not reshape it",
        "NHWC reshaped to NCHW",
    ),
    "input-mean-std": (
        "subtract the same mean and divide by the same deviation on both sides",
        "ImageNet statistics on one side only",
    ),
    "input-resize": (
        "resize the picture once and feed both models the same array",
        "bilinear on one side, area on the other",
    ),
    "input-scale": (
        "scale the input alike on both sides, once",
        "0…255 fed where 0…1 is expected",
    ),
    "integer-saturation": (
        "quantise the weights to 7 bits (reduce_range=True), or run where the processor has VNNI",
        "uint8 activations times int8 weights of ±127 in onnxruntime on a processor with AVX2 alone",
    ),
    "layout-transposition": (
        "give the transposition the reference's order, or remove the one that was added",
        "permute(0, 2, 3, 1) for permute(0, 3, 1, 2)",
    ),
    "nondeterministic-kernel": (
        "ask the runtime for deterministic kernels, or keep the spread of several runs in mind",
        "sums by atomic additions",
    ),
    "nonfinite-introduced": (
        "keep divisors from zero and logarithms and roots from negative numbers; mask with large finite numbers",
        "log of a negative number; a softmax over a row masked entirely",
    ),
    "norm-epsilon": (
        "use one epsilon on both sides",
        "Keras's 1e-3 for PyTorch's 1e-5",
    ),
    "norm-statistics": (
        "check which vector is which and that all were loaded, the axes and the groups",
        "gamma and beta exchanged; running statistics left at 0 and 1",
    ),
    "norm-train-mode": (
        "call model.eval() before exporting",
        "batch statistics used in the exported file",
    ),
    "operand-swapped": (
        "swap the operands back",
        "b − a for a − b",
    ),
    "operation-changed": (
        "compute what the reference computes",
        "abs for a square, log2 for log",
    ),
    "operation-extra": (
        "remove the operation from the candidate, or add it to the reference",
        "a sigmoid inside the model and another in the export wrapper",
    ),
    "operation-missing": (
        "add what the operation does to the candidate, or leave it out of the reference",
        "a softmax or a normalisation lost in the export",
    ),
    "operation-order": (
        "apply the two in the reference's order",
        "√x + ε for √(x + ε)",
    ),
    "output-extra": (
        "leave training outputs out of the export, and bind outputs by name",
        "auxiliary heads exported",
    ),
    "output-order": (
        "bind outputs by name, not by position",
        "outputs sorted by name by a converter",
    ),
    "padding-asymmetric": (
        "pad explicitly before a layer without padding, as the reference does",
        "TensorFlow's SAME with stride 2",
    ),
    "padding-mode": (
        "pad with the reference's mode and value",
        "zeros for a reflection",
    ),
    "pool-ceil-mode": (
        "use the reference's ceil_mode",
        "a last window that hangs over the edge",
    ),
    "pool-count-include-pad": (
        "use the reference's count_include_pad",
        "averages at the border divided by the window's size",
    ),
    "precision-bf16": (
        "keep the node in float32, or allow for bfloat16's tolerance",
        "autocast left on",
    ),
    "precision-chosen": (
        "keep the runtime to the precision that the model declares, or allow for what the device has",
        "OpenVINO in bfloat16 on a CPU that has matrix units for it",
    ),
    "precision-double-cast": (
        "multiply by Python floats instead of numpy scalars",
        "a float64 constant that widens the graph",
    ),
    "precision-fp16": (
        "keep the node in float32, or allow for float16's tolerance",
        "a half-precision island",
    ),
    "precision-overflow": (
        "compute the node in float32, or scale its input down",
        "attention scores beyond 65504",
    ),
    "quantization-calibration": (
        "calibrate on real inputs, prepared as they will be in use",
        "flat tops on unusual inputs",
    ),
    "quantization-expected": (
        "nothing: this is what the declared precision costs",
        "an int8 twin within two steps",
    ),
    "quantization-scale": (
        "quantise and dequantise with one scale",
        "a scale read from another tensor",
    ),
    "quantization-zero-point": (
        "use one zero point and integer type for both",
        "int8 read as uint8",
    ),
    "random-op": (
        "feed the noise as an input, or store it as a constant",
        "noise drawn inside a generator",
    ),
    "reduce-axis-or-bias": (
        "reduce over the reference's axes, with its correction",
        "std with n instead of n − 1",
    ),
    "residual-missing": (
        "connect the skip connection to the sum",
        "an addition lost in a rewrite",
    ),
    "resize-coordinate-mode": (
        "choose the reference's coordinates (align_corners, half_pixel, asymmetric)",
        "align_corners=True lost",
    ),
    "resize-nearest-rounding": (
        "choose the reference's rounding (nearest or nearest-exact)",
        "floor for round_prefer_floor",
    ),
    "rnn-direction": (
        "read the sequence in the reference's direction",
        "a reversed half that is not turned back",
    ),
    "rnn-gate-order": (
        "reorder the rows of both weights and biases to the framework's gate order",
        "i f g o read as i o f g",
    ),
    "rolled": (
        "roll by the reference's number of places, or not at all",
        "torch.roll(x, 3, -1) for torch.roll(x, 2, -1) in a shifted window",
    ),
    "rounding": (
        "compare with --tolerance if this much does not matter",
        "another order of summation",
    ),
    "saturation": (
        "remove the limit, or clip the reference as well",
        "an activation clipped at 6",
    ),
    "setting-changed": (
        "give the node the reference's settings",
        "align_corners of a grid sample",
    ),
    "slice-bounds": (
        "slice as the reference does",
        "x[:, 1:] for x[:, :-1]",
    ),
    "softmax-axis": (
        "normalise along the reference's axis",
        "dim=1 for dim=-1",
    ),
    "spatial-flip": (
        "remove the flip, or apply it on both sides",
        "a picture mirrored on one side",
    ),
    "split-order": (
        "take the parts in the reference's order",
        "scale and shift of a modulation exchanged",
    ),
    "trace-baked-branch": (
        "export with torch.jit.script, torch.cond or torch.where",
        "if x.sum() > 0: in forward",
    ),
    "trace-baked-constant": (
        "keep the value in the graph: no .item(), float(), int() or numpy while tracing",
        "x / float(x.max())",
    ),
    "trace-baked-shape": (
        "export with dynamic axes, and take sizes from x.shape",
        "a positional table cut to the traced length",
    ),
    "transposed-conv-output-padding": (
        "crop the transposed convolution as the reference does",
        "output_padding dropped",
    ),
    "unknown": (
        "look at this node and its settings on both sides",
        "two differences at one place",
    ),
    "weights-bias-missing": (
        "carry the bias over, once",
        "a bias lost when a layer was fused",
    ),
    "weights-bn-fold": (
        "fold once, along the output channels",
        "a scale folded along the input channels of a transposed convolution",
    ),
    "weights-changed": (
        "export from the weights the reference uses",
        "an export older than the checkpoint",
    ),
    "weights-not-loaded": (
        "load the checkpoint before exporting; check what load_state_dict(strict=False) returns",
        "a checkpoint nested in params_ema",
    ),
    "weights-partly-loaded": (
        "check the keys and shapes that were skipped",
        "a head of another number of classes",
    ),
    "weights-permuted": (
        "store the weight in the order the operation expects",
        "kernels flipped; height and width exchanged",
    ),
    "weights-prefix-mismatch": (
        "strip or add the prefix of these keys",
        "module. of DataParallel",
    ),
    "weights-quantized": (
        "quantise per channel, leave this layer in float, or accept the loss",
        "eight-bit weights in a file named float",
    ),
    "weights-reduced-precision": (
        "keep this weight in float32, or accept the loss",
        "weights saved in float16",
    ),
    "weights-shared-edited": (
        "copy a shared weight before editing it for one of its uses",
        "a tied embedding transposed in place",
    ),
    "weights-transposed": (
        "store the weight in the axis order the operation expects",
        "a square matrix not transposed",
    ),
    "weights-wrong-entry": (
        "load the same entry of the checkpoint on both sides",
        "params for params_ema",
    ),
}
"""Id → what to do, an example."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One cause: what it is, how it is shown, what helps, an example."""

    id: str
    what: tuple[str, ...]
    shown: tuple[str, ...]
    fix: str
    example: str


def catalogue() -> Iterator[Entry]:
    """Every cause, by id."""
    kinds: dict[str, list[type[Cause] | type[WholeCause]]] = {}
    every: list[type[Cause] | type[WholeCause]] = [*Cause.registry, *WholeCause.registry, Unknown]
    for kind in every:
        kinds.setdefault(kind.id, []).append(kind)
    for identifier in sorted(kinds):
        group = kinds[identifier]
        what = dict.fromkeys((kind.__doc__ or "").strip().split("\n")[0] for kind in group)
        shown = dict.fromkeys(kind.shown for kind in group)
        yield Entry(identifier, tuple(what), tuple(shown), *_HELP[identifier])


def entry(identifier: str) -> Entry:
    """One cause; raises InputError where there is none of that id."""
    from difflib import get_close_matches

    every = {one.id: one for one in catalogue()}
    if identifier not in every:
        near = get_close_matches(identifier, every, 5, 0.4)
        raise InputError(
            f"there is no cause {identifier!r}",
            found=f"near it: {', '.join(near)}" if near else f"{len(every)} causes",
            hint="align explain lists them all",
        )
    return every[identifier]


def paragraphs(one: Entry) -> list[tuple[str, str]]:
    """An entry as headed lines."""
    return [
        ("what it is", " ".join(one.what)),
        ("how it is shown", " ".join(one.shown)),
        ("what helps", one.fix),
        ("for example", one.example),
    ]


_HEAD = """# Causes

Made by `python -m aligner.causes.catalogue > docs/causes.md`; `align explain CAUSE` prints one.

A cause is a hypothesis that was held against numbers. Its class says what it rests on:

- **proven**: two values that stand in the two models were exchanged and the error went, or a change without a free
  number left nothing of it;
- **fitted**: numbers were solved for, or a change that was searched for left a little;
- **suspected**: what both models say differs, or looks wrong, and nothing could be recomputed, or it did not explain
  the error.

Of several that explain an error equally well the one that is written in the models leads, then the one that takes least
to describe: out of fewer alternatives, with fewer numbers solved for. What was searched for must leave less than 2 % of
the error, and more must be explained than the best of as many unrelated guesses would. `explained` is the share of the
local error that goes; `confidence` in JSON follows from class and share (proven 1, fitted 0.8, suspected 0.3, times the
share) and measures nothing more.
"""


def text() -> str:
    """The page as the file holds it."""
    parts = [_HEAD]
    for one in catalogue():
        lines = "\n".join(f"- *{head}*: {words}" for head, words in paragraphs(one))
        parts.append(f"## {one.id}\n\n{lines}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    print(text(), end="")
