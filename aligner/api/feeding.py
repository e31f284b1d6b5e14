"""Feeds for both sides; a side that does not say where its channels stand is asked by running it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aligner.api.probing import Alter, UnchangedError
from aligner.errors import AlignerError, ModelExecutionError
from aligner.execution.lockstep import expected_profile
from aligner.execution.opening import side_info
from aligner.execution.side import OpenSide
from aligner.inputs import InputItem, PreparedFeeds, Preprocessing, SideInfo, prepare_feeds


@dataclass(slots=True)
class Feeding:
    """``alter`` changes what both sides are fed, for another look at the same models."""

    sides: tuple[OpenSide, OpenSide]
    items: Sequence[InputItem]
    preprocessing: Preprocessing
    seed: int
    alter: Alter | None = None

    def prepared(self, *turned: str) -> PreparedFeeds:
        """Hand both sides their feeds; the roles that are ``turned`` have their channels where convention has not."""
        infos = [_turned(side_info(side)) if side.role in turned else side_info(side) for side in self.sides]
        fed = prepare_feeds(self.items, infos[0], infos[1], self.preprocessing, self.seed)
        if self.alter is not None:
            fed = self.alter(fed, infos[0], infos[1])
        self.sides[0].feeds, self.sides[1].feeds = fed.reference, fed.candidate or {}
        return fed

    def settled(self, fed: PreparedFeeds) -> PreparedFeeds:
        """Read both graphs; a side that declares no shapes and fails channels first is fed channels last.

        A graph that stands in its file comes first: it tells how much the other computes. What works by convention is
        never tried the other way. Raises the first error where neither order is taken, and where the user has said how
        the data lie.
        """
        turned: list[str] = []
        expected: int | None = None
        for side in sorted(self.sides, key=lambda side: not side.session.capabilities.reads_statically):
            side.look = replace(side.look, expected_bytes=expected)
            try:
                side.read(side.feeds)
            except ModelExecutionError as error:
                if all(spec.shape is not None for spec in side.session.signature.inputs):
                    raise
                fed = self._tried(side, turned, error)
                turned.append(side.role)
            profile = expected_profile(side.graph) if side.session.capabilities.reads_statically else None
            expected = profile.size if profile is not None else expected
        return replace(fed, notes=(*fed.notes, *(self._note(side) for side in self.sides if side.role in turned)))

    def _tried(self, side: OpenSide, turned: Sequence[str], error: ModelExecutionError) -> PreparedFeeds:
        before = {name: array.shape for name, array in side.feeds.items()}
        if self.preprocessing.layout is not None or not self.items:
            raise error
        try:
            fed = self.prepared(*turned, side.role)
            if {name: array.shape for name, array in side.feeds.items()} == before:
                raise error
            side.read(side.feeds)
        except (AlignerError, UnchangedError):
            self.prepared(*turned)  # whoever alters the feeds keeps what was last made of them
            raise error from None
        return fed

    @staticmethod
    def _note(side: OpenSide) -> str:
        kept = _turned(side_info(side)).channels
        return (
            f"the {side.role} does not say where its channels stand, and fails when they are not {kept}; it was fed "
            f"with channels {kept} (--layout says how your arrays lie)"
        )


def _turned(info: SideInfo) -> SideInfo:
    return replace(info, channels="first" if info.channels == "last" else "last")
