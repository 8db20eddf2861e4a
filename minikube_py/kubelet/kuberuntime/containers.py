"""From a container's spec to what the runtime is told: command, environment, security, limits. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from minikube_py.kubelet.cm.qos import HostLimits, container_resources
from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.devicemanager.options import NOTHING, RunOptions
from minikube_py.kubelet.kuberuntime.environment import expand
from minikube_py.kubelet.kuberuntime.sandbox import GRACE, identity, namespaces
from minikube_py.kubelet.kuberuntime.security import security
from minikube_py.kubelet.kuberuntime.view import CONTAINER_NAME
from minikube_py.kubelet.plan import HASH_ANNOTATION, container_hash
from minikube_py.meta.objects import Obj
from minikube_py.runtime.base import ContainerConfig, Device, Image, Mount, UserNamespace

RESTARTS = "io.kubernetes.container.restartCount"
MESSAGE_PATH = "io.kubernetes.container.terminationMessagePath"
MESSAGE_POLICY = "io.kubernetes.container.terminationMessagePolicy"


@dataclass(frozen=True, slots=True)
class Parts:
    """What was prepared for one start of a container."""

    attempt: int
    image: Image
    env: Sequence[tuple[str, str]]
    mounts: Sequence[Mount]
    capacity: int  # the node's memory in bytes
    devices: Sequence[Device] = ()
    target: str = ""  # the id of the container whose processes an ephemeral container is to see
    user: UserNamespace | None = None
    host: HostLimits = field(default_factory=HostLimits)
    given: RunOptions = NOTHING
    profiles: Path = Path("/var/lib/kubelet/seccomp")  # where Localhost seccomp profiles lie


def log_path(name: str, attempt: int) -> str:
    """A container's log below its pod's log directory."""
    return f"{name}/{attempt}.log"


def message_file(config: KubeletConfig, uid: str, name: str, attempt: int) -> str:
    """The host's file behind terminationMessagePath, for one attempt."""
    return str(config.pod_dir(uid) / "containers" / name / str(attempt))


def container_config(pod: Obj, spec: Obj, parts: Parts) -> ContainerConfig:
    """What the runtime is told of one container. Errors: ConfigRefused."""
    given = parts.given
    env = [*given.envs.items(), *parts.env]
    known: Mapping[str, str] = dict(env)
    return ContainerConfig(
        name=spec["name"],
        image=parts.image.id,
        attempt=parts.attempt,
        user_image=spec["image"],
        command=[expand(word, known) for word in spec.get("command") or ()],
        args=[expand(word, known) for word in spec.get("args") or ()],
        working_dir=spec.get("workingDir", ""),
        env=env,
        mounts=[*given.mounts, *parts.mounts],
        devices=[*given.devices, *parts.devices],
        cdi_devices=given.cdi_devices,
        labels={**identity(pod), CONTAINER_NAME: spec["name"]},
        annotations={
            **given.annotations,
            HASH_ANNOTATION: container_hash(spec),
            RESTARTS: str(parts.attempt),
            MESSAGE_PATH: spec.get("terminationMessagePath", "/dev/termination-log"),
            MESSAGE_POLICY: spec.get("terminationMessagePolicy", "File"),
            GRACE: str(pod["spec"].get("terminationGracePeriodSeconds", 30)),
        },
        log_path=log_path(spec["name"], parts.attempt),
        stdin=bool(spec.get("stdin")),
        stdin_once=bool(spec.get("stdinOnce")),
        tty=bool(spec.get("tty")),
        resources=container_resources(pod, spec, parts.capacity, parts.host),
        security=security(pod, spec, parts.image, parts.profiles),
        namespaces=replace(namespaces(pod), target=parts.target, user=parts.user),
    )
