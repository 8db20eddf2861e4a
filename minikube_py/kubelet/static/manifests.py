"""Static pods: from a file of the node's folder to a pod, and from that to its mirror in the API. Pure.

The uid of a static pod is a hash of the node, the file and its content, so that a changed file is another pod
and a restarted kubelet knows its containers again. A static pod refers to no object of the API.
"""

import hashlib
from collections.abc import Iterable

import orjson

from minikube_py.kinds.core.pod import Pod
from minikube_py.kinds.podspec.resize import MIRROR
from minikube_py.kubelet.admission.admission import SOURCE
from minikube_py.kubelet.kuberuntime.references import environment_needs
from minikube_py.meta.objects import Obj, annotations_of, copy, name_of, namespace_of
from minikube_py.meta.yaml import YamlError, load

HASH = "kubernetes.io/config.hash"
SEEN = "kubernetes.io/config.seen"
TOLERATION = {"operator": "Exists", "effect": "NoExecute"}
_OBJECTS = ("configMap", "secret", "persistentVolumeClaim", "projected", "ephemeral")


class ManifestRefused(Exception):
    """A file that makes no static pod; the message says why."""


def read_manifest(file: str, text: bytes, node: str, now: str) -> Obj:
    """The pod that `file` (its path) with this content makes on `node`. `now` is when it was seen.
    Errors: ManifestRefused."""
    try:
        document = load(text)
    except YamlError as error:
        raise ManifestRefused(f"{file}: {error}") from error
    if not isinstance(document, dict) or (document.get("apiVersion"), document.get("kind")) != ("v1", "Pod"):
        raise ManifestRefused(f"{file}: it is not a v1 Pod")
    meta, spec = document.get("metadata"), document.get("spec")
    if not isinstance(meta, dict) or not isinstance(spec, dict) or not meta.get("name"):
        raise ManifestRefused(f"{file}: metadata.name and spec are required")
    digest = hashlib.md5(usedforsecurity=False)
    digest.update(orjson.dumps([node, file, document], option=orjson.OPT_SORT_KEYS))
    uid = digest.hexdigest()
    pod: Obj = copy(document)
    ours = {HASH: uid, SOURCE: "file", SEEN: now}
    pod["metadata"] |= {
        "name": f"{meta['name']}-{node.lower()}",
        "namespace": meta.get("namespace") or "default",
        "uid": uid,
        "annotations": {**(meta.get("annotations") or {}), **ours},
        "generation": 1,
        "creationTimestamp": now,
    }
    pod["spec"] |= {"nodeName": node, "tolerations": [*(spec.get("tolerations") or ()), TOLERATION]}
    pod["status"] = {"phase": "Pending"}
    _check(file, pod)
    return pod


def _check(file: str, pod: Obj) -> None:
    """Give the pod its defaults. Errors: ManifestRefused where the API would refuse it."""
    try:
        Pod.default(pod)
        faults = [f"{cause.field}: {cause.message}" for cause in Pod.validate(pod, None)]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ManifestRefused(f"{file}: it is malformed: {error!r}") from error
    faults += [f"a static pod may not refer to {what}" for what in _references(pod)]
    if faults:
        raise ManifestRefused(f"{file}: {'; '.join(faults)}")


def _references(pod: Obj) -> Iterable[str]:
    spec = pod["spec"]
    for ref in environment_needs(pod):
        yield f"the {ref.kind} {ref.name}"
    for volume in spec.get("volumes") or ():
        yield from (f"a {kind} volume" for kind in _OBJECTS if kind in volume)
    if (account := spec.get("serviceAccountName") or "default") != "default":
        yield f"the ServiceAccount {account}"


def mirror_of(pod: Obj, node: Obj) -> Obj:
    """The object that shows a static pod in the API; `node` is the Node that owns it."""
    meta = pod["metadata"]
    kept = {field: meta[field] for field in ("name", "namespace", "labels") if field in meta}
    owner = {"apiVersion": "v1", "kind": "Node", "name": name_of(node), "uid": node["metadata"]["uid"]}
    annotations = {**annotations_of(pod), MIRROR: annotations_of(pod)[HASH]}
    metadata = {**kept, "annotations": annotations, "ownerReferences": [{**owner, "controller": True}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": copy(pod["spec"])}


def shows(mirror: Obj, pod: Obj) -> bool:
    """Whether a mirror is that of this static pod, as its file is now."""
    return annotations_of(mirror).get(MIRROR) == annotations_of(pod)[HASH]


def is_mirror(pod: Obj) -> bool:
    """Whether a pod of the API only shows what a kubelet runs by itself."""
    return MIRROR in annotations_of(pod)


def as_run(pod: Obj) -> Obj:
    """A pod of the API as the runtime knows it: a mirror has the uid of its static pod."""
    if not is_mirror(pod):
        return pod
    return {**pod, "metadata": {**pod["metadata"], "uid": annotations_of(pod)[MIRROR]}}


def full_name(pod: Obj) -> tuple[str, str]:
    """Namespace and name: what two static pods may not share at a time."""
    return namespace_of(pod), name_of(pod)
