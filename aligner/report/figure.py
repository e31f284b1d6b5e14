"""A figure that shows itself in a notebook, with or without pyplot."""

from __future__ import annotations

import io

from matplotlib.figure import Figure


class ShownFigure(Figure):
    """IPython draws figures only once pyplot has been imported; this one brings its own picture."""

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.savefig(stream, format="png", dpi=80, metadata={"Software": None})
        return stream.getvalue()
