"""Defaults of a pod spec, in place, as the v1 API documents them."""

from minikube_py.kinds.podspec.disabled import drop_disabled
from minikube_py.kinds.podspec.resources import COMPUTE
from minikube_py.kinds.podspec.totals import pod_requests
from minikube_py.kinds.strategy import if_absent, if_empty, section
from minikube_py.kinds.volumesources import default_source
from minikube_py.meta.objects import Obj, containers_of

FILE_MODE = 0o644


def default_pod(pod: Obj) -> None:
    """A pod's own defaults: those of its spec, and those that a template leaves to its pods."""
    spec = section(pod, "spec")
    default_pod_spec(spec)
    if_absent(spec, "enableServiceLinks", True)
    for container in containers_of(spec):
        _requests_from_limits(container["resources"])
    if spec.get("resources"):
        _pod_requests(spec)
    if spec.get("hostNetwork"):
        for container in containers_of(spec):
            for port in container.get("ports") or ():
                if_empty(port, "hostPort", port.get("containerPort"))


def default_template(workload: Obj) -> None:
    """The defaults of `spec.template` of a workload."""
    template = section(section(workload, "spec"), "template")
    section(template, "metadata")
    default_pod_spec(section(template, "spec"))


def default_pod_spec(spec: Obj) -> None:
    """What every pod spec gets, in a pod or in a template."""
    drop_disabled(spec)
    if_empty(spec, "restartPolicy", "Always")
    if_absent(spec, "terminationGracePeriodSeconds", 30)
    if_empty(spec, "dnsPolicy", "ClusterFirst")
    if_absent(spec, "securityContext", {})
    if_empty(spec, "schedulerName", "default-scheduler")
    mirror_service_account(spec)
    for volume in spec.get("volumes") or ():
        _default_volume(volume)
    for container in containers_of(spec):
        _default_container(container)


def mirror_service_account(spec: Obj) -> None:
    """Keep the deprecated `serviceAccount` an alias of `serviceAccountName`."""
    if name := spec.get("serviceAccountName") or spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"] = name


def pull_policy(image: str) -> str:
    """Always for the tag `latest` (also when tag and digest are left out), IfNotPresent for all else."""
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    latest = tag == "latest" or bool(image and not tag and not digest)
    return "Always" if latest else "IfNotPresent"


def _default_container(container: Obj) -> None:
    if_empty(container, "imagePullPolicy", pull_policy(container.get("image") or ""))
    if_empty(container, "terminationMessagePath", "/dev/termination-log")
    if_empty(container, "terminationMessagePolicy", "File")
    if_absent(container, "resources", {})
    for port in container.get("ports") or ():
        if_empty(port, "protocol", "TCP")
    for variable in container.get("env") or ():
        _default_field_ref(variable.get("valueFrom") or {})
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe := container.get(name):
            _default_probe(probe)
    lifecycle = container.get("lifecycle") or {}
    for hook in ("postStart", "preStop"):
        _default_http_get((lifecycle.get(hook) or {}).get("httpGet"))


def _default_probe(probe: Obj) -> None:
    if_empty(probe, "timeoutSeconds", 1)
    if_empty(probe, "periodSeconds", 10)
    if_empty(probe, "successThreshold", 1)
    if_empty(probe, "failureThreshold", 3)
    _default_http_get(probe.get("httpGet"))
    if (grpc := probe.get("grpc")) is not None:
        if_absent(grpc, "service", "")


def _default_http_get(action: Obj | None) -> None:
    if action is not None:
        if_empty(action, "path", "/")
        if_empty(action, "scheme", "HTTP")


def _default_field_ref(source: Obj) -> None:
    if reference := source.get("fieldRef"):
        if_empty(reference, "apiVersion", "v1")
    if reference := source.get("resourceFieldRef"):
        if_absent(reference, "divisor", "0")


def _default_volume(volume: Obj) -> None:
    if not any(value is not None for key, value in volume.items() if key != "name"):
        volume["emptyDir"] = {}
    for source in ("secret", "configMap", "downwardAPI", "projected"):
        if volume.get(source) is not None:
            if_absent(volume[source], "defaultMode", FILE_MODE)
    default_source(volume)
    if claim := (volume.get("ephemeral") or {}).get("volumeClaimTemplate"):
        section(claim, "metadata")
        if_absent(section(claim, "spec"), "volumeMode", "Filesystem")
    _default_downward_items(volume.get("downwardAPI"))
    for source in (volume.get("projected") or {}).get("sources") or ():
        _default_downward_items(source.get("downwardAPI"))
        if (token := source.get("serviceAccountToken")) is not None:
            if_absent(token, "expirationSeconds", 3600)


def _default_downward_items(downward: Obj | None) -> None:
    for item in (downward or {}).get("items") or ():
        _default_field_ref(item)


def _requests_from_limits(resources: Obj) -> None:
    if limits := resources.get("limits"):
        resources["requests"] = {**limits, **(resources.get("requests") or {})}


def _pod_requests(spec: Obj) -> None:
    """Pod level requests default to what the containers request together, else to the pod level limits
    (KEP-2837). Huge pages of containers are not summed: their requests and limits are one."""
    resources = spec["resources"]
    containers = {field: spec.get(field) for field in ("containers", "initContainers")}
    requested = {key for c in containers_of(spec) for key in c["resources"].get("requests") or ()}
    limits = {k: v for k, v in (resources.get("limits") or {}).items() if k not in requested}
    try:
        asked = {k: v for k, v in pod_requests(containers).items() if k in COMPUTE}
    except ValueError:
        asked = {}  # validation tells what is no quantity
    if missing := asked | limits:
        resources["requests"] = {**missing, **(resources.get("requests") or {})}
