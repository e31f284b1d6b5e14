"""Full module paths for scopes from which inlining dropped the containers.

A call of ``self.blocks[0]`` leaves "0" in the call stack, not "blocks.0". Where a node reads a parameter, the path by
which it does says the rest; for its neighbours, the module tree and the nearest such node do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from aligner.adapters.torchscript_adapter.operands import Draft


def complete_scopes(drafts: Sequence[Draft], owners: Sequence[str | None], module: Any) -> None:
    """Complete the drafts' scopes; ``owners`` are the modules whose parameters they read, None where they read none."""
    modules = dict(_modules(module)) if module is not None else {}
    endings: dict[str, list[str]] = {}
    for path in modules:
        endings.setdefault(path.rpartition(".")[2], []).append(path)
    anchors = [_anchor(draft.scope, owner, modules) for draft, owner in zip(drafts, owners, strict=True)]
    following = _carried(anchors[::-1])[::-1]
    preceding = _carried(anchors)
    for index, draft in enumerate(drafts):
        if anchors[index] is not None:
            draft.scope = anchors[index] or None
        elif draft.scope is not None:
            fitting = [
                path for path in endings.get(draft.scope.rpartition(".")[2], ()) if _fits(draft.scope, path, modules)
            ]
            near = [anchor for anchor in (preceding[index], following[index]) if anchor is not None]
            draft.scope = max(fitting, key=lambda path: _closeness(path, near), default=draft.scope)


def _modules(module: Any, path: str = "") -> Iterator[tuple[str, bool]]:
    """Path of each submodule, and whether it is a container without a forward of its own."""
    import torch

    for name, child in torch._C.ModuleDict(module).items():
        inner = f"{path}.{name}" if path else name
        yield inner, not child._has_method("forward")
        yield from _modules(child, inner)


def _anchor(scope: str | None, owner: str | None, modules: dict[str, bool]) -> str | None:
    """The owner's path, where the scope is that path but for containers; "" is the top."""
    if owner is None:
        return None
    if owner == (scope or ""):
        return owner
    if scope is None or owner not in modules:
        return None
    names = owner.split(".")  # what runs in one node for all modules inside one stands where that one is called
    return owner if any(_fits(scope, ".".join(names[:count]), modules) for count in range(len(names), 0, -1)) else None


def _fits(scope: str, path: str, modules: dict[str, bool]) -> bool:
    """Whether dropping containers from the path can leave the scope."""
    parts, wanted = path.split("."), scope.split(".")
    for length in range(len(parts), 0, -1):
        if wanted and parts[length - 1] == wanted[-1]:
            wanted.pop()
        elif not modules.get(".".join(parts[:length]), False):
            return False
    return not wanted


def _carried(anchors: Sequence[str | None]) -> list[str | None]:
    """For each place the last anchor up to it."""
    carried: list[str | None] = []
    for anchor in anchors:
        carried.append(anchor if anchor is not None or not carried else carried[-1])
    return carried


def _closeness(path: str, near: Sequence[str]) -> int:
    return max((_shared(path, anchor) for anchor in near), default=0)


def _shared(one: str, other: str) -> int:
    """How many leading parts two paths share."""
    count = 0
    for a, b in zip(one.split("."), other.split("."), strict=False):
        if a != b:
            break
        count += 1
    return count
