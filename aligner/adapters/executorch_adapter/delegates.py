"""What is known of delegates beyond the tensors at their borders: how many of these they write."""

from __future__ import annotations

import struct

_HEADER = (b"XH00", 10)
"""What stands behind the first four bytes of a graph of XNNPACK's, and where its header says the flatbuffer begins
(backends/xnnpack/serialization/xnnpack_graph_serialize.py, XNNHeader)."""
_OUTPUT_IDS = 5
"""The place of XNNGraph's field ``output_ids`` (backends/xnnpack/serialization/schema.fbs)."""


def count_outputs(backend: str, data: bytes) -> int | None:
    """How many tensors a delegate writes, as its own data say; None for a backend whose data are not read."""
    if backend != "XnnpackBackend":
        return None
    from flatbuffers.table import Table

    begin = struct.unpack_from("<I", data, _HEADER[1])[0] if data[4:8] == _HEADER[0] else 0
    graph = Table(data, begin + struct.unpack_from("<I", data, begin)[0])
    field = graph.Offset(4 + 2 * _OUTPUT_IDS)
    return int(graph.VectorLen(field)) if field else None
