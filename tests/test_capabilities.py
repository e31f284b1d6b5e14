"""What may be asked of a session is one value; sessions that say it by attributes of their own are understood."""

from __future__ import annotations

import numpy as np
import pytest
from toy_adapter import ToySession

import aligner.adapters.base as base
from aligner.adapters.base import Capabilities, LooksFirst, Prepares, Widens, widened
from aligner.errors import UnsupportedModelError


class Older(ToySession):
    """Says what it can as aligner 0.1 asked for it."""

    can_inject = False
    runs_concurrently = False
    reads_statically = True


class Newer(ToySession):
    """Says it in one value."""

    capabilities = Capabilities(can_inject=False)


def _bare(kind):
    return kind.__new__(kind)


def test_attributes_of_the_first_version_still_count():
    assert _bare(Older).capabilities == Capabilities(can_inject=False, runs_concurrently=False, reads_statically=True)
    assert _bare(ToySession).capabilities == Capabilities()
    assert _bare(Newer).capabilities == Capabilities(can_inject=False)


def test_a_session_has_no_more_than_it_needs():
    verbs = {name for name in vars(base.Session) if not name.startswith("_")}
    assert verbs == {"capabilities", "close", "graph", "notes", "predict", "run", "runtime", "signature"}


def test_what_only_some_can_do_is_looked_for():
    session = _bare(ToySession)
    assert not isinstance(session, LooksFirst | Widens | Prepares)
    with pytest.raises(UnsupportedModelError, match="float64"):
        widened(session)


def test_the_frameworks_say_what_they_can():
    torch = pytest.importorskip("torch")
    from aligner.adapters.base import OpenOptions
    from aligner.adapters.registry import open_model

    session = open_model(torch.nn.ReLU(), OpenOptions())
    assert isinstance(session, LooksFirst) and isinstance(session, Widens)
    assert not session.capabilities.runs_concurrently and session.capabilities.can_inject
    wide = widened(session)
    (seen,) = wide.predict({"input": np.ones(2, np.float32)})
    assert seen.array.dtype == np.float64
    wide.close(), session.close()
