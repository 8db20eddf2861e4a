"""Aggregator: the door of aggregation. It registers what is served here, checks what is served elsewhere, and
answers requests for it, discovery and OpenAPI included.

An APIService is checked when it, its Service or its EndpointSlices change, and every 30 seconds; one that fails
again and again with growing pauses. Nothing is asked of the network while no APIService names a Service.
"""

import logging
from collections.abc import Callable, Sequence

from aiohttp import web

from minikube_py.aio.clock import Clock
from minikube_py.aio.tasks import Tasks
from minikube_py.aio.workqueue import WorkQueue
from minikube_py.apiserver.aggregation.availability import Availability
from minikube_py.apiserver.aggregation.backend import Backend, Identity
from minikube_py.apiserver.aggregation.discovery import MergedDiscovery
from minikube_py.apiserver.aggregation.metrics import AggregatorMetrics
from minikube_py.apiserver.aggregation.openapi import MergedOpenApi
from minikube_py.apiserver.aggregation.proxying import Forwarding
from minikube_py.apiserver.aggregation.registration import register
from minikube_py.apiserver.aggregation.services import AGGREGATOR, APIServices, Remote
from minikube_py.apiserver.call import Call
from minikube_py.apiserver.discovery import Discovery
from minikube_py.apiserver.openapi import OpenApi
from minikube_py.apiserver.request import RequestInfo
from minikube_py.apiserver.resolver import SERVICE_NAME
from minikube_py.apiserver.streams import Streams
from minikube_py.errors import ApiError, Conflict, NotFound
from minikube_py.kinds.apiregistration.apiservice import LOCAL, APIService
from minikube_py.kinds.core.service import Service
from minikube_py.kinds.discovery.endpointslice import EndpointSlice
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, condition, copy, dig, labels_of, name_of, namespace_of, with_condition
from minikube_py.registry.base import Context, User
from minikube_py.registry.resource import Registry

log = logging.getLogger(__name__)

RESYNC_SECONDS = 30.0
REGISTER_SECONDS = 1.0
"""Between two looks at whether the catalogue has changed."""
MAX_BACKOFF = 30.0
METRICS = "v1beta1.metrics.k8s.io"
"""The APIService of the resource metrics, which metrics-server replaces where it is installed."""


class Aggregator:
    """Serves what other API servers serve; `run` keeps it current."""

    def __init__(
        self,
        registry: Registry,
        clock: Clock,
        virtual: Sequence[Kind],
        identity: Identity | None,
        streams: Streams,
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._virtual = tuple(virtual)
        self.services = APIServices(registry)
        self.metrics = AggregatorMetrics(self.services)
        self._backend = Backend(registry, identity)
        self._availability = Availability(registry, self._backend)
        self._forwarding = Forwarding(self._backend, streams)
        self._local = Discovery(registry.catalogue, virtual)
        self.discovery = MergedDiscovery(self._local, registry.catalogue, self.services)
        self.openapi = MergedOpenApi(OpenApi(registry.catalogue, virtual), self.services, self._backend)

    def remote(self, info: RequestInfo) -> Remote | None:
        """The other server that a request is for; None where it is for this one."""
        remotes = self.services.remotes
        if not remotes:
            return None
        if info.is_resource:
            return remotes.get((info.group, info.version))
        parts = info.path.strip("/").split("/")
        if parts[:2] == ["openapi", "v3"]:
            parts = parts[2:]
        return remotes.get((parts[1], parts[2])) if len(parts) == 3 and parts[0] == "apis" else None

    async def answer(self, call: Call, remote: Remote) -> web.StreamResponse:
        """The other server's answer to a call that may proceed."""
        return await self._forwarding.answer(call, remote)

    async def read(self, remote: Remote, path: str, user: User, timeout: float) -> tuple[int, bytes]:
        """Status and body of the other server's answer to `user`'s GET. Errors: as Backend.fetch."""
        accept = {"Accept": "application/json"}
        found = await self._backend.fetch(remote, path, timeout=timeout, headers=accept, user=user)
        return found.status, found.body

    # Keeping current

    def advertise(self, host: str, port: int) -> None:
        """Tell clients in discovery where this server is reached."""
        self._local.advertise(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

    async def register(self) -> None:
        """Register every group version that this server serves."""
        await register(self._registry, self.services, self._virtual)

    async def run(self) -> None:
        """Register and check until cancelled; then close every connection to backends."""
        queue: WorkQueue[str] = WorkQueue(self._clock, name="apiservices", limit=MAX_BACKOFF)
        followed: list[Callable[[], None]] = []
        async with queue, Tasks("aggregator") as tasks:
            followed.append(self.services.on_change(queue.add))
            for kind, key in ((Service, name_of), (EndpointSlice, _service_of)):
                followed.append(self._follow(kind, key, queue))
            tasks.spawn(self._work(queue), "availability")
            try:
                await self._keep_registered()
            finally:
                for unfollow in followed:
                    unfollow()
                await tasks.cancel()
                await self._backend.close()

    def _follow(self, kind: Kind, key: Callable[[Obj], str], queue: WorkQueue[str]) -> Callable[[], None]:
        def changed(obj: Obj) -> None:
            place = (namespace_of(obj), key(obj))
            for remote in self.services.remotes.values():
                if (remote.namespace, remote.service) == place:
                    queue.add(remote.name)

        return self._registry.follow(kind, changed, changed)

    async def _keep_registered(self) -> None:
        generation = -1
        while True:
            await self._clock.sleep(REGISTER_SECONDS)
            missing = METRICS not in self.services.objects  # the one of another server was removed
            if missing or generation != self._registry.catalogue.generation:
                generation = self._registry.catalogue.generation
                await self.register()

    async def _work(self, queue: WorkQueue[str]) -> None:
        while True:
            name = await queue.get()
            try:
                await self._sync(name, queue)
            except Exception:
                log.exception("the APIService %s could not be checked", name)
                queue.retry(name)
            finally:
                queue.done(name)

    async def _sync(self, name: str, queue: WorkQueue[str]) -> None:
        remote = self.services.remote(name)
        if remote is None:
            self.discovery.forget(name)
            self.openapi.forget(name)
            await self._tell(name, LOCAL)
            return
        finding = await self._availability.check(remote)
        if finding.resources is not None:
            self.discovery.learned(name, finding.resources)
        if finding.status == "True":
            await self.openapi.refresh(remote)
        if finding.status != "True":
            self.metrics.failures.add((name, finding.reason))
        told = await self._tell(name, finding.condition())
        if not told or finding.reason == "FailedDiscoveryCheck":
            queue.retry(name)
        else:
            queue.forget(name)
            queue.add_after(name, RESYNC_SECONDS)

    async def _tell(self, name: str, new: Obj) -> bool:
        """Set the Available condition; whether that was possible."""
        service = self.services.objects.get(name)
        if service is None:
            return True
        known = condition(service, "Available") or {}
        if all(known.get(key) == value for key, value in new.items()):
            return True
        changed: Obj = copy(service)
        conditions = with_condition(dig(service, "status.conditions", []), new, self._clock.now())
        changed["status"] = {**(changed.get("status") or {}), "conditions": conditions}
        try:
            context = Context(AGGREGATOR, field_manager="kube-apiserver")
            await self._registry.update(APIService, "", name, changed, context, "status")
        except NotFound:
            return True
        except Conflict:
            return False
        except ApiError as error:
            log.warning("the status of APIService %s cannot be written: %s", name, error)
            return False
        return True


def _service_of(slice: Obj) -> str:
    return labels_of(slice).get(SERVICE_NAME, "")
