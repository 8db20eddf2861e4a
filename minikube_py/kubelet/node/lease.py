"""The Lease of a node in kube-node-lease: its sign of life (KEP-589)."""

import logging
from datetime import datetime

from minikube_py.client.base import MERGE_PATCH, Client
from minikube_py.errors import ApiError, NotFound
from minikube_py.kinds.coordination.lease import Lease
from minikube_py.kinds.core.node import Node
from minikube_py.meta.objects import Key, Obj, micro_timestamp, owner_reference

log = logging.getLogger(__name__)

LEASES = "kube-node-lease"


async def renew(client: Client, name: str, now: datetime, seconds: int, node: Obj | None = None) -> None:
    """Renew the Lease of the node `name` for `seconds`, or create it; `node` is the Node where it is at hand.
    Errors: ApiError."""
    moment = micro_timestamp(now)
    try:
        await client.patch(Lease, Key(LEASES, name), {"spec": {"renewTime": moment}}, type=MERGE_PATCH)
        return
    except NotFound:
        node = node or await client.get(Node, name)
    owner = owner_reference({"apiVersion": "v1", "kind": "Node", **node})
    owner = {k: v for k, v in owner.items() if k not in ("controller", "blockOwnerDeletion")}
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": LEASES, "ownerReferences": [owner]},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": seconds, "renewTime": moment},
    }
    try:
        await client.create(Lease, lease)
    except ApiError as error:
        # its namespace may not be there yet; the next renewal tries again
        log.warning("cannot create the lease of node %s: %s", name, error)
