"""Which pod, container and log a request to the kubelet's server means; refusals with kubelet's words. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from minikube_py.kinds.core.pod import Pod
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.logs.reading import LogOptions
from minikube_py.kubelet.shared import Shared
from minikube_py.kubelet.static.manifests import as_run
from minikube_py.meta.objects import Key, Obj, containers_of, dig, name_of, parse_time, uid_of
from minikube_py.runtime.base import Container

IMAGE_WAITS = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}
"""What the reader of a log is told of a container that waits for its image."""


class Refused(Exception):
    """A request that is answered with an HTTP status and a plain text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def find_pod(shared: Shared, parts: Sequence[str]) -> Obj:
    """The pod of /<namespace>/<name>[/<uid>]. Errors: Refused."""
    if len(parts) < 2:
        raise Refused(400, "namespace and pod are required")
    pod = shared.client.cache.get(Pod, Key(parts[0], parts[1]))
    if pod is None or dig(pod, "spec.nodeName") != shared.config.node_name:
        raise Refused(404, f'pod "{parts[1]}" does not exist')
    return as_run(pod)


def running_pod(pod: Obj) -> Obj:
    """A pod as the runtime alone would tell of it: who it is, and its containers' names and images."""
    meta = pod["metadata"]
    containers = [
        {"name": container["name"], "image": container.get("image", ""), "resources": {}}
        for container in pod["spec"].get("containers") or ()
    ]
    named = {field: meta[field] for field in ("name", "namespace", "uid")}
    return {"metadata": named, "spec": {"containers": containers}, "status": {}}


def find_container(shared: Shared, parts: Sequence[str]) -> tuple[Obj, str]:
    """The pod and container of /<namespace>/<name>[/<uid>]/<container>. Errors: Refused."""
    if len(parts) < 3:
        raise Refused(400, "namespace, pod and container are required")
    pod = find_pod(shared, parts)
    name = parts[-1]
    if all(container["name"] != name for container in containers_of(pod["spec"])):
        raise Refused(404, f'container "{name}" not found in pod "{parts[1]}"')
    return pod, name


def picked_run(
    shared: Shared, pod: Obj, name: str, *, previous: bool = False, running: bool = False
) -> Container:
    """The run of a container that is meant: the newest, the one before it, or the running one.
    Errors: Refused."""
    runs = shared.view.of(uid_of(pod)).by_name().get(name, [])
    if running:
        live = next((run for run in runs if run.state == "running"), None)
        if live is None:
            raise Refused(500, f'container not found ("{name}")')
        return live
    begun = [run for run in runs if run.state in ("running", "exited")]
    if previous:
        earlier = begun if "waiting" in _state(pod, name) else begun[1:]
        ended = [run for run in earlier if run.state == "exited"]
        if not ended:
            raise Refused(400, f'previous terminated container "{name}" in pod "{name_of(pod)}" not found')
        return ended[0]
    if not begun:
        reason = _waiting_reason(pod, name)
        raise Refused(400, f'container "{name}" in pod "{name_of(pod)}" is waiting to start: {reason}')
    return begun[0]


def kept_log(config: KubeletConfig, pod: Obj, name: str, *, previous: bool) -> tuple[str, str]:
    """The id and the log of the run of a container that its status tells of, for where the runtime has
    forgotten it (the machine was restarted, say); empty where there was none."""
    entry, place = _entry(pod, name), pod["metadata"]
    attempt, state = int(entry.get("restartCount") or 0), entry.get("state") or {}
    ended = state.get("terminated") or {}
    if previous or "waiting" in state:
        attempt, ended = attempt - 1, (entry.get("lastState") or {}).get("terminated") or {}
    if not ended.get("containerID") or attempt < 0:
        return "", ""
    folder = config.pod_log_dir(place["namespace"], place["name"], uid_of(pod))
    return ended["containerID"].rpartition("/")[2], str(folder / name / f"{attempt}.log")


def attached_run(shared: Shared, pod: Obj, name: str) -> Container:
    """The run of a container that an attach means: the newest that has begun. Errors: Refused."""
    runs = shared.view.of(uid_of(pod)).by_name().get(name, [])
    begun = next((run for run in runs if run.state in ("running", "exited")), None)
    if begun is None:
        place = pod["metadata"]
        raise Refused(500, f"container {name} not found in pod {place['name']}_{place['namespace']}")
    return begun


def _entry(pod: Obj, name: str) -> Obj:
    """What the API tells of a container, or an empty dict."""
    for field in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for entry in dig(pod, f"status.{field}", []):
            if entry["name"] == name:
                return dict(entry)
    return {}


def _state(pod: Obj, name: str) -> Obj:
    """The state of a container as the API tells it, or an empty dict."""
    return _entry(pod, name).get("state") or {}


def _waiting_reason(pod: Obj, name: str) -> str:
    reason = (_state(pod, name).get("waiting") or {}).get("reason") or "ContainerCreating"
    return IMAGE_WAITS.get(reason, reason)


def asked_ports(values: Sequence[str]) -> list[int]:
    """The ports of a port-forward by the older WebSocket protocol. Errors: Refused."""
    if not values:
        raise Refused(400, 'query parameter "port" is required')
    ports = []
    for value in values:
        if not value:
            raise Refused(400, 'query parameter "port" cannot be empty')
        for text in value.split(","):
            if not text.isdecimal() or int(text) > 0xFFFF:
                why = "value out of range" if text.isdecimal() else "invalid syntax"
                told = f'strconv.ParseUint: parsing "{text}": {why}'
                raise Refused(400, f'unable to parse "{value}" as a port: {told}')
            if int(text) < 1:
                raise Refused(400, f'port "{value}" must be > 0')
            ports.append(int(text))
    return ports


def log_options(query: Mapping[str, str], now: datetime) -> LogOptions:
    """The options of a log request. Errors: Refused."""
    try:
        since = parse_time(query["sinceTime"]) if query.get("sinceTime") else None
        if query.get("sinceSeconds"):
            since = now - timedelta(seconds=int(query["sinceSeconds"]))
        return LogOptions(
            follow=asked(query, "follow"),
            tail=_count(query, "tailLines"),
            since=since,
            timestamps=asked(query, "timestamps"),
            limit=_count(query, "limitBytes"),
        )
    except ValueError as error:
        raise Refused(400, f"invalid log options: {error}") from error


def asked(query: Mapping[str, str], name: str) -> bool:
    """Whether a log's option is given and is not false."""
    return query.get(name, "false").lower() not in ("false", "0")


def _count(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if (value := int(text)) < 0:
        raise ValueError(f"{name} must not be negative")
    return value
