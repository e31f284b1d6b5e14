"""Quantised tensors: scales, zero points, ranges; and what eight bits cost honestly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from aligner.diagnosis.cause import Cause, Claim
from aligner.diagnosis.scene import Scene
from aligner.diagnosis.survey import Survey

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_KINDS = ("quantize", "dequantize")


def step_of(scene: Scene) -> float | None:
    """The quantisation step of this culprit: declared, or that of the values' grid."""
    import numpy as np

    if scene.measured.step is not None:
        return scene.measured.step
    if scene.found is None or scene.found.dtype.kind != "f" or not scene.candidate.of_kind(*_KINDS):
        return None
    for node in reversed(scene.candidate.of_kind("dequantize")):
        scale = scene.candidate.array(node.inputs[1]) if len(node.inputs) > 1 else None
        if scale is not None and scale.size == 1 and node.outputs and node.outputs[0] == scene.candidate.output:
            return float(scale.reshape(()))
    values = np.unique(scene.found)
    return float(np.diff(values).min()) if 2 < values.size <= 256 else None


def _held(array: Array) -> Callable[[], Array | None]:
    return lambda: array


class _Quantized(Cause):
    def claims(self, scene: Scene, survey: Survey) -> Iterator[Claim]:
        """Only where something is quantised."""
        import numpy as np

        step = step_of(scene)
        if step is None or scene.expected is None or scene.found is None or not scene.gap > 0:
            return
        if np.isfinite(scene.found).all() and np.isfinite(scene.expected).all():
            yield from self.quantized(scene, step, scene.expected, scene.found)

    def quantized(self, scene: Scene, step: float, expected: Array, found: Array) -> Iterator[Claim]:
        """The claims for a step."""
        return iter(())


class QuantizationScale(_Quantized):
    """Stored with one scale and read with another."""

    id: ClassVar[str] = "quantization-scale"
    prior: ClassVar[float] = 0.9

    def quantized(self, scene: Scene, step: float, expected: Array, found: Array) -> Iterator[Claim]:
        """The factor between the two sides."""
        factor, offset = _line(expected, found)
        if abs(factor - 1) > 0.02:
            zero = abs(offset) <= step
            yield Claim(
                f"{scene.where} holds {factor:.4g} times the reference: stored and read with different scales",
                "use the same scale for quantising and dequantising, and the one of the tensor's range",
                f"with the scale {step / factor:.4g} instead of {step:.4g}",
                _held(factor * expected + (0 if zero else offset)),
                only_proven=True,
                needed=0.8,
            )


class QuantizationZeroPoint(_Quantized):
    """Everything moved by a whole number of steps."""

    id: ClassVar[str] = "quantization-zero-point"
    prior: ClassVar[float] = 0.92

    def quantized(self, scene: Scene, step: float, expected: Array, found: Array) -> Iterator[Claim]:
        """The offset, in steps; the ends of the range cut off."""
        import numpy as np

        offset = float(np.median(found - expected))
        steps = round(offset / step)
        if steps:
            moved = np.clip(expected + steps * step, found.min(), found.max())
            yield Claim(
                f"{scene.where} lies {steps:+d} steps of {step:.3g} off: another zero point, or int8 read as uint8",
                "use one zero point for quantising and dequantising",
                f"with the zero point moved back by {steps}",
                _held(moved),
                only_proven=True,
                needed=0.8,
            )
        for wrap in (128, 256):
            turned = expected + wrap * step * np.round((found - expected) / (wrap * step))
            if steps == 0 and not np.array_equal(turned, expected):
                yield Claim(
                    f"{scene.where} wraps around by {wrap} steps: int8 read as uint8, or a zero point past the range",
                    "use one zero point and integer type for quantising and dequantising",
                    "with the values unwrapped",
                    _held(turned),
                    only_proven=True,
                    needed=0.9,
                    weight=0.8,
                )


class QuantizationCalibration(_Quantized):
    """The range was measured on other data: flat tops."""

    id: ClassVar[str] = "quantization-calibration"
    prior: ClassVar[float] = 0.94

    def quantized(self, scene: Scene, step: float, expected: Array, found: Array) -> Iterator[Claim]:
        """The reference cut off at the candidate's range; a tensor whose cut part was left aside when it was judged."""
        import numpy as np

        low, high = float(found.min()), float(found.max())
        share = float(((expected > high + 1.5 * step) | (expected < low - 1.5 * step)).mean())
        if share > 1e-3:
            yield Claim(
                f"{share:.1%} of the elements at {scene.where} lie outside {low:.4g}…{high:.4g} and are cut off",
                "calibrate on real inputs, prepared as they will be in use",
                "with a range that holds them",
                _held(np.clip(expected, low, high)),
                only_proven=True,
                needed=0.7,
            )


class QuantizationExpected(_Quantized):
    """What the declared number of bits costs, and no more."""

    id: ClassVar[str] = "quantization-expected"
    prior: ClassVar[float] = 0.7
    benign: ClassVar[bool] = True

    def quantized(self, scene: Scene, step: float, expected: Array, found: Array) -> Iterator[Claim]:
        """Every element within two steps of the reference."""
        import numpy as np

        worst = float(np.abs(found - expected).max())
        if worst <= 2 * step:
            yield Claim(
                f"every element of {scene.where} lies within {worst / step:.1f} quantisation steps of {step:.3g}",
                "nothing: this is what the declared precision costs",
            )


def _line(expected: Array, found: Array) -> tuple[float, float]:
    """Slope and offset of found over expected, elements at the ends of the range left out."""
    import numpy as np

    inside = (found > found.min()) & (found < found.max())
    x, y = expected[inside].astype(np.float64), found[inside].astype(np.float64)
    if x.size < 8 or not float(np.ptp(x)):
        return 1.0, 0.0
    slope, offset = np.polyfit(x, y, 1)
    return float(slope), float(offset)
