"""The lasting identity of a StatefulSet's pods: name, ordinal, labels, claims. Pure.

Pod number 2 of `web` is `web-2`; its claim by the template `data` is `data-web-2` and outlives it.
"""

from collections.abc import Iterator, Mapping, Sequence

from minikube_py.controllers.history import HASH_LABEL
from minikube_py.controllers.pods import pod_from_template
from minikube_py.meta.objects import Obj, controller_of, copy, dig, labels_of, name_of, namespace_of, uid_of

POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name"
POD_INDEX_LABEL = "apps.kubernetes.io/pod-index"
RETAIN, DELETE = "Retain", "Delete"


def ordinal_of(pod_name: str, set_name: str) -> int | None:
    """The number of a pod of the set `set_name`; None where the name is not of its pods."""
    parent, dash, digits = pod_name.rpartition("-")
    if not dash or parent != set_name or not (digits.isascii() and digits.isdecimal()):
        return None
    return int(digits)


def is_member(stateful_set: Obj, pod: Obj) -> bool:
    """Whether the pod's name is one that the set gives."""
    return ordinal_of(name_of(pod), name_of(stateful_set)) is not None


def ordinals(stateful_set: Obj) -> range:
    """The numbers of the pods that the set wants."""
    start = int(dig(stateful_set, "spec.ordinals.start", 0))
    return range(start, start + int(dig(stateful_set, "spec.replicas", 1)))


def identity_labels(stateful_set: Obj, ordinal: int) -> dict[str, str]:
    """The labels by which Services and users find one pod."""
    return {POD_NAME_LABEL: f"{name_of(stateful_set)}-{ordinal}", POD_INDEX_LABEL: str(ordinal)}


def claim_templates(stateful_set: Obj) -> Sequence[Obj]:
    return dig(stateful_set, "spec.volumeClaimTemplates") or ()


def claim_name(template: Obj, pod_name: str) -> str:
    return f"{name_of(template)}-{pod_name}"


def is_claim_of(stateful_set: Obj, name: str) -> bool:
    """Whether a claim has a name that the set gives."""
    starts = [name_of(template) + "-" for template in claim_templates(stateful_set)]
    found = (name.removeprefix(start) for start in starts if name.startswith(start))
    return any(ordinal_of(pod, name_of(stateful_set)) is not None for pod in found)


def new_pod(stateful_set: Obj, ordinal: int, revision: Obj) -> Obj:
    """The pod number `ordinal` by the template that `revision` keeps."""
    template = {key: value for key, value in revision["data"]["spec"]["template"].items() if key != "$patch"}
    pod = pod_from_template(template, stateful_set)
    name = f"{name_of(stateful_set)}-{ordinal}"
    meta, spec = pod["metadata"], pod["spec"]
    del meta["generateName"]
    meta["name"] = name
    revision_label = {HASH_LABEL: name_of(revision)}
    meta["labels"] = {**meta.get("labels", {}), **identity_labels(stateful_set, ordinal), **revision_label}
    spec["hostname"] = name
    if service := dig(stateful_set, "spec.serviceName"):
        spec["subdomain"] = service
    if templates := claim_templates(stateful_set):
        claimed = {name_of(claim): claim_name(claim, name) for claim in templates}
        others = [volume for volume in spec.get("volumes") or () if volume["name"] not in claimed]
        spec["volumes"] = [*map(_volume, claimed.items()), *others]
    return pod


def _volume(claimed: tuple[str, str]) -> Obj:
    name, claim = claimed
    return {"name": name, "persistentVolumeClaim": {"claimName": claim}}


def missing_labels(stateful_set: Obj, pod: Obj) -> Mapping[str, str]:
    """The labels of its identity that the pod lacks."""
    ordinal = ordinal_of(name_of(pod), name_of(stateful_set))
    wanted = identity_labels(stateful_set, ordinal) if ordinal is not None else {}
    return {key: value for key, value in wanted.items() if labels_of(pod).get(key) != value}


def claims_of(stateful_set: Obj, pod_name: str) -> Iterator[Obj]:
    """The claims that a pod of the set is made with."""
    for template in claim_templates(stateful_set):
        claim: Obj = copy({"spec": template.get("spec") or {}})
        meta = copy(template.get("metadata") or {})
        selected = dig(stateful_set, "spec.selector.matchLabels", {})
        yield {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            **claim,
            "metadata": {
                **{field: meta[field] for field in ("annotations", "finalizers") if meta.get(field)},
                "name": claim_name(template, pod_name),
                "namespace": namespace_of(stateful_set),
                "labels": {**(meta.get("labels") or {}), **selected},
            },
        }


def has_retention(stateful_set: Obj) -> bool:
    """Whether any claim is to go with the set or with a pod that is scaled away."""
    policy = dig(stateful_set, "spec.persistentVolumeClaimRetentionPolicy", {})
    return DELETE in (policy.get("whenDeleted"), policy.get("whenScaled"))


def claim_owners(stateful_set: Obj, pod: Obj | None, claim: Obj, reference: Obj) -> list[Obj]:
    """The ownerReferences of `claim` by the retention policy (KEP-1847): the set's (`reference`) where claims
    go with the set; the pod's where they go with a pod that is scaled away (`pod`; None: it stays)."""
    policy = dig(stateful_set, "spec.persistentVolumeClaimRetentionPolicy", {})
    condemned = pod is not None and policy.get("whenScaled") == DELETE
    known = claim["metadata"].get("ownerReferences") or []
    ours = {uid_of(stateful_set), *([uid_of(pod)] if pod is not None else [])}
    others = [ref for ref in known if ref["uid"] not in ours and not _is_pod_of_name(ref, claim, stateful_set)]
    if condemned and pod is not None:
        return [
            *others,
            {**reference, "apiVersion": "v1", "kind": "Pod", "name": name_of(pod), "uid": uid_of(pod)},
        ]
    return [*others, reference] if policy.get("whenDeleted") == DELETE else others


def _is_pod_of_name(ref: Obj, claim: Obj, stateful_set: Obj) -> bool:
    """Whether `ref` is a reference that this controller once gave: to the pod that the claim is named for."""
    if ref.get("kind") != "Pod" or ordinal_of(ref.get("name", ""), name_of(stateful_set)) is None:
        return False
    return name_of(claim).endswith("-" + str(ref["name"]))


def foreign_controller(stateful_set: Obj, claim: Obj) -> bool:
    """Whether another controller manages the claim, so that its retention is not the set's to decide."""
    ref = controller_of(claim)
    return (
        ref is not None and ref["uid"] != uid_of(stateful_set) and not _is_pod_of_name(ref, claim, stateful_set)
    )
