"""Fields of the v1.34 schema whose feature gates are off by default: the API server drops them, as upstream.

Nobody then finds a field stored that nothing acts upon. What is beta or stable in v1.34 is not here.
"""

from minikube_py.meta.objects import Obj, containers_of


def drop_disabled(spec: Obj) -> None:
    """Remove from a pod spec what v1.34 does not have without an alpha gate, in place."""
    spec.pop("hostnameOverride", None)
    for container in containers_of(spec):
        _drop_of_container(container)
    for volume in spec.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            source.pop("podCertificate", None)


def _drop_of_container(container: Obj) -> None:
    container.pop("restartPolicyRules", None)
    lifecycle = container.get("lifecycle")
    if lifecycle and lifecycle.pop("stopSignal", None) and not lifecycle:
        del container["lifecycle"]
    for variable in container.get("env") or ():
        (variable.get("valueFrom") or {}).pop("fileKeyRef", None)
