"""Leases of API servers: this one's, by which clients count the servers there are, and the removal of those of
servers that are gone.

The server's name is made of the machine's host name. Its Lease holds for an hour and is renewed well before; a
Lease with the label of API servers that nobody has renewed in time, or that says no time, is deleted.
"""

import base64
import hashlib
import socket
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import ClassVar

from minikube_py.client.base import Change
from minikube_py.controllers.base import Controller, ControllerContext, KeysOf
from minikube_py.errors import NotFound
from minikube_py.kinds.coordination.lease import Lease
from minikube_py.kinds.core.namespace import Namespace
from minikube_py.kinds.core.node import HOSTNAME
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import (
    Key,
    Obj,
    dig,
    is_deleting,
    key_of,
    labels_of,
    micro_timestamp,
    name_of,
    namespace_of,
    parse_time,
    uid_of,
)

NAMESPACE = "kube-system"
IDENTITY, SERVER = "apiserver.kubernetes.io/identity", "kube-apiserver"
DURATION, RENEWAL = 3600, 600.0  # seconds


def server_name(host: str) -> str:
    """The name of the API server of a host."""
    digest = hashlib.sha256(host.encode()).digest()[:16]
    return "apiserver-" + base64.b32encode(digest).decode().rstrip("=").lower()


def seconds_left(lease: Obj, now: datetime) -> float:
    """How long a Lease still holds; one that does not say holds no more."""
    renewed, holds = dig(lease, "spec.renewTime"), dig(lease, "spec.leaseDurationSeconds")
    if not renewed or holds is None:
        return 0.0
    return float(holds) - (now - parse_time(renewed)).total_seconds()


def is_identity(lease: Obj) -> bool:
    """Whether a Lease is an API server's."""
    return namespace_of(lease) == NAMESPACE and labels_of(lease).get(IDENTITY) == SERVER


class ApiServerLeaseController(Controller):
    """Keep the Lease of this API server, and delete those of others that have ended."""

    name: ClassVar[str] = "apiserver-lease-controller"

    def __init__(self, context: ControllerContext) -> None:
        super().__init__(context)
        self._host = socket.gethostname()
        self._own = Key(NAMESPACE, server_name(self._host))
        self._holder = f"{self._own.name}_{uuid.uuid4()}"

    def watches(self) -> Mapping[Kind, KeysOf]:
        return {Lease: self._lease_changed, Namespace: self._namespace_changed}

    def _namespace_changed(self, change: Change) -> Iterable[Key]:
        here = change.type == "ADDED" and name_of(change.object) == NAMESPACE
        return (self._own,) if here else ()

    def _lease_changed(self, change: Change) -> Iterable[Key]:
        key = key_of(change.object)
        mine = key == self._own and change.type == "DELETED"
        others = change.type != "DELETED" and key != self._own and is_identity(change.object)
        return (key,) if mine or others else ()

    async def reconcile(self, key: Key) -> float | None:
        lease, now = self.cache.get(Lease, key), self.clock.now()
        if key == self._own:
            if self.cache.get(Namespace, Key("", NAMESPACE)) is None:
                return None
            await self._renew(lease, now)
            return RENEWAL
        if lease is None or is_deleting(lease) or not is_identity(lease):
            return None
        if (left := seconds_left(lease, now)) > 0:
            return left + 1
        try:
            await self.client.delete(Lease, key, {"preconditions": {"uid": uid_of(lease)}})
        except NotFound:
            return None
        return None

    async def _renew(self, known: Obj | None, now: datetime) -> None:
        labels = {IDENTITY: SERVER, HOSTNAME: self._host}
        spec = {
            "holderIdentity": self._holder,
            "leaseDurationSeconds": DURATION,
            "renewTime": micro_timestamp(now),
        }
        if known is None:
            meta = {"name": self._own.name, "namespace": self._own.namespace, "labels": labels}
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}
            await self.client.create(Lease, body)
            return
        meta = {**known["metadata"], "labels": {**labels_of(known), **labels}}
        await self.client.update(Lease, {**known, "metadata": meta, "spec": {**known["spec"], **spec}})
