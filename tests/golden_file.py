"""Reports compared with the files in tests/golden."""

from __future__ import annotations

from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"


def check(name, text, request):
    """The text is the golden file's; with --update-golden it becomes it."""
    path = GOLDEN / name
    if request.config.getoption("--update-golden", default=False):
        path.write_bytes(text.encode("utf-8"))
    assert path.is_file(), f"no {path.name}: pytest --update-golden writes it"
    assert text == path.read_bytes().decode("utf-8")
