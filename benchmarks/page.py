"""Pages of the documentation that hold measurements between marks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path


def fill(page: Path, series: str, parts: Mapping[str, str]) -> None:
    """Put parts between ``<!-- SERIES:NAME -->`` and ``<!-- /SERIES:NAME -->``; a page without marks is written."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    if f"<!-- {series}:" not in text:
        text = "\n\n".join(f"<!-- {series}:{name} -->\n<!-- /{series}:{name} -->" for name in parts) + "\n"
    for name, part in parts.items():
        marks = f"<!-- {series}:{name} -->", f"<!-- /{series}:{name} -->"
        between = re.compile(f"{re.escape(marks[0])}.*?{re.escape(marks[1])}", re.DOTALL)
        new = f"{marks[0]}\n{part}\n{marks[1]}"
        text = between.sub(lambda _, new=new: new, text)
    page.write_text(text, encoding="utf-8")
