"""Claims: which networks the processes of this machine have given to profiles, of whatever home.

One file per profile in /run/minikube-py/networks, read and written under one lock, so that two first starts at
the same moment, of two homes, never choose the same addresses and ports. A claim counts while the process that
made it lives: from the choice on, long before its ports are bound. Where the folder cannot be made there are
no claims.
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

FOLDER = Path("/run/minikube-py/networks")


class Claims:
    """The claims below `folder`; `locked` gives one that may be read and written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    @contextlib.contextmanager
    def locked(cls, folder: Path = FOLDER) -> Iterator["Claims"]:
        """The claims, for this process alone until the block is left. Blocks meanwhile."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            yield cls(Path(os.devnull))
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield cls(folder)
        finally:
            os.close(lock)

    def others(self, config: Path) -> list[dict[str, Any]]:
        """The networks that other processes hold for other profiles than that of the file `config`."""
        found = []
        for file in self._folder.glob("*.json") if self._folder.is_dir() else ():
            try:
                claim = orjson.loads(file.read_bytes())
                holder, process, network = str(claim["config"]), int(claim["pid"]), dict(claim["network"])
            except (OSError, ValueError, KeyError, TypeError):
                continue  # half-written at a power cut, or of another version
            if not Path(f"/proc/{process}").exists():
                file.unlink(missing_ok=True)
            elif process != os.getpid() and holder != str(config):
                found.append(network)
        return found

    def put(self, config: Path, network: dict[str, Any]) -> None:
        """Claim a network for the profile of the file `config`."""
        if self._folder.is_dir():
            claim = {"config": str(config), "pid": os.getpid(), "network": network}
            self._file(config).write_bytes(orjson.dumps(claim))

    def drop(self, config: Path) -> None:
        """The profile of the file `config` holds its network no more."""
        if self._folder.is_dir():
            self._file(config).unlink(missing_ok=True)

    def _file(self, config: Path) -> Path:
        return self._folder / f"{hashlib.sha256(str(config).encode()).hexdigest()[:16]}.json"
