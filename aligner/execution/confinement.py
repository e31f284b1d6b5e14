"""What a process that opens untrusted files gives up beforehand: files it was not given, the network, memory, time.

Linux's Landlock and seccomp, asked through ctypes; each is used where the kernel offers it. What is given up cannot be
taken back, and holds for every thread that starts later: for a process of our own, before it has any.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from aligner.records.dataclass import dataclass

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = (1 << bit for bit in range(4))
_TRUNCATE, _IOCTL = 1 << 14, 1 << 15
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
"""Rights that a file can have; the others are of folders."""
_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
"""Landlock's version → the rights it knows (linux/landlock.h)."""
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_SCOPES = 3
"""Abstract sockets and signals end at the process, from version 6 on."""

_NO_NEW_PRIVILEGES, _SECCOMP = 38, {"x86_64": 317, "aarch64": 277}
_MACHINES = {"x86_64": (0xC000003E, (41, 425)), "aarch64": (0xC00000B7, (198, 425))}
"""Machine → its number in an audit record, and those of socket and io_uring_setup."""
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 13
_X32 = 0x40000000

_SYSTEM = tuple(
    "/usr /lib /lib64 /lib32 /opt /sys /etc/ld.so.cache /etc/ld.so.conf /etc/localtime /etc/alternatives /proc/self "
    "/proc/cpuinfo /proc/meminfo /proc/stat /proc/sys/vm".split()
)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/urandom", "/dev/random", "/dev/shm")
_ACCELERATORS = ("nvidia*", "dri", "kfd")
_FREE_SHARE = 0.9
"""Share of the memory that is free that a stranger's model may take."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is left to the process: ``reads`` and ``writes`` are files, or folders with all in them.

    ``files`` and ``network`` say whether these are confined at all: a user's own code may need any.
    """

    reads: tuple[Path, ...] = ()
    lists: tuple[Path, ...] = ()
    """Folders whose names may be read, not their files."""
    writes: tuple[Path, ...] = ()
    files: bool = True
    network: bool = True
    memory: int | None = None
    """Bytes of data; None: no limit."""
    seconds: float | None = None
    """From one ``restart_clock`` to the next; None: no limit."""


_seconds = 0.0


def restart_clock(*, stop: bool = False) -> None:
    """The time limit, where there is one, counts from now on; ``stop``: not until it is started again."""
    if _seconds:
        signal.setitimer(signal.ITIMER_REAL, 0.0 if stop else _seconds)


def confine(bounds: Bounds) -> None:
    """Give up everything else. A kernel that does not offer a part leaves that part out."""
    _limit(bounds)
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if bounds.network:
        _refuse_network(libc)
    if bounds.files:
        _confine_files(libc, bounds)


def support() -> tuple[str, ...]:
    """What this machine offers, one sentence for each part."""
    if sys.platform != "linux":
        return ("files and network are not confined: this system has neither Landlock nor seccomp",)
    version = landlock_version()
    files = f"Landlock, version {version}" if version else "not confined: the kernel offers no Landlock"
    network = "refused (seccomp)" if _has_seccomp() else "not refused: the kernel offers no seccomp for this processor"
    return (f"files: {files}", f"network: {network}", "memory, file size and time: limited")


def landlock_version() -> int:
    """0 where the kernel has none."""
    libc = ctypes.CDLL(None, use_errno=True)
    return max(int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)), 0)


def _has_seccomp() -> bool:
    with suppress(OSError):
        return platform.machine() in _MACHINES and "Seccomp:" in Path("/proc/self/status").read_text()
    return False


def _limit(bounds: Bounds) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    limits = [(resource.RLIMIT_CORE, 0)]
    if bounds.memory is not None:
        limits.append((resource.RLIMIT_DATA, bounds.memory))
    if bounds.writes:
        limits.append((resource.RLIMIT_FSIZE, _largest_file(bounds.writes)))
    for kind, most in limits:
        _, hard = resource.getrlimit(kind)
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    if bounds.seconds:
        global _seconds
        _seconds = bounds.seconds
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the kernel ends native code, too, which no handler would
        restart_clock()


def _largest_file(folders: Iterable[Path]) -> int:
    """A file may not fill the disk."""
    free = 0
    for folder in folders:
        with suppress(OSError):
            state = os.statvfs(folder)
            free = max(free, state.f_bavail * state.f_frsize)
    return max(int(_FREE_SHARE * free), 1 << 20)


def _refuse_network(libc: ctypes.CDLL) -> None:
    """Let every call that makes a socket fail with EACCES, in all threads."""
    machine = platform.machine()
    if machine not in _MACHINES:
        return
    number, refused = _MACHINES[machine]
    program = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, number), (_RETURN, 0, 0, _REFUSE), (_LOAD, 0, 0, 0)]
    program += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _REFUSE)] if machine == "x86_64" else []
    for call in refused:
        program += [(_EQUAL, 0, 1, call), (_RETURN, 0, 0, _REFUSE)]
    program.append((_RETURN, 0, 0, _ALLOW))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    head = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    libc.syscall(_SECCOMP[machine], 1, 1, ctypes.create_string_buffer(head))


def _confine_files(libc: ctypes.CDLL, bounds: Bounds) -> None:
    version = landlock_version()
    if not version:
        return
    known = _RIGHTS.get(version, _RIGHTS[max(_RIGHTS)])
    attributes = struct.pack("QQQ", known, 0, _SCOPES if version >= 6 else 0)
    rules = libc.syscall(
        _CREATE_RULESET, ctypes.create_string_buffer(attributes, 24), ctypes.c_size_t(24 if version >= 6 else 8), 0
    )
    if rules < 0:
        return
    try:
        for path in (*_installed(), *bounds.reads):
            _allow(libc, rules, path, _READ & known)
        for path in bounds.lists:
            _allow(libc, rules, path, _READ_DIR)
        devices = [*map(Path, _DEVICES), *(found for pattern in _ACCELERATORS for found in Path("/dev").glob(pattern))]
        for path in (*devices, *bounds.writes):
            _allow(libc, rules, path, known)
        libc.syscall(_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _installed() -> list[Path]:
    """Python, its packages, and the system's libraries; the working directory only where this package lies in it."""
    here = Path.cwd()
    listed = [Path(os.path.realpath(entry)) for entry in sys.path if entry]
    own = Path(__file__).resolve().parents[1]
    packages = [path for path in listed if path != here or own.parent == here]
    libraries = [Path(entry) for entry in os.environ.get("LD_LIBRARY_PATH", "").split(":") if entry]
    return [Path(sys.prefix), Path(sys.base_prefix), own, *packages, *libraries, *map(Path, _SYSTEM)]


def _allow(libc: ctypes.CDLL, rules: int, path: Path, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # what is not there needs no right
        return
    try:
        allowed = rights if path.is_dir() else rights & _OF_FILES
        libc.syscall(_ADD_RULE, rules, 1, ctypes.create_string_buffer(struct.pack("=Qi", allowed, place)), 0)
    finally:
        os.close(place)
