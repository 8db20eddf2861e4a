"""Those who decide whether a request is answered, and those who watch over it: built together, running
together.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from minikube_py.aio.clock import Clock
from minikube_py.aio.metrics import Gauge
from minikube_py.aio.tasks import Tasks
from minikube_py.apiserver import audit_policy
from minikube_py.apiserver.audit import Audit
from minikube_py.apiserver.audit_log import AuditFile, AuditLog
from minikube_py.apiserver.authn import Authenticator, FrontProxies
from minikube_py.apiserver.authz import Authorizer
from minikube_py.apiserver.config import ApiServerConfig
from minikube_py.apiserver.deadlines import Deadlines
from minikube_py.apiserver.flow_conditions import FlowConditions
from minikube_py.apiserver.flow_control import FlowControl
from minikube_py.apiserver.legacy_tokens import LegacyTokens
from minikube_py.apiserver.metrics import ServerMetrics
from minikube_py.apiserver.node_authorizer import NodeAuthorizer
from minikube_py.apiserver.rbac import RbacIndex
from minikube_py.apiserver.tokens import ServiceAccountTokens
from minikube_py.registry.resource import Registry


@dataclass(frozen=True, slots=True)
class Guards:
    """The guards of one API server."""

    registry: Registry
    clock: Clock
    authenticator: Authenticator
    authorizer: Authorizer
    nodes: NodeAuthorizer
    flow_control: FlowControl
    deadlines: Deadlines
    audit: Audit | None = None

    @classmethod
    def build(
        cls, registry: Registry, config: ApiServerConfig, tokens: ServiceAccountTokens, metrics: ServerMetrics
    ) -> "Guards":
        """The guards that the configuration asks for. Errors: OSError, ValueError (no CA, a bad policy)."""
        clock = tokens.clock
        nodes = NodeAuthorizer(registry)
        ca, names = config.front_proxy_ca, config.front_proxy_names
        proxies = FrontProxies.load(ca, names) if ca is not None else FrontProxies()
        made = cls(
            registry,
            clock,
            Authenticator(registry, tokens, clock, proxies),
            Authorizer(RbacIndex(), metrics, nodes),
            nodes,
            FlowControl(config.max_reads + config.max_writes),
            Deadlines(),
            _audit(config, clock),
        )
        metrics.register(made.flow_control)
        if made.audit is not None:
            dropped = "Audit events that could not be written."
            written = made.audit.log
            metrics.register(
                Gauge("apiserver_audit_error_total", dropped, lambda: float(written.dropped), type="counter")
            )
        return made

    @asynccontextmanager
    async def running(self) -> AsyncIterator[LegacyTokens]:
        """Guard until the block is left; tells of the use of old tokens."""
        async with Tasks("kube-apiserver") as tasks:
            ends = self.flow_control.follow(self.registry)
            legacy = LegacyTokens(self.registry, self.clock, tasks)
            self.authenticator.tokens.used = legacy.used
            tasks.spawn(
                FlowConditions(self.registry, self.flow_control.schemas, self.clock).run(), "flowschemas"
            )
            if self.audit is not None:
                tasks.spawn(self.audit.log.run(), "audit")
            try:
                yield legacy
            finally:
                for end in ends:
                    end()
                self.nodes.close()
                self.deadlines.close()


def _audit(config: ApiServerConfig, clock: Clock) -> Audit | None:
    if config.audit_log is None:
        return None
    policy = audit_policy.DEFAULT if config.audit_policy is None else audit_policy.load(config.audit_policy)
    return Audit(policy, AuditLog(AuditFile(config.audit_log)), clock)
