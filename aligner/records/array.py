"""What arrays are called where types are written, without loading numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]
    """A numpy array of any dtype."""
    Wide = NDArray[np.float64]
    """One of doubles."""
    Single = NDArray[np.float32]
    """One of floats of 32 bits."""
else:
    Array = Wide = Single = Any
