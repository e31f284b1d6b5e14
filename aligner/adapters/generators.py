"""The frameworks' global random generators, asked of what is loaded alone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

Restore = Callable[[], None]


def seed(number: int) -> None:
    """Start the generators of every loaded framework from a number."""
    torch = sys.modules.get("torch")
    if torch is not None:
        held = number % (1 << 63)
        torch.default_generator.manual_seed(held)
        for device in _devices(torch):
            getattr(device, "manual_seed_all", device.manual_seed)(held)


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


STATES: dict[str, Callable[[], Restore | None]] = {"torch": _torch_state, "torch's devices": _device_states}
"""By library, what takes down where its generators stand and brings them back there; None where it is not loaded."""
