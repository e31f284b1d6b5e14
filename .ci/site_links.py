"""Links that leave the folder of the documentation: on the site they are the names of files in the repository."""

from __future__ import annotations

import re
from typing import Any

_OUTWARD = re.compile(r"\[([^\]]+)\]\(\.\./([^)]+)\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Each as its words and the file's path, for the site does not hold the repository."""
    return _OUTWARD.sub(lambda link: link[1] if link[1] == link[2] else f"{link[1]} (`{link[2]}`)", markdown)
