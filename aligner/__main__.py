"""``python -m aligner`` is ``align``."""

from __future__ import annotations

import sys

from aligner.cli.entry import main

if __name__ == "__main__":
    sys.exit(main())
