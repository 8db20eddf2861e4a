"""IPAddresses: for each address of a Service an object that says so, changed in the commit of the Service."""

import ipaddress
from collections.abc import Callable, Sequence

from minikube_py.kinds.networking.ipaddress import IPAddress
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Obj, name_of, namespace_of, new_uid
from minikube_py.registry.allocators import PREFIX, addresses_of
from minikube_py.registry.entries import decoded, encoding
from minikube_py.store.base import Delete, Entry, Op, Put, Store

_LABELS = "ipaddress.kubernetes.io/"


def address_of(ip: str, service: Obj, now: str) -> Obj:
    """The IPAddress that says which Service holds an address; `now` is RFC 3339."""
    parent = {"resource": "services", "namespace": namespace_of(service), "name": name_of(service)}
    labels = {
        f"{_LABELS}ip-family": f"IPv{ipaddress.ip_address(ip).version}",
        f"{_LABELS}managed-by": "ipallocator.k8s.io",
    }
    return {
        "apiVersion": IPAddress.api_version,
        "kind": IPAddress.kind,
        "metadata": {"name": ip, "uid": new_uid(), "creationTimestamp": now, "labels": labels},
        "spec": {"parentRef": parent},
    }


def _put(ip: str, service: Obj, now: str) -> Put:
    return Put(IPAddress.storage_key("", ip), encoding(address_of(ip, service, now)))


def companions(kind: Kind, old: Entry | None, new: Obj | None, clock: Callable[[], str]) -> Sequence[Op]:
    """The changes of IPAddresses that go with a change of a Service; none with that of another kind. `clock`
    tells the time as RFC 3339."""
    if kind.plural != "services" or kind.group:
        return ()
    now = clock()
    held, wanted = addresses_of({} if old is None else decoded(old)), addresses_of(new or {})
    gone = [IPAddress.storage_key("", ip) for ip in held if ip not in wanted]
    return [
        *(_put(ip, new or {}, now) for ip in wanted if ip not in held),
        *map(Delete, gone),
    ]


def missing(store: Store, now: str) -> Sequence[Op]:
    """The changes that give every stored Service its IPAddresses."""
    services = [decoded(entry) for entry in store.list(PREFIX).entries]
    return [
        _put(ip, service, now)
        for service in services
        for ip in addresses_of(service)
        if store.get(IPAddress.storage_key("", ip)) is None
    ]
