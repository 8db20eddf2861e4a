"""Log rotation: a running container's log that has grown too large is set aside and compressed.

The files are `<n>.log`, then `<n>.log.<time>.gz`, the newest uncompressed once more (`<n>.log.<time>`), as the
kubelet does; at most `log_max_files` in all.
"""

import asyncio
import gzip
import logging
import os
import shutil
from pathlib import Path

from minikube_py.aio.clock import Clock
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.kuberuntime.view import RuntimeView
from minikube_py.runtime.base import Container, Runtime, RuntimeFailed

log = logging.getLogger(__name__)


class LogRotation:
    """Checks all running containers' logs now and then."""

    def __init__(self, runtime: Runtime, view: RuntimeView, clock: Clock, config: KubeletConfig) -> None:
        self._runtime, self._view = runtime, view
        self._clock, self._config = clock, config

    async def run(self) -> None:
        """Rotate until cancelled."""
        while True:
            await self._clock.sleep(self._config.log_check_interval)
            for uid in self._view.uids():
                for container in list(self._view.of(uid).containers.values()):
                    if container.state == "running" and container.log_path:
                        await self.check(container)

    async def check(self, container: Container) -> bool:
        """Rotate one container's log if it is too large; whether it was."""
        path = Path(container.log_path)
        try:
            if os.stat(path).st_size < self._config.log_max_size:
                return False
            aside = path.with_name(f"{path.name}.{self._clock.now():%Y%m%d-%H%M%S}")
            await asyncio.to_thread(set_aside, path, aside, self._config.log_max_files)
            await self._reopen(container, path, aside)
        except FileNotFoundError:
            return False  # it has written nothing yet, or is being removed
        except (OSError, RuntimeFailed, TimeoutError) as error:
            log.warning("cannot rotate %s: %s", path, error)
            return False
        return True

    async def _reopen(self, container: Container, path: Path, aside: Path) -> None:
        try:
            await self._runtime.monitor.reopen_log(container.id)
        except (RuntimeFailed, TimeoutError):
            await asyncio.to_thread(put_back, path, aside)
            raise


def set_aside(path: Path, aside: Path, keep: int) -> None:
    """Compress what was set aside earlier, keeping at most `keep` files in all, then move the log. Blocking."""
    for old in path.parent.glob(f"{path.name}.*"):
        if old.suffix != ".gz":
            target = old.with_name(f"{old.name}.gz")
            with old.open("rb") as source, gzip.open(target, "wb", compresslevel=1) as packed:
                shutil.copyfileobj(source, packed)
            old.unlink()
    rotated = sorted(path.parent.glob(f"{path.name}.*"))
    for old in rotated[: max(0, len(rotated) - (keep - 2))]:
        old.unlink()
    path.rename(aside)


def put_back(path: Path, aside: Path) -> None:
    """Undo the move of a log that its container still writes to. Blocking."""
    if not path.exists():
        aside.rename(path)
