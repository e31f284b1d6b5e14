"""Start every run from the same random numbers, and leave the caller's where they stood."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Restore = Callable[[], None]

_entered: list[dict[str, Restore]] = []
"""For each block of ``undisturbed`` that runs, library by library, what brings its generators back."""


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy's global generator and torch's, the latter two only where they are loaded."""
    for states in _entered:
        _remember(states)
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed % (1 << 32))
    torch = sys.modules.get("torch")
    if torch is not None:
        held = seed % (1 << 63)
        torch.default_generator.manual_seed(held)
        for device in _devices(torch):
            getattr(device, "manual_seed_all", device.manual_seed)(held)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Leave Python's, NumPy's and torch's global generators as they are found, those too that a block loads."""
    states: dict[str, Restore] = {}
    _remember(states)
    _entered.append(states)
    try:
        yield
    finally:
        _entered.remove(states)
        for restore in states.values():
            restore()


def _remember(states: dict[str, Restore]) -> None:
    """Take down where each generator stands that has not been taken down yet."""
    if "random" not in states:
        state = random.getstate()
        states["random"] = lambda: random.setstate(state)
    for name, taken in (("numpy", _numpy_state), ("torch", _torch_state), ("devices", _device_states)):
        if name not in states and (restore := taken()) is not None:
            states[name] = restore


def _numpy_state() -> Restore | None:
    numpy: Any = sys.modules.get("numpy")
    if numpy is None:
        return None
    state = numpy.random.get_state()
    return lambda: numpy.random.set_state(state)


def _torch_state() -> Restore | None:
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return None
    state = torch.random.get_rng_state()
    return lambda: torch.random.set_rng_state(state)


def _device_states() -> Restore | None:
    devices = _devices(sys.modules.get("torch"))
    if not devices:
        return None
    states = [getattr(device, "get_rng_state_all", device.get_rng_state)() for device in devices]

    def restore() -> None:
        for device, state in zip(devices, states, strict=True):
            getattr(device, "set_rng_state_all", device.set_rng_state)(state)

    return restore


def _devices(torch: Any) -> list[Any]:
    """The accelerators that are in use; to ask the others would start them."""
    if torch is None:
        return []
    found = [getattr(torch, name, None) for name in ("cuda", "xpu")]
    devices = [device for device in found if device is not None and device.is_initialized()]
    return [*devices, torch.mps] if torch.backends.mps.is_available() else devices
