"""A Deployment's revisions: which ReplicaSet stands for its template, what new ones look like, which go.

Pure. A ReplicaSet is recognised by its template, not by its hash, so the hash may differ from Kubernetes'.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import orjson

from minikube_py.controllers.deployments.rolling import DESIRED, MAXIMUM, max_surge, replicas_of
from minikube_py.controllers.pods import created_at
from minikube_py.meta.objects import (
    Obj,
    annotations_of,
    copy,
    dig,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
)

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        HISTORY,
        DESIRED,
        MAXIMUM,
        "deprecated.deployment.rollback.to",
    }
)
MAX_HISTORY = 2000
"""Letters that the list of former revisions may have; the oldest ones go."""
SAFE = "bcdfghjklmnpqrstvwxz2456789"
"""Letters that form no words, and digits that look like no letters."""


def safe_hash(value: Any, collisions: int = 0) -> str:
    """Ten letters or fewer that depend on the JSON `value` and on `collisions`."""
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS) + str(collisions or "").encode()
    number = int.from_bytes(hashlib.blake2b(text, digest_size=4).digest())
    return "".join(SAFE[ord(digit) % len(SAFE)] for digit in str(number))


def same_template(one: Obj, other: Obj) -> bool:
    """Whether two pod templates are equal but for the hash label and empty fields."""
    return _comparable(one) == _comparable(other)


def _comparable(template: Obj) -> Obj:
    meta = dict(template.get("metadata") or {})
    labels = {k: v for k, v in (meta.pop("labels", None) or {}).items() if k != HASH_LABEL}
    return {"labels": labels, "metadata": _pruned(meta), "spec": _pruned(template.get("spec") or {})}


def _pruned(value: Any) -> Any:
    """Without nulls and empty collections, which the API treats as absent. An empty map in a volume or a
    probe names its type, so it stays."""
    if isinstance(value, dict):
        return {k: _pruned(v) for k, v in value.items() if v is not None and v != []}
    return [_pruned(item) for item in value] if isinstance(value, list) else value


def find_new(deployment: Obj, sets: Sequence[Obj]) -> Obj | None:
    """The ReplicaSet of the Deployment's template, the oldest of several, or None."""
    template = deployment["spec"]["template"]
    matching = [rs for rs in sets if same_template(rs["spec"]["template"], template)]
    return min(matching, key=created_at, default=None)


def revision_number(obj: Obj) -> int:
    """The revision annotation as a number, 0 where there is none."""
    text = annotations_of(obj).get(REVISION, "")
    return int(text) if text.isascii() and text.isdecimal() else 0


def new_replicaset(deployment: Obj, old: Sequence[Obj], replicas: int) -> Obj:
    """The ReplicaSet to create for the Deployment's template."""
    template = copy(deployment["spec"]["template"])
    collisions = dig(deployment, "status.collisionCount", 0)
    digest = safe_hash(_comparable(template), collisions)
    template.setdefault("metadata", {})["labels"] = {**labels_of(template), HASH_LABEL: digest}
    selector = copy(deployment["spec"]["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH_LABEL: digest}
    annotations = wanted_annotations(deployment, None, old) | size_annotations(deployment)
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{name_of(deployment)}-{digest}",
            "namespace": namespace_of(deployment),
            "labels": dict(labels_of(template)),
            "annotations": annotations,
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": {
            "replicas": replicas,
            "minReadySeconds": dig(deployment, "spec.minReadySeconds", 0),
            "selector": selector,
            "template": template,
        },
    }


def size_annotations(deployment: Obj) -> dict[str, str]:
    """What a ReplicaSet is told of the size that it was given a share of."""
    desired = replicas_of(deployment)
    return {DESIRED: str(desired), MAXIMUM: str(desired + max_surge(deployment))}


def wanted_annotations(deployment: Obj, new: Obj | None, old: Sequence[Obj]) -> dict[str, str]:
    """The annotations that the new ReplicaSet should have of its Deployment, the revision above all old ones
    among them; of a set that becomes the new one again, its former revisions are kept in the history."""
    wanted = {k: v for k, v in annotations_of(deployment).items() if k not in NOT_COPIED}
    revision = max(map(revision_number, old), default=0) + 1
    before = annotations_of(new) if new is not None else {}
    known = revision_number(new) if new is not None else 0
    if known >= revision:
        return wanted
    wanted[REVISION] = str(revision)
    if known:
        wanted[HISTORY] = _shortened([*filter(None, before.get(HISTORY, "").split(",")), str(known)])
    return wanted


def _shortened(former: list[str]) -> str:
    told = ",".join(former)
    while len(told) > MAX_HISTORY:
        told = told.partition(",")[2]
    return told


def expired(deployment: Obj, old: Sequence[Obj]) -> list[Obj]:
    """The old ReplicaSets beyond spec.revisionHistoryLimit, the oldest revisions, if nothing runs in them."""
    limit = int(dig(deployment, "spec.revisionHistoryLimit", 10))
    alive = sorted(
        (rs for rs in old if not is_deleting(rs)), key=lambda rs: (revision_number(rs), created_at(rs))
    )
    return [rs for rs in alive[: max(0, len(alive) - limit)] if _is_idle(rs)]


def _is_idle(rs: Obj) -> bool:
    return (
        not dig(rs, "status.replicas", 0)
        and not replicas_of(rs)
        and dig(rs, "metadata.generation", 0) <= dig(rs, "status.observedGeneration", 0)
    )
