"""ONNX Runtime's node inputs and outputs (a build with onnxruntime_DEBUG_NODE_INPUTS_OUTPUTS): files, or SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from aligner.adapters.dumps.dump import Dump, DumpedTensor, LazyDump, files_of
from aligner.adapters.dumps.tensor_proto import as_array, dtype_of, parse, proto_file
from aligner.errors import ModelFormatError
from aligner.records.array import Array

_SQLITE = b"SQLite format 3\x00"
_MOST = 100_000
"""Tensors of a database that are read: a limit of work."""


def recognises(path: Path) -> bool:
    """Whether it is a folder of .tensorproto files or a database of tensors."""
    if path.is_dir():
        return bool(files_of(path, ".tensorproto"))
    with path.open("rb") as file:
        if file.read(16) != _SQLITE:
            return False
    with closing(_opened(path)) as database:
        try:
            return all(_is_plain(database, table) for table in ("Tensors", "Nodes"))
        except sqlite3.Error:
            return False


def _is_plain(database: sqlite3.Connection, table: str) -> bool:
    """Whether rows of a table are what the file holds: views, virtual tables and generated columns are programs."""
    stored = database.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ? AND rootpage > 0", (table,)
    ).fetchone()
    columns = database.execute("SELECT hidden FROM pragma_table_xinfo(?)", (table,)).fetchall()
    return stored is not None and not any(hidden for (hidden,) in columns)


def open_dump(path: Path) -> Dump:
    """The tensors under their true names, which the messages keep."""
    if path.is_dir():
        return LazyDump(
            path, "ONNX Runtime's node outputs", [proto_file(file) for file in files_of(path, ".tensorproto")]
        )
    return _database(path)


def _opened(path: Path) -> sqlite3.Connection:
    try:
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    except sqlite3.Error as error:
        raise ModelFormatError.of(f"{path} cannot be opened", error, "copy the database again") from error


def _database(path: Path) -> Dump:
    def content(row: int) -> bytes:
        with closing(_opened(path)) as database:
            found = database.execute("SELECT Value FROM Tensors WHERE rowid = ?", (row,)).fetchone()
        return bytes(found[0])

    def read(row: int, name: str) -> Callable[[], Array]:
        return lambda: as_array(parse(content(row), f'"{name}" of {path}'))

    tensors = []
    try:
        with closing(_opened(path)) as database:
            first = database.execute("SELECT MIN(Step) FROM Tensors").fetchone()[0]
            rows = database.execute(
                "SELECT MIN(rowid), Name FROM Tensors WHERE Step = ? AND Value IS NOT NULL GROUP BY Name "
                "ORDER BY MIN(rowid) LIMIT ?",
                (first, _MOST),
            ).fetchall()
        for row, name in rows:
            proto = parse(content(row), f'"{name}" of {path}')
            tensors.append((DumpedTensor(str(name), tuple(proto.dims), dtype_of(proto)), read(row, str(name))))
            del proto
    except (sqlite3.Error, TypeError) as error:
        raise ModelFormatError.of(f"{path} is no readable trace", error, "copy the database again") from error
    return LazyDump(path, "ONNX Runtime's execution trace", tensors)
