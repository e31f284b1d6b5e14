"""A session under settings of its runtime that the user asks for."""

from __future__ import annotations

from collections.abc import Mapping

from aligner.adapters.base import Session, Varies
from aligner.errors import ComparisonError, listing


def under(session: Session, settings: Mapping[str, str], name: str) -> Session:
    """The session's model under each ``switch → setting``. Raises ComparisonError for one that it does not have.

    The session that it was made of is not closed: both may share what was read of the file.
    """
    for switch, setting in settings.items():
        if not isinstance(session, Varies) or setting not in session.switches().get(switch, ()):
            raise _unknown(session, f"{switch}={setting}", name)
        session = session.switched(switch, setting)
    return session


def _unknown(session: Session, setting: str, name: str) -> ComparisonError:
    switches = session.switches() if isinstance(session, Varies) else {}
    session.close()
    has = listing(f"{switch}={one}" for switch, found in switches.items() for one in found)
    return ComparisonError(
        f"{name} has no setting {setting}",
        found=f"a model of the {session.framework!r} adapter, which has {has or 'none'}",
        hint="say which side it is for: --setting candidate.precision=f32",
    )
