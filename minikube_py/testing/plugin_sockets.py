"""The sockets that one plugin of the tests serves."""

from collections.abc import Mapping
from pathlib import Path

from minikube_py.runtime.plugins import Methods, PluginServer


class PluginSockets:
    """The sockets served so far; `close` them in the end."""

    def __init__(self) -> None:
        self._servers: list[PluginServer] = []

    async def serve(self, path: Path, services: Mapping[str, Methods]) -> None:
        """Serve services on one more socket. Errors: OSError."""
        server = PluginServer(path, services)
        await server.start()
        self._servers.append(server)

    async def close(self) -> None:
        """Serve none any more, the last one first."""
        while self._servers:
            await self._servers.pop().stop()
