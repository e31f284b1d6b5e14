"""A wheel and an sdist whose bytes the sources alone decide: ``python .ci/build.py FOLDER``; needs the package "build".

Times and owners in them are those of the last commit and of nobody (SOURCE_DATE_EPOCH, where it is set, goes first).
"""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]


def main(folder: str) -> int:
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or _git("log", "-1", "--format=%ct"))
    out = Path(folder).resolve()
    os.umask(0o022)  # else the modes in the wheel would be those of who builds it
    with tempfile.TemporaryDirectory() as scratch:
        sources = Path(scratch)
        with tarfile.open(fileobj=io.BytesIO(_git_bytes("archive", "HEAD"))) as archive:
            archive.extractall(sources)
        command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(sources)]
        subprocess.run(command, check=True, env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch)})
    for sdist in out.glob("*.tar.gz"):
        sdist.write_bytes(_settled(sdist.read_bytes(), epoch))
    return 0


def _settled(data: bytes, epoch: int) -> bytes:
    """The same archive: members by name, all of one time and of nobody."""
    target = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=target, mode="w") as new:
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
            member.pax_headers = {}
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    return gzip.compress(target.getvalue(), mtime=epoch)


def _git(*words: str) -> str:
    return _git_bytes(*words).decode().strip()


def _git_bytes(*words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=_ROOT, check=True, capture_output=True).stdout


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2] or ["dist"]))
