"""The bill of materials of an installed aligner: ``python .ci/bill.py`` as CycloneDX JSON, ``--table`` as Markdown.

It lists what the distribution requires, and what that requires in turn, as it is installed where this runs; with
``--extra NAME`` also what an extra brings.
"""

from __future__ import annotations

import argparse
import importlib.metadata as metadata
import json
import re
import sys

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")


def required(name: str, extras: frozenset[str]) -> dict[str, metadata.Distribution]:
    """Every installed distribution that one needs, itself not counted, by normalised name."""
    found: dict[str, metadata.Distribution] = {}
    todo = [(name, extras)]
    while todo:
        name, wanted = todo.pop()
        for line in metadata.distribution(name).requires or ():
            of_extra = _EXTRA.search(line)
            match = _NAME.match(line)
            if match is None or (of_extra and of_extra[1] not in wanted):
                continue
            key = re.sub(r"[-_.]+", "-", match[0]).lower()
            inner = re.search(r"\[([^\]]*)\]", line.split(";")[0])
            try:
                known = key in found or key == "aligner"
                found.setdefault(key, metadata.distribution(match[0]))
            except metadata.PackageNotFoundError:  # for another system or Python
                continue
            if not known or inner:
                todo.append((match[0], frozenset(inner[1].replace(" ", "").split(",")) if inner else frozenset()))
    found.pop("aligner", None)
    return dict(sorted(found.items()))


def licence(distribution: metadata.Distribution) -> str:
    """What the distribution says of its licence, in a few words."""
    said = distribution.metadata
    expression = said.get("License-Expression")
    classified = [line.rsplit(" :: ", 1)[1] for line in said.get_all("Classifier") or () if "License ::" in line]
    plain = (said.get("License") or "").strip().split("\n")[0]
    return expression or ", ".join(classified) or plain[:60] or "not said"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extra", action="append", default=[])
    parser.add_argument("--table", action="store_true")
    chosen = parser.parse_args()
    found = required("aligner", frozenset(chosen.extra))
    if chosen.table:
        print("| package | version | licence |\n|---|---|---|")
        for name, distribution in found.items():
            print(f"| {name} | {distribution.version} | {licence(distribution)} |")
        return 0
    components = [
        {
            "type": "library",
            "name": name,
            "version": distribution.version,
            "purl": f"pkg:pypi/{name}@{distribution.version}",
            "licenses": [{"license": {"name": licence(distribution)}}],
        }
        for name, distribution in found.items()
    ]
    subject = {"type": "application", "name": "aligner", "version": metadata.version("aligner")}
    document = {"bomFormat": "CycloneDX", "specVersion": "1.5", "metadata": {"component": subject}}
    json.dump({**document, "components": components}, sys.stdout, indent=1)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
