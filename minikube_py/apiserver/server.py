"""kube-apiserver: HTTPS over the registry, as a Service.

A request passes the stages in the order in which `pipeline` lists them, and is then routed.
aiohttp's low-level server speaks HTTP/1.1 below our own routing; several addresses may be listened on. Before
it is ready the default objects exist and the RBAC index is complete. Stopping ends watches and closes
connections within seconds.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable
from functools import partial

import aiohttp
from aiohttp import web

from minikube_py.aio.clock import Clock, SystemClock
from minikube_py.aio.metrics import Gauge
from minikube_py.aio.process_metrics import build_info
from minikube_py.aio.tasks import Tasks
from minikube_py.apiserver import reviews, stages, start_steps
from minikube_py.apiserver.admission.base import Surroundings
from minikube_py.apiserver.admission.chain import AdmissionChain
from minikube_py.apiserver.admission.webhooks.metrics import WebhookMetrics
from minikube_py.apiserver.aggregation.aggregator import Aggregator
from minikube_py.apiserver.audit import AuditIds
from minikube_py.apiserver.bootstrap import apply as bootstrap
from minikube_py.apiserver.bootstrap.keeper import FlowKeeper
from minikube_py.apiserver.call import Call, Handler, Stage
from minikube_py.apiserver.components import COMPONENT_STATUS, Components
from minikube_py.apiserver.config import Address, ApiServerConfig
from minikube_py.apiserver.connections import Connections
from minikube_py.apiserver.customresources.conversion import WebhookConverter
from minikube_py.apiserver.customresources.lifecycle import CustomResources
from minikube_py.apiserver.guards import Guards
from minikube_py.apiserver.handlers import BINDING, Resources
from minikube_py.apiserver.health import Health
from minikube_py.apiserver.incoming import Incoming
from minikube_py.apiserver.metrics import ServerMetrics, StoredObjects
from minikube_py.apiserver.observer import Observer
from minikube_py.apiserver.proxy import Proxy
from minikube_py.apiserver.reading import AUTOSCALER, Reading
from minikube_py.apiserver.request import NO_QUERY
from minikube_py.apiserver.resolving import Resolver
from minikube_py.apiserver.resourcemetrics import kinds as resourcemetrics
from minikube_py.apiserver.resourcemetrics.api import ResourceMetrics
from minikube_py.apiserver.resourcemetrics.sampler import Sampler
from minikube_py.apiserver.routes import Answerers, Routes
from minikube_py.apiserver.stages import Stages
from minikube_py.apiserver.start_steps import Step
from minikube_py.apiserver.streams import Streams
from minikube_py.apiserver.targets import Targets
from minikube_py.apiserver.tokens import ServiceAccountTokens
from minikube_py.apiserver.watch import WatchStreams
from minikube_py.apiserver.webhook_client import WebhookClient
from minikube_py.client.base import Change
from minikube_py.client.local import LocalCache
from minikube_py.errors import ApiError
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.rbac.clusterrole import ClusterRole
from minikube_py.kinds.rbac.clusterrolebinding import ClusterRoleBinding
from minikube_py.kinds.rbac.role import Role
from minikube_py.kinds.rbac.rolebinding import RoleBinding
from minikube_py.meta.objects import Obj, name_of, namespace_of
from minikube_py.meta.version import VERSION
from minikube_py.registry.resource import Registry

log = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 2.0
KUBELET_SECONDS = 10.0
UNANSWERED = (ApiError, aiohttp.ClientError, OSError, TimeoutError)
"""What keeps a kubelet from telling what its node uses."""


def pipeline(made: Stages) -> tuple[Stage, ...]:
    """The stages in the order in which a request passes them."""
    return (
        made.resolve,
        made.authenticate,
        made.audit,
        made.refuse_strangers,
        made.impersonate,
        made.limit_in_flight,
        made.authorize,
    )


VIRTUAL = (BINDING, COMPONENT_STATUS, *reviews.KINDS, *resourcemetrics.KINDS)
"""The kinds that are served and stored nowhere."""


class ApiServer:
    """The API server; `addresses` are those it listens on once it is ready."""

    name = "kube-apiserver"

    def __init__(self, registry: Registry, config: ApiServerConfig, clock: Clock | None = None) -> None:
        self.registry = registry
        self.config = config
        self.clock = clock or SystemClock()
        self.metrics = ServerMetrics()
        self.health = Health()
        self.addresses: list[Address] = []
        self.tokens = ServiceAccountTokens.load(config.service_account_key, clock=self.clock)
        self.guards = Guards.build(registry, config, self.tokens, self.metrics)
        self.authorizer = self.guards.authorizer
        self.authenticator = self.guards.authenticator
        self._audit_ids = AuditIds()
        self.webhooks, webhook_metrics = WebhookClient(registry, self.clock), WebhookMetrics()
        self.metrics.register(webhook_metrics)
        registry.admission = AdmissionChain(
            Surroundings(registry, self.authorizer, self.clock, self.webhooks, webhook_metrics, config)
        )
        self._watches = WatchStreams(registry, self.clock, self.metrics)
        streams = Streams(config.kubelet_tls())
        self._proxy = Proxy(Targets(registry), streams)
        self.aggregator = Aggregator(registry, self.clock, VIRTUAL, config.front_proxy(), streams)
        self.metrics.register(self.aggregator.metrics)
        self.metrics.register(build_info(VERSION))
        self.metrics.register(StoredObjects(registry))
        self.custom_resources = CustomResources(registry, self.clock, self._watches.end)
        registry.converter = WebhookConverter(registry, self.webhooks)
        self._observer = Observer(self.metrics)
        resolver = Resolver(registry.catalogue)
        self._sampler = Sampler(self._node_names, self._usage_of, self.clock, UNANSWERED)
        self._unresolved = resolver.unresolved
        self._stages = Stages(resolver, self.guards, self._observer)
        self._resources = Resources(registry, self.clock, self.authorizer)
        metrics = ResourceMetrics(registry, self._resources, self._sampler)
        self._reading = Reading(resolver, self.authorizer, self.aggregator, metrics)
        self._handle = self._assemble(metrics)
        self._add_checks()

    def allows(self, spec: Obj) -> bool:
        """Whether what the spec of a SubjectAccessReview asks is allowed."""
        return reviews.allowed(self.authorizer, spec)

    async def read_metrics(self, path: str) -> Obj:
        """GET of a path of a metrics API, for autoscalers. Errors: ApiError."""
        return await self._reading.read(path, AUTOSCALER)

    def _node_names(self) -> list[str]:
        return [name_of(self.registry.decoded(entry)) for entry in self.registry.list(Node, "").entries]

    async def _usage_of(self, node: str) -> str:
        return await self._proxy.kubelet_text(node, "/metrics/resource", KUBELET_SECONDS)

    def _assemble(self, metrics: ResourceMetrics) -> Handler:
        registry, config, resources = self.registry, self.config, self._resources
        checks = {**config.checks, "etcd-0": self._observer.write_fault}
        answerers = Answerers(
            resources=resources,
            components=Components(resources, checks),
            resource_metrics=metrics,
            watches=self._watches,
            reviews=reviews.Reviews(self.authenticator, self.authorizer, registry),
            proxy=self._proxy,
            discovery=self.aggregator.discovery,
            openapi=self.aggregator.openapi,
            aggregator=self.aggregator,
            health=self.health,
            metrics=self.metrics,
            tokens=self.tokens,
        )
        routes = Routes(registry, answerers, config.extra)
        return stages.through(pipeline(self._stages), routes.answer, self._stages, self._observer)

    def _add_checks(self) -> None:
        self.health.add("etcd", self._observer.write_fault)
        self.health.add("informer-sync", lambda: "" if self._following else "not synced", ready_only=True)
        for name in start_steps.all_checks():
            self.health.add_pending(name)
        self.health.add("shutdown", lambda: "process is shutting down" if self._ending else "", ready_only=True)
        for name, check in self.config.checks.items():
            self.health.add(name, check, ready_only=True)
        self.metrics.register(
            Gauge("apiserver_registered_watchers", "Watches that are open.", lambda: float(len(self._watches)))
        )
        self.metrics.register(
            Gauge("apiserver_storage_revision", "The store's revision.", lambda: float(self.registry.revision))
        )

    _following = _ending = False

    def _done(self, *steps: Step) -> None:
        for step in steps:
            for name in start_steps.checks_of(step):
                self.health.done(name)

    async def run(self, ready: asyncio.Event) -> None:
        """Serve until cancelled; `ready` is set once requests are answered."""
        cache = LocalCache(self.registry)
        try:
            self._follow_rbac(cache)
            self._done("rules")
            server = Connections(self._answer)
            async with self.guards.running() as legacy_tokens, self.custom_resources, Tasks(self.name) as tasks:
                self._done("guards", "custom resources")
                listeners = await self._listen(server)
                try:
                    await self._bootstrap()
                    await legacy_tokens.ensure_since()
                    await self.aggregator.register()
                    self._done("defaults", "tokens", "aggregation")
                    tasks.spawn(self.aggregator.run(), "aggregator")
                    flows = FlowKeeper(self.registry, self.clock, partial(bootstrap.keep_flows, self.registry))
                    tasks.spawn(flows.run(), "flow keeper")
                    ready.set()
                    await asyncio.get_running_loop().create_future()
                finally:
                    await self._stop(server, listeners)
        finally:
            self._following = False
            cache.close()
            await self.webhooks.close()  # custom resources were converted until now

    def _answer(self, request: Incoming) -> Awaitable[web.StreamResponse]:
        request.audit_id = self._audit_ids.of(request.heading.audit_id)
        unresolved = self._unresolved
        return self._handle(Call(request, unresolved, unresolved.info, NO_QUERY, time.perf_counter()))

    def _follow_rbac(self, cache: LocalCache) -> None:
        index = self.authorizer.index
        for kind in (ClusterRole, Role):
            cache.subscribe(kind, self._role_changed)
        for kind in (ClusterRoleBinding, RoleBinding):
            cache.subscribe(
                kind,
                lambda change: (
                    index.remove_binding(namespace_of(change.object), name_of(change.object))
                    if change.type == "DELETED"
                    else index.set_binding(change.object)
                ),
            )
        self._following = True

    def _role_changed(self, change: Change) -> None:
        role = change.object
        if change.type == "DELETED":
            self.authorizer.index.remove_role(namespace_of(role), name_of(role))
        else:
            self.authorizer.index.set_role(role)

    async def _listen(self, server: web.Server) -> list[asyncio.Server]:
        loop, tls = asyncio.get_running_loop(), self.config.server_tls()
        listeners: list[asyncio.Server] = []
        self.addresses = []
        try:
            for host, port in self.config.listen:
                listener = await loop.create_server(server, host, port, ssl=tls, backlog=512)
                listeners.append(listener)
                self.addresses.append(listener.sockets[0].getsockname()[:2])
        except OSError:
            for listener in listeners:
                listener.close()
            raise
        return listeners

    async def _bootstrap(self) -> None:
        host, port = self.config.advertise or self.addresses[-1]
        self.aggregator.advertise(host, port)
        facts = bootstrap.Bootstrap(
            addresses=(host,),
            port=port,
            service_cidr=self.config.facts.service_cidr,
            client_ca=self.config.client_ca.read_text(),
            front_proxy_ca=self.config.front_proxy_ca.read_text() if self.config.front_proxy_ca else "",
            front_proxies=self.config.front_proxy_names,
        )
        await bootstrap.apply(self.registry, facts)

    async def _stop(self, server: web.Server, listeners: list[asyncio.Server]) -> None:
        self._ending = True
        for listener in listeners:
            listener.close()
        await self._watches.close()
        await server.shutdown(SHUTDOWN_SECONDS)
        await self._sampler.close()
        await self._proxy.close()
        self.addresses = []
