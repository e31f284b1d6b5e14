"""All that the verdict of a comparison rests on."""

from __future__ import annotations

from collections.abc import Sequence

from aligner.judgement.outputs import Standing
from aligner.records.comparison import GUILTY, Coverage, Level, Pair
from aligner.records.dataclass import dataclass
from aligner.records.difference import Difference


@dataclass(frozen=True, slots=True)
class Frozen:
    """The outputs with the reference's random numbers on both sides.

    ``worst`` is the largest error of them; ``complete``: every output of the reference was answered; ``alike``: the
    candidate's own numbers may come from the reference's distribution.
    """

    worst: Difference
    complete: bool
    alike: bool

    @property
    def agrees(self) -> bool:
        """Whether the two sides compute the same but for the numbers that they draw alike."""
        return self.complete and self.alike and not self.worst.mismatched and not self.worst.errors.beyond


@dataclass(frozen=True, slots=True)
class Flipped:
    """Choices that fall otherwise on the two sides, each by itself, by which all that outputs are off is explained.

    ``count`` of ``size`` elements of the first of them, ``where``, differ; ``margin`` is how far apart the numbers lie
    that were chosen otherwise, None where a choice is not by order; ``noise`` how far off what they are chosen by is,
    no more than rounding explains; ``left`` the largest error of outputs with the reference's choices put in.
    """

    where: str
    count: int
    size: int
    margin: float | None
    noise: float
    left: float


@dataclass(frozen=True, slots=True)
class Unfilled:
    """A quantised range that the numbers hardly fill, ``where``, and how many ``more``, by which outputs are off.

    ``steps`` of it are filled; ``left`` is the share of an output's error that is left where the model hands on there
    the numbers that it rounds.
    """

    where: str
    more: int
    steps: float
    left: float


@dataclass(frozen=True, slots=True)
class WholeFacts:
    """All that the verdict of a comparison rests on.

    ``outputs`` are the pairs of graph outputs, ``missing_outputs`` counts candidate outputs without a pair,
    ``standings`` says of each of the reference's outputs how it stands against the contract. ``condition`` is what a
    comparison with float64 says of all, ``frozen`` of the outputs with the reference's random numbers on both sides,
    ``flipped`` of choices that explain what outputs are off by, ``unfilled`` of ranges that do;
    ``interval`` names the last pair that agrees and the first that does not, ``exchanged`` the outputs whose namesakes
    are others, each with the name of what answers it.
    ``level`` says what decides: the contract for "outputs" or all "layers", or what each node does by itself;
    ``unrecorded`` names the outputs that a side lacks which is a dump, ``colliding`` its tensors that go by one name.
    """

    pairs: Sequence[Pair]
    outputs: Sequence[Pair]
    missing_outputs: int
    coverage: Coverage
    constant_input: bool
    random_input: bool = False
    quantized: bool = False
    condition: str | None = None
    frozen: Frozen | None = None
    flipped: Flipped | None = None
    unfilled: Unfilled | None = None
    standings: Sequence[Standing] = ()
    interval: tuple[str, str] | None = None
    exchanged: Sequence[tuple[str, str]] = ()
    level: Level = "local"
    unrecorded: Sequence[str] = ()
    colliding: Sequence[str] = ()

    @property
    def introduced(self) -> tuple[Pair, ...]:
        """The culprits, upstream first."""
        return tuple(pair for pair in self.pairs if pair.verdict in GUILTY)
