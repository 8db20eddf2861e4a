"""The CSINode object of this node: its CSI drivers, and what they say of the node on the Node itself."""

import asyncio
import contextlib
import logging

import orjson

from minikube_py.client.base import Client
from minikube_py.errors import AlreadyExists, ApiError, Conflict, NotFound
from minikube_py.kinds.core.node import Node
from minikube_py.kinds.storage.csinode import CSINode
from minikube_py.meta.objects import Key, Obj, annotations_of, dig, labels_of, owner_reference, uid_of
from minikube_py.runtime.csi import NodeInfo

log = logging.getLogger(__name__)

NODE_IDS = "csi.volume.kubernetes.io/nodeid"
ATTEMPTS = 5


def with_driver(drivers: list[Obj], name: str, info: NodeInfo | None) -> list[Obj]:
    """The drivers of a CSINode once `name` is known as `info` (None: no more)."""
    rest = [driver for driver in drivers if driver["name"] != name]
    if info is None:
        return rest
    entry: Obj = {"name": name, "nodeID": info.id, "topologyKeys": sorted(info.topology) or None}
    if info.max_volumes > 0:
        entry["allocatable"] = {"count": info.max_volumes}
    return [*rest, entry]


def node_patch(node: Obj, name: str, info: NodeInfo | None) -> Obj:
    """The merge patch of the Node's metadata that tells a driver's id and topology; {} where it is told."""
    try:
        ids = dict(orjson.loads(annotations_of(node).get(NODE_IDS) or "{}"))
    except ValueError:
        ids = {}
    before = dict(ids)
    ids.pop(name, None)
    if info is not None:
        ids[name] = info.id
    meta: Obj = {}
    if ids != before:
        meta["annotations"] = {NODE_IDS: orjson.dumps(ids).decode() if ids else None}
    topology = info.topology if info is not None else {}
    labels = {key: value for key, value in topology.items() if labels_of(node).get(key) != value}
    if labels:
        meta["labels"] = labels
    return {"metadata": meta} if meta else {}


class CsiNodeWriter:
    """Keeps the CSINode of one node true."""

    def __init__(self, client: Client, node: str) -> None:
        self._client, self._node = client, node
        self._lock = asyncio.Lock()

    async def ensure(self) -> None:
        """Create the object, with no driver, where there is none."""
        if self._client.cache.get(CSINode, Key("", self._node)) is None:
            try:
                await self._create()
            except ApiError as error:
                log.warning("cannot create the node's CSINode: %s", error)

    async def renew(self) -> None:
        """Make the object anew, with no driver, where it is that of a Node which is no more. Errors:
        ApiError."""
        async with self._lock:
            node = await self._client.get(Node, self._node)
            with contextlib.suppress(NotFound):
                found = await self._client.get(CSINode, self._node)
                if all(ref["uid"] != uid_of(node) for ref in dig(found, "metadata.ownerReferences") or ()):
                    await self._client.delete(CSINode, Key("", self._node))
            await self._create()

    async def set(self, name: str, info: NodeInfo | None) -> None:
        """Tell that a driver is registered, or is no more. Errors: ApiError."""
        async with self._lock:
            for attempt in range(ATTEMPTS):
                try:
                    await self._set(name, info)
                    break
                except Conflict:
                    if attempt == ATTEMPTS - 1:
                        raise
            node = await self._client.get(Node, self._node)
            if patch := node_patch(node, name, info):
                await self._client.patch(Node, Key("", self._node), patch)

    async def _set(self, name: str, info: NodeInfo | None) -> None:
        try:
            found = await self._client.get(CSINode, self._node)
        except NotFound:
            found = await self._create()
        drivers = dig(found, "spec.drivers") or []
        wanted = with_driver(drivers, name, info)
        if wanted == drivers:
            return
        if info is not None and any(driver["name"] == name for driver in drivers):
            # an entry cannot be changed, only replaced
            without = {**found, "spec": {"drivers": with_driver(drivers, name, None)}}
            found = await self._client.update(CSINode, without)
        await self._client.update(CSINode, {**found, "spec": {"drivers": wanted}})

    async def _create(self) -> Obj:
        node = await self._client.get(Node, self._node)
        owner = owner_reference({"apiVersion": "v1", "kind": "Node", **node}, controller=False, block=False)
        owner = {
            field: value for field, value in owner.items() if field in ("apiVersion", "kind", "name", "uid")
        }
        body = {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSINode",
            "metadata": {"name": self._node, "ownerReferences": [owner]},
            "spec": {"drivers": []},
        }
        try:
            return await self._client.create(CSINode, body)
        except AlreadyExists:
            return await self._client.get(CSINode, self._node)
