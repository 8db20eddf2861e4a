"""Keeps the default FlowSchemas and PriorityLevelConfigurations: one that is deleted or changed against its
annotation `apf.kubernetes.io/autoupdate-spec` is put right again, a mandatory one that is deleted at once.

Source: "API Priority and Fairness", maintenance of the configuration objects, of the Kubernetes documentation.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from minikube_py.aio.clock import Clock
from minikube_py.errors import ApiError
from minikube_py.kinds.flowcontrol import mandatory
from minikube_py.kinds.flowcontrol.flowschema import FlowSchema
from minikube_py.kinds.flowcontrol.prioritylevelconfiguration import PriorityLevelConfiguration
from minikube_py.meta.objects import Obj, name_of
from minikube_py.registry.resource import Registry

log = logging.getLogger(__name__)

SECONDS = 60.0
"""How long a change stands before it is put right."""


class FlowKeeper:
    """Calls `ensure` after changes of the objects; idle while nothing changes."""

    def __init__(self, registry: Registry, clock: Clock, ensure: Callable[[], Awaitable[None]]) -> None:
        self._registry = registry
        self._clock = clock
        self._ensure = ensure
        self._changed, self._urgent = asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        """Keep the objects until cancelled."""
        kinds = (PriorityLevelConfiguration, FlowSchema)
        ends = [self._registry.follow(kind, self._note, self._gone) for kind in kinds]
        self._changed.clear()  # following begins with the objects there are: they were just made sure of
        try:
            while True:
                await self._changed.wait()
                if not self._urgent.is_set():
                    await self._clock.sleep(SECONDS)
                self._changed.clear()
                self._urgent.clear()
                await self._put_right()
        finally:
            for end in ends:
                end()

    def _note(self, obj: Obj) -> None:
        self._changed.set()

    def _gone(self, obj: Obj) -> None:
        if name_of(obj) in mandatory.SCHEMAS:
            self._urgent.set()
        self._changed.set()

    async def _put_right(self) -> None:
        try:
            await self._ensure()
        except ApiError as error:
            log.warning("the default flow schemas were not all put right: %s", error)
            self._changed.set()
