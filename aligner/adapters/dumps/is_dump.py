"""What is asked of a session of dumped tensors, without importing what reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from aligner.adapters.base import Feeds, Session
    from aligner.adapters.dumps.dump import KnownStatistics
    from aligner.adapters.dumps.other_input import OtherInput


@runtime_checkable
class IsDump(Protocol):
    """A session of tensors that a model elsewhere has computed."""

    @property
    def knows_its_model(self) -> bool:
        """Whether somebody has said what model this is a dump of."""

    @property
    def statistics(self) -> Mapping[str, KnownStatistics]:
        """What is known of each value where there are statistics and no tensors."""

    def try_model(self, session: Session, name: str, pairs: Mapping[str, str]) -> None:
        """Read the dump as one of a model that another side has opened; ``pairs`` of names help."""

    def other_input(self, feeds: Feeds) -> OtherInput | None:
        """The input that the dump was made from, where that given cannot have been it."""
