"""ControllerRevisions: past templates of a DaemonSet or StatefulSet, for `kubectl rollout history` and `undo`.

Guarantees: equal templates share one revision, which moves to the top when it is used again; revisions that
no pod runs are kept up to spec.revisionHistoryLimit; those that an owner of the same selector left are adopted.
"""

from collections.abc import Collection, Sequence

from minikube_py.client.base import Client
from minikube_py.controllers.deployments.revisions import safe_hash
from minikube_py.controllers.ownership import claim
from minikube_py.errors import AlreadyExists, NotFound
from minikube_py.kinds.apps.controllerrevision import ControllerRevision
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import (
    Key,
    Obj,
    annotations_of,
    controller_of,
    copy,
    dig,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)

HASH_LABEL = "controller-revision-hash"
OWN_HASH_LABEL = "controller.kubernetes.io/hash"
"""The label of its hash on a StatefulSet's revision; a DaemonSet's has HASH_LABEL, as its pods do."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def revision_data(owner: Obj) -> Obj:
    """What a revision keeps: a strategic merge patch that brings the template back."""
    return {"spec": {"template": {**owner["spec"]["template"], "$patch": "replace"}}}


def owned_revisions(client: Client, owner: Obj) -> list[Obj]:
    """The revisions that `owner` controls, the oldest first."""
    owned = client.cache.owned(ControllerRevision, uid_of(owner))
    mine = [rev for rev in owned if (controller_of(rev) or {}).get("uid") == uid_of(owner)]
    return sorted(mine, key=lambda rev: (rev.get("revision", 0), name_of(rev)))


def new_revision(owner: Obj, number: int, collisions: int) -> Obj:
    """The revision to create for the owner's template."""
    data = revision_data(owner)
    digest = safe_hash(data, collisions)
    labels = labels_of(owner["spec"]["template"])
    annotations = {k: v for k, v in annotations_of(owner).items() if k != LAST_APPLIED}
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{name_of(owner)}-{digest}",
            "namespace": namespace_of(owner),
            "labels": {**labels, HASH_LABEL if owner["kind"] == "DaemonSet" else OWN_HASH_LABEL: digest},
            "annotations": annotations,
            "ownerReferences": [owner_reference(owner)],
        },
        "data": copy(data),
        "revision": number,
    }


async def current_revision(client: Client, kind: Kind, owner: Obj) -> Obj:
    """The revision of the template of `owner`, an object of `kind`: made, adopted or moved to the top. Needs
    the index ORPHANS of ControllerRevisions. Errors: those of the API."""
    await claim(client, kind, owner, ControllerRevision)
    known, data = owned_revisions(client, owner), revision_data(owner)
    highest = max((rev.get("revision", 0) for rev in known), default=0)
    equal = [rev for rev in known if rev.get("data") == data]
    if not equal:
        return await _create(client, owner, highest + 1)
    newest = equal[-1]
    for double in equal[:-1]:
        await _delete(client, double)
    if newest.get("revision", 0) == highest:
        return newest
    return await client.patch(ControllerRevision, key_of(newest), {"revision": highest + 1})


async def _create(client: Client, owner: Obj, number: int) -> Obj:
    for collisions in range(dig(owner, "status.collisionCount", 0), 1_000):
        wanted = new_revision(owner, number, collisions)
        try:
            return await client.create(ControllerRevision, wanted)
        except AlreadyExists:
            existing = await client.get(ControllerRevision, name_of(wanted), namespace_of(owner))
            ours = (controller_of(existing) or {}).get("uid") == uid_of(owner)
            if ours and existing.get("data") == wanted["data"]:
                return existing
    raise AlreadyExists(f"no free name for a revision of {key_of(owner)}")


def surplus(revisions: Sequence[Obj], live: Collection[str], limit: int) -> list[Obj]:
    """Of `revisions` (oldest first) those to delete: not `live` (by hash label or by name, whichever the pods
    carry), beyond the newest `limit`."""
    idle = [rev for rev in revisions if not {labels_of(rev).get(HASH_LABEL), name_of(rev)} & set(live)]
    return idle[: max(0, len(idle) - limit)]


async def truncate(client: Client, owner: Obj, live: Collection[str]) -> None:
    """Delete the revisions beyond the owner's history limit."""
    limit = int(dig(owner, "spec.revisionHistoryLimit", 10))
    for revision in surplus(owned_revisions(client, owner), live, limit):
        await _delete(client, revision)


async def _delete(client: Client, revision: Obj) -> None:
    try:
        await client.delete(ControllerRevision, Key(namespace_of(revision), name_of(revision)))
    except NotFound:
        return
