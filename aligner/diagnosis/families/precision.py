"""Fewer bits: half precision, overflow, saturation, and what is not a number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from aligner.diagnosis.cause import Cause, Claim, Proof, largest
from aligner.diagnosis.likeness import to_half
from aligner.diagnosis.part import Change, Part
from aligner.diagnosis.replay.activation import to_bfloat16
from aligner.diagnosis.scene import Scene, distance, in_order
from aligner.diagnosis.survey import Survey

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

HALF_MAX = 65504.0


class _Narrow(Cause):
    prior: ClassVar[float] = 0.8
    word: ClassVar[str] = "float16"
    unit: ClassVar[float] = 2.0**-11

    @staticmethod
    def narrowed(array: Array) -> Array:
        """The array in the narrower format."""
        return to_half(array)

    def claims(self, scene: Scene, survey: Survey) -> Iterator[Claim]:
        """The reference's output rounded; its inputs and weights rounded as well."""
        if scene.expected is None or scene.found is None or not scene.gap > 0 or scene.evidence is None:
            return
        if scene.expected.dtype.kind != "f":
            return
        declared = self.word in scene.evidence.found_dtype or any(
            self.word in str(node.attributes.get("to", node.attributes.get("dtype", "")))
            for node in scene.candidate.nodes
        )
        gridded = self._on_grid(scene.found) and not self._on_grid(scene.expected)
        if self._on_grid(scene.expected) and not declared:
            return
        words = (
            f"{scene.where} computes in {self.word}"
            if declared
            else f"every element of {scene.where} lies on the {self.word} grid"
            if gridded
            else f"{scene.where} behaves as if it computed in {self.word}"
        )
        needed = 0.5 if declared or gridded else 0.9
        for predict in self._predictions(scene):
            yield Claim(
                words,
                f"keep this node in float32, or compare with a tolerance for {self.word}",
                "with float32 throughout",
                predict,
                only_proven=not (declared or gridded),
                needed=needed,
                weight=1.0 if declared or gridded else 0.9,
            )

    def _on_grid(self, array: Array) -> bool:
        import numpy as np

        sample = array.reshape(-1)[: 1 << 16].astype(np.float32)
        sample = sample[np.isfinite(sample)]
        return bool(sample.size > 3 and np.array_equal(self.narrowed(sample), sample))

    def _predictions(self, scene: Scene) -> Iterator[Callable[[], Array | None]]:
        assert scene.expected is not None
        rounded = self.narrowed(scene.expected)
        yield lambda: rounded
        part = scene.reference
        inputs = {n: a for n in part.region.inputs if (a := part.array(n)) is not None and a.dtype.kind == "f"}
        weights = {n: a for n in part.region.weights if (a := part.weight(n)) is not None and a.dtype.kind == "f"}
        for chosen in (inputs, weights, inputs | weights):
            change = Change(arrays={name: self.narrowed(array) for name, array in chosen.items()})
            for last in (False, True):
                yield self._replayed(scene, change, last=last)

    def _replayed(self, scene: Scene, change: Change, *, last: bool) -> Callable[[], Array | None]:
        def predict() -> Array | None:
            if not change.arrays:
                return None
            result = scene.predict(0, change)
            return self.narrowed(result) if last and result is not None else result

        return predict


class PrecisionHalf(_Narrow):
    """Eleven bits of mantissa."""

    id: ClassVar[str] = "precision-fp16"


class PrecisionBfloat(_Narrow):
    """Eight bits of mantissa."""

    id: ClassVar[str] = "precision-bf16"
    word: ClassVar[str] = "bfloat16"
    unit: ClassVar[float] = 2.0**-8

    @staticmethod
    def narrowed(array: Array) -> Array:
        """The array on bfloat16's grid."""
        return to_bfloat16(array)


class PrecisionOverflow(Cause):
    """More than 65504 does not fit into float16: infinity, or zeros after dividing by it."""

    id: ClassVar[str] = "precision-overflow"
    prior: ClassVar[float] = 0.97

    def claims(self, scene: Scene, survey: Survey) -> Iterator[Claim]:
        """Where the reference exceeds float16's range, there and only there the candidate is not finite or stuck."""
        import numpy as np

        if scene.expected is None or scene.found is None:
            return
        with np.errstate(all="ignore"):
            beyond = np.isfinite(scene.expected) & (np.abs(scene.expected) > HALF_MAX)
            stuck = (np.abs(scene.found) >= HALF_MAX) & ~np.isclose(scene.found, scene.expected, rtol=1e-2)
            broken = ~np.isfinite(scene.found) | stuck
        inner = [
            name
            for name, array in scene.reference.values.items()
            if array.dtype.kind == "f" and array.size and name in _names(scene) and _peak(array) > HALF_MAX
        ]
        if beyond.any():
            agree = float((beyond & broken).sum()) / max(
                float((beyond | (broken & np.isfinite(scene.expected))).sum()), 1.0
            )
            peak = float(np.abs(scene.expected[beyond]).max())
            if broken[beyond].any():
                yield Claim(
                    f"the reference reaches {peak:.3g} at {scene.where}; float16 ends at 65504, and "
                    f"{float(broken.mean()):.1%} of the candidate's elements are infinite or stuck there",
                    "compute this node in float32, or scale its input down",
                    "with float32's range",
                    measured=Proof(agree, peak, 0.0),
                )
        elif inner and "float16" in _dtypes(scene):
            yield Claim(
                f"{inner[0]} exceeds 65504 inside this region, which float16 cannot hold",
                "compute this node in float32",
                weight=0.9,
            )


def _names(scene: Scene) -> set[str]:
    return {name for node in scene.reference.nodes for name in (*node.inputs, *node.outputs)}


def _dtypes(scene: Scene) -> str:
    values = scene.candidate.graph.values
    read = {name for node in scene.candidate.nodes for name in (*node.inputs, *node.outputs)}
    return " ".join(values[name].dtype or "" for name in read if name in values)


def _peak(array: Array) -> float:
    import numpy as np

    finite = array[np.isfinite(array)]
    return float(np.abs(finite).max()) if finite.size else 0.0


class NonfiniteIntroduced(Cause):
    """NaN or infinity where the reference has numbers: a division by zero, a logarithm or root of what is negative."""

    id: ClassVar[str] = "nonfinite-introduced"
    prior: ClassVar[float] = 0.85

    def claims(self, scene: Scene, survey: Survey) -> Iterator[Claim]:
        """Where, how many, and which of the candidate's nodes makes the first."""
        import numpy as np

        if scene.expected is None or scene.found is None or scene.found.dtype.kind != "f":
            return
        fresh = ~np.isfinite(scene.found) & np.isfinite(scene.expected)
        lost = np.isfinite(scene.found) & ~np.isfinite(scene.expected)
        if not fresh.any() and not lost.any():
            yield from self._swallowed(scene)
            return
        side, bad = ("candidate", fresh) if fresh.any() else ("reference", lost)
        maker = _maker(scene, 1 if fresh.any() else 0)
        found = scene.found if fresh.any() else scene.expected
        kind = "NaN" if np.isnan(found[bad]).any() else "infinity"
        node = maker or scene.where
        yield Claim(
            f"{kind} appears in the {side} at {node}, in {float(bad.mean()):.1%} of the elements, from finite inputs",
            "look for a division by zero, a logarithm or root of a negative number, or a row that is masked entirely",
            weight=1.0,
            node=maker if fresh.any() else None,
        )

    def _swallowed(self, scene: Scene) -> Iterator[Claim]:
        """NaN or infinity inside a region, which a limit or an activation makes finite again."""
        import numpy as np

        if scene.expected is None or scene.found is None or not scene.gap > 0:
            return
        inside = [_nonfinite(part) for part in scene.parts]
        if (inside[0] is None) == (inside[1] is None):
            return
        side = 0 if inside[1] is None else 1
        node, array = inside[side] or ("", scene.found)
        moved = in_order(array, scene.measured.pair.axes if side else None, scene.expected.shape)
        if moved is None:
            return
        bad = ~np.isfinite(moved)
        rest = [np.where(bad, 0, each) for each in (scene.found, scene.expected)]
        left = largest(rest[0], rest[1])
        proof = Proof(1 - distance(rest[0], rest[1]) / scene.gap, largest(scene.found, scene.expected), left)
        kind = "NaN" if np.isnan(array).any() else "infinity"
        yield Claim(
            f"{kind} appears in the {('reference', 'candidate')[side]} at {node}, in {float(bad.mean()):.1%} of the "
            "elements, from finite inputs; what follows makes it finite again",
            "look for a division by zero, or a logarithm or root of a negative number",
            "with these elements left out",
            measured=proof,
            only_proven=True,
            node=node if side else None,
        )


def _nonfinite(part: Part) -> tuple[str, Array] | None:
    """The first node of a region that makes something infinite or NaN of what is finite, and what."""
    import numpy as np

    for node in part.nodes:
        read = [part.values[name] for name in node.inputs if name in part.values]
        if any(array.dtype.kind == "f" and not np.isfinite(array).all() for array in read):
            return None
        for name in node.outputs:
            array = part.values.get(name)
            if array is not None and array.dtype.kind == "f" and not np.isfinite(array).all():
                return node.name, array
    return None


def _maker(scene: Scene, side: int) -> str | None:
    import numpy as np

    part = scene.parts[side]
    for node in part.nodes:
        for name in node.outputs:
            array = part.values.get(name)
            if array is not None and array.dtype.kind == "f" and not np.isfinite(array).all():
                return node.name
    return None


class Saturation(Cause):
    """Values cut off at a limit that the reference does not have."""

    id: ClassVar[str] = "saturation"
    prior: ClassVar[float] = 0.82

    def claims(self, scene: Scene, survey: Survey) -> Iterator[Claim]:
        """The reference clipped to the candidate's range."""
        import numpy as np

        if scene.expected is None or scene.found is None or not scene.gap > 0 or scene.measured.step is not None:
            return
        if not np.isfinite(scene.found).all() or scene.found.size < 8:
            return
        low, high = float(scene.found.min()), float(scene.found.max())
        clipped = np.clip(scene.expected, low, high)
        share = float((clipped != scene.expected).mean())
        if 0 < share < 0.9 and low < high:
            yield Claim(
                f"{scene.where} cuts off at {low:.4g} and {high:.4g}; {share:.1%} of the reference lie beyond",
                "remove the limit, or clip the reference as well",
                "with the reference's range",
                lambda: clipped,
                only_proven=True,
                needed=0.98,
            )


class PrecisionDoubleCast(Cause):
    """One side computes here in float64: a numpy scalar made the graph wider."""

    id: ClassVar[str] = "precision-double-cast"
    prior: ClassVar[float] = 0.75
    benign: ClassVar[bool] = True

    _WORDS = frozenset({"double", "float64"})

    def claims(self, scene: Scene, survey: Survey) -> Iterator[Claim]:
        """A cast to float64 on one side only, and an error of float32 rounding."""
        doubles = [
            any(
                "double" in str(n.attributes.get("to", "")) or "float64" in str(n.attributes.get("to", ""))
                for n in p.nodes
            )
            or (scene.evidence is not None and "64" in (scene.evidence.dtype, scene.evidence.found_dtype)[p.side])
            for p in scene.parts
        ]
        if doubles[0] == doubles[1] or scene.expected is None or scene.found is None:
            return
        if scene.expected.dtype.kind == "f" and largest(scene.found, scene.expected) <= 1e-5 * _peak(scene.expected):
            yield Claim(
                f"{'the candidate' if doubles[1] else 'the reference'} computes in float64 at {scene.where}",
                "multiply by Python floats instead of numpy scalars",
            )
