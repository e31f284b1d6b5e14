"""Feeds for both sides; a side that does not say where its channels stand is asked by running it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from aligner.errors import AlignerError, ModelExecutionError
from aligner.execution.lockstep import expected_profile
from aligner.execution.opening import side_info
from aligner.execution.side import OpenSide, Sides
from aligner.inputs import InputItem, PreparedFeeds, Preprocessing, SideInfo, prepare_feeds
from aligner.inputs.items import Role
from aligner.inputs.layouts import evident_layout, is_open

Alter = Callable[[PreparedFeeds, SideInfo, SideInfo], PreparedFeeds]


class UnchangedError(Exception):
    """No such second input can be made, or a side does not allow it."""


@dataclass(slots=True)
class Feeding:
    """``alter`` changes what both sides are fed, for another look at the same models."""

    sides: Sides
    items: Sequence[InputItem]
    preprocessing: Preprocessing
    seed: int
    alter: Alter | None = None
    given: PreparedFeeds | None = None
    """What is fed where nothing is left to prepare."""

    def prepared(self, *turned: str, scaled: Sequence[Role] = ()) -> PreparedFeeds:
        """Hand both sides their feeds; the roles that are ``turned`` have their channels where convention has not.

        Those that are ``scaled`` get real values where they might take the pixels of an integer side opposite.
        """
        preprocessing = replace(self.preprocessing, scaled=tuple(scaled))
        infos = [_turned(side_info(side)) if side.role in turned else side_info(side) for side in self.sides]
        fed = self.given or prepare_feeds(self.items, infos[0], infos[1], preprocessing, self.seed)
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
        scaled: list[Role] = []
        expected: int | None = None
        for side in sorted(self.sides, key=lambda side: not side.session.capabilities.reads_statically):
            side.look = replace(side.look, expected_bytes=expected)
            try:
                side.read(side.feeds)
            except ModelExecutionError as error:
                fed = self._tried(side, turned, scaled, error)
            profile = expected_profile(side.graph) if side.session.capabilities.reads_statically else None
            expected = profile.size if profile is not None else expected
        return replace(fed, notes=(*fed.notes, *(self._note(side) for side in self.sides if side.role in turned)))

    def _tried(
        self, side: OpenSide, turned: list[str], scaled: list[Role], error: ModelExecutionError
    ) -> PreparedFeeds:
        """The other order of channels, real values in the place of pixels, both; what works is kept in the lists.

        Two sides of one convention are turned together where both can be: they are then fed alike.
        """
        inputs, role = side.session.signature.inputs, cast("Role", side.role)
        may_turn = self.preprocessing.layout is None and any(is_open(spec.shape) for spec in inputs)
        may_scale = any(spec.dtype is None for spec in inputs)
        tries: list[tuple[list[Role], list[Role]]] = (
            [([role], []), ([], [role]), ([role], [role])] if self.items else []
        )
        other = self.sides[side is self.sides[0]]
        if tries and other.role not in turned and _alike(side, other):
            tries.insert(0, ([role, cast("Role", other.role)], []))
        seen: list[Any] = [[_told(side)]]
        for turn, scale in tries:
            if (turn and not may_turn) or (scale and not may_scale):
                continue
            try:
                fed = self.prepared(*turned, *turn, scaled=[*scaled, *scale])
                told = [_told(each) for each in self.sides if each is side or each.role in turn]
                if told in seen:
                    continue
                seen.append(told)
                for each in self.sides:
                    if each is side or each.role in turn:
                        each.read(each.feeds)
            except (AlignerError, UnchangedError):
                continue
            turned += turn
            scaled += scale
            return fed
        self.prepared(*turned, scaled=scaled)  # whoever alters the feeds keeps what was last made of them
        raise error

    @staticmethod
    def _note(side: OpenSide) -> str:
        evident = {evident_layout(array.shape) for array in side.feeds.values()} - {None}
        kept = evident.pop() if len(evident) == 1 else _turned(side_info(side)).channels
        return (
            f"the {side.role} does not say where its channels stand, and fails when they are not {kept}; it was fed "
            f"with channels {kept} (--layout says how your arrays lie)"
        )


def _told(side: OpenSide) -> dict[str, tuple[tuple[int, ...], str]]:
    """What a side is fed, by shape and dtype."""
    return {name: (array.shape, array.dtype.name) for name, array in side.feeds.items()}


def _alike(one: OpenSide, other: OpenSide) -> bool:
    """Whether convention alone says of both, and the same, where channels stand."""
    silent = all(any(spec.shape is None for spec in side.session.signature.inputs) for side in (one, other))
    return silent and side_info(one).channels == side_info(other).channels


def _turned(info: SideInfo) -> SideInfo:
    return replace(info, channels="first" if info.channels == "last" else "last", turned=True)
