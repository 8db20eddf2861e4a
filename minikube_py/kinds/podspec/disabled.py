"""Fields of the v1.34 schema whose feature gates are off by default: the API server drops them, as upstream.

Nobody then finds a field stored that nothing acts upon. What is on by default in v1.34 is not here.
"""

from minikube_py.meta.objects import Obj, containers_of


def drop_disabled(spec: Obj) -> None:
    """Remove from a pod spec what v1.34 does not have without a feature gate, in place."""
    spec.pop("hostnameOverride", None)
    for container in containers_of(spec):
        _drop_of_container(container)
    _drop_image_volumes(spec)
    for volume in spec.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            source.pop("podCertificate", None)
            source.pop("clusterTrustBundle", None)


def _drop_image_volumes(spec: Obj) -> None:
    """Volumes of images, with their mounts (KEP-4639: on by default from v1.35 on)."""
    names = {volume.get("name") for volume in spec.get("volumes") or () if volume.get("image") is not None}
    if not names:
        return
    for holder, field in ((spec, "volumes"), *((one, "volumeMounts") for one in containers_of(spec))):
        if field in holder:
            kept = [entry for entry in holder[field] or () if entry.get("name") not in names]
            holder[field] = kept
            if not kept:
                del holder[field]


def _drop_of_container(container: Obj) -> None:
    container.pop("restartPolicyRules", None)
    lifecycle = container.get("lifecycle")
    if lifecycle and lifecycle.pop("stopSignal", None) and not lifecycle:
        del container["lifecycle"]
    for variable in container.get("env") or ():
        (variable.get("valueFrom") or {}).pop("fileKeyRef", None)
