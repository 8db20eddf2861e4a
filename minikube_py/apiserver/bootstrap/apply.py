"""Puts the default objects into the registry: creates what is missing, adds what roles lack, corrects the
address of the `kubernetes` Service. Applied at every start; changes nothing where all is there already.

What an administrator has added stays; a role or binding whose annotation
`rbac.authorization.kubernetes.io/autoupdate` is `false` is left alone.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from minikube_py.apiserver.bootstrap import (
    bindings,
    component_roles,
    controller_roles,
    flow_schemas,
    objects,
    service_cidr,
    storage,
    user_roles,
)
from minikube_py.apiserver.bootstrap.rules import AUTOUPDATE, group
from minikube_py.apiserver.rbac import RbacIndex
from minikube_py.errors import AlreadyExists, NotFound
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.endpoints import Endpoints
from minikube_py.kinds.core.namespace import Namespace
from minikube_py.kinds.core.service import Service
from minikube_py.kinds.discovery.endpointslice import EndpointSlice
from minikube_py.kinds.flowcontrol.flowschema import FlowSchema
from minikube_py.kinds.flowcontrol.prioritylevelconfiguration import PriorityLevelConfiguration
from minikube_py.kinds.networking.servicecidr import ServiceCIDR
from minikube_py.kinds.rbac.clusterrole import ClusterRole
from minikube_py.kinds.rbac.clusterrolebinding import ClusterRoleBinding
from minikube_py.kinds.rbac.role import Role
from minikube_py.kinds.rbac.rolebinding import RoleBinding
from minikube_py.kinds.scheduling.priorityclass import PriorityClass
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, annotations_of, copy, name_of, namespace_of
from minikube_py.registry.base import Context
from minikube_py.registry.resource import Registry

NODES = "system:nodes"
Amend = Callable[[Obj, Obj], Obj | None]
"""What a stored object becomes, given the default one; None where it may stay."""
_KINDS: tuple[Kind, ...] = (
    ConfigMap,
    Endpoints,
    Namespace,
    Service,
    EndpointSlice,
    ClusterRole,
    ClusterRoleBinding,
    Role,
    RoleBinding,
    PriorityClass,
    PriorityLevelConfiguration,
    FlowSchema,
    ServiceCIDR,
)


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """The facts that the default objects need."""

    addresses: Sequence[str]
    port: int
    service_cidr: str
    client_ca: str  # PEM
    front_proxy_ca: str = ""  # PEM; empty: none
    front_proxies: Sequence[str] = ()


async def apply(registry: Registry, facts: Bootstrap) -> None:
    """Bring the default objects about. Concurrent writes share the store's commits."""
    await _ensure_all(registry, objects.namespaces(), _keep)
    await asyncio.gather(
        _ensure_all(registry, with_aggregates(default_cluster_roles()), _amend_rules),
        _ensure_all(registry, component_roles.component_namespace_roles(), _amend_rules),
        _ensure_all(
            registry,
            [
                *bindings.cluster_role_bindings(controller_roles.controller_roles()),
                *bindings.role_bindings(),
            ],
            _amend_subjects,
        ),
        _ensure_all(registry, objects.priority_classes(), _keep),
        keep_flows(registry),
        _ensure_all(registry, [objects.api_service(facts.service_cidr)], _keep),
        _ensure_service_cidr(registry, facts),
        _ensure_all(registry, [_authentication_config(facts), _cluster_info(facts)], _amend_data),
        _ensure_all(registry, objects.api_endpoints(facts.addresses, facts.port), _amend_endpoints),
        storage.ensure_storage_class(registry),
    )


async def keep_flows(registry: Registry) -> None:
    """Bring the default FlowSchemas and PriorityLevelConfigurations about."""
    wanted = [*flow_schemas.priority_levels(), *flow_schemas.flow_schemas()]
    await _ensure_all(registry, wanted, _amend_flow)


def default_cluster_roles() -> list[Obj]:
    """Every default ClusterRole."""
    return [
        *user_roles.user_roles(),
        *component_roles.component_roles(),
        *controller_roles.controller_roles(),
    ]


def with_aggregates(roles: list[Obj]) -> list[Obj]:
    """The roles, those that gather others' rules filled with them."""
    index = RbacIndex()
    for role in roles:
        index.set_role(role)
    return [
        role | {"rules": index.aggregated(("", name_of(role)))} if "aggregationRule" in role else role
        for role in roles
    ]


async def _ensure_all(registry: Registry, wanted: Iterable[Obj], amend: Amend) -> None:
    await asyncio.gather(*(_ensure(registry, obj, amend) for obj in wanted))


async def _ensure(registry: Registry, wanted: Obj, amend: Amend) -> None:
    kind = next(k for k in _KINDS if (k.kind, k.api_version) == (wanted["kind"], wanted["apiVersion"]))
    namespace, name = namespace_of(wanted), name_of(wanted)
    context = Context(field_manager="kube-apiserver")
    try:
        stored = registry.decoded(registry.get(kind, namespace, name))
    except NotFound:
        try:
            await registry.create(kind, namespace, copy(wanted), context)
        except AlreadyExists:
            return
        return
    changed = amend(stored, wanted)
    if changed is not None:
        await registry.update(kind, namespace, name, changed, context)


def _authentication_config(facts: Bootstrap) -> Obj:
    return objects.authentication_config(facts.client_ca, facts.front_proxy_ca, facts.front_proxies)


def _cluster_info(facts: Bootstrap) -> Obj:
    host = facts.addresses[0]
    server = f"https://[{host}]:{facts.port}" if ":" in host else f"https://{host}:{facts.port}"
    return objects.cluster_info(server, facts.client_ca)


async def _ensure_service_cidr(registry: Registry, facts: Bootstrap) -> None:
    await _ensure_all(registry, [service_cidr.service_cidr(facts.service_cidr)], _keep)
    stored = registry.decoded(registry.get(ServiceCIDR, "", service_cidr.NAME))
    changed = service_cidr.made_ready(stored, registry.now())
    if changed is not None:
        context = Context(field_manager="kube-apiserver")
        await registry.update(ServiceCIDR, "", service_cidr.NAME, changed, context, "status")
    await registry.repair()


def _keep(stored: Obj, wanted: Obj) -> Obj | None:
    return None


def _amend_rules(stored: Obj, wanted: Obj) -> Obj | None:
    if annotations_of(stored).get(AUTOUPDATE) == "false" or "aggregationRule" in stored:
        return None
    have = stored.get("rules") or []
    missing = [rule for rule in wanted["rules"] if rule not in have]
    return copy(stored) | {"rules": [*have, *missing]} if missing else None


def _amend_subjects(stored: Obj, wanted: Obj) -> Obj | None:
    if annotations_of(stored).get(AUTOUPDATE) == "false":
        return None
    have = stored.get("subjects") or []
    if not wanted["subjects"]:  # nodes are the Node authorizer's; before there was one, they were bound here
        return copy(stored) | {"subjects": []} if have == [group(NODES)] else None
    missing = [subject for subject in wanted["subjects"] if subject not in have]
    return copy(stored) | {"subjects": [*have, *missing]} if missing else None


def _amend_flow(stored: Obj, wanted: Obj) -> Obj | None:
    if annotations_of(stored).get(flow_schemas.AUTOUPDATE) != "true" or stored["spec"] == wanted["spec"]:
        return None
    return copy(stored) | {"spec": wanted["spec"]}


def _amend_data(stored: Obj, wanted: Obj) -> Obj | None:
    have = stored.get("data") or {}
    return copy(stored) | {"data": {**have, **wanted["data"]}} if {**have, **wanted["data"]} != have else None


def _amend_endpoints(stored: Obj, wanted: Obj) -> Obj | None:
    fields = ("subsets", "endpoints", "ports", "addressType")
    changed = {
        field: wanted[field] for field in fields if field in wanted and wanted[field] != stored.get(field)
    }
    return copy(stored) | changed if changed else None
