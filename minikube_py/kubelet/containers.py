"""From a container's spec to what the runtime is told: command, environment, security, limits. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from minikube_py.kubelet.config import KubeletConfig
from minikube_py.kubelet.environment import ConfigRefused, expand
from minikube_py.kubelet.plan import HASH_ANNOTATION, container_hash
from minikube_py.kubelet.qos import container_resources
from minikube_py.kubelet.sandbox import GRACE, identity, namespaces, seccomp
from minikube_py.kubelet.view import CONTAINER_NAME
from minikube_py.meta.objects import Obj, name_of, namespace_of
from minikube_py.runtime.base import ContainerConfig, Device, Image, Mount, Security

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


def log_path(name: str, attempt: int) -> str:
    """A container's log below its pod's log directory."""
    return f"{name}/{attempt}.log"


def message_file(config: KubeletConfig, uid: str, name: str, attempt: int) -> str:
    """The host's file behind terminationMessagePath, for one attempt."""
    return str(config.pod_dir(uid) / "containers" / name / str(attempt))


def container_config(pod: Obj, spec: Obj, parts: Parts) -> ContainerConfig:
    """What the runtime is told of one container. Errors: ConfigRefused."""
    known: Mapping[str, str] = dict(parts.env)
    return ContainerConfig(
        name=spec["name"],
        image=parts.image.id,
        attempt=parts.attempt,
        user_image=spec["image"],
        command=[expand(word, known) for word in spec.get("command") or ()],
        args=[expand(word, known) for word in spec.get("args") or ()],
        working_dir=spec.get("workingDir", ""),
        env=parts.env,
        mounts=parts.mounts,
        devices=parts.devices,
        labels={**identity(pod), CONTAINER_NAME: spec["name"]},
        annotations={
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
        resources=container_resources(pod, spec, parts.capacity),
        security=security(pod, spec, parts.image),
        namespaces=replace(namespaces(pod), target=parts.target),
    )


def security(pod: Obj, spec: Obj, image: Image) -> Security:
    """The container's security context over the pod's. Errors: ConfigRefused where runAsNonRoot forbids it."""
    whole = pod["spec"].get("securityContext") or {}
    own = spec.get("securityContext") or {}
    merged = {**{k: v for k, v in whole.items() if v is not None}, **own}
    user, group = merged.get("runAsUser"), merged.get("runAsGroup")
    if merged.get("runAsNonRoot"):
        _require_non_root(pod, spec, user, image)
    groups = list(whole.get("supplementalGroups") or ())
    if whole.get("fsGroup") is not None:
        groups.insert(0, whole["fsGroup"])
    username = ""
    if user is None:
        user = image.uid
        username = image.username if user is None else ""
    if user is None and not username and group is not None:
        user = 0
    capabilities = own.get("capabilities") or {}
    privileged = bool(own.get("privileged"))
    unmasked = own.get("procMount") == "Unmasked"
    return Security(
        run_as_user=user,
        run_as_username=username,
        run_as_group=group,
        supplemental_groups=groups,
        privileged=privileged,
        read_only_rootfs=bool(own.get("readOnlyRootFilesystem")),
        no_new_privileges=own.get("allowPrivilegeEscalation") is False,
        add_capabilities=[name.removeprefix("CAP_") for name in capabilities.get("add") or ()],
        drop_capabilities=[name.removeprefix("CAP_") for name in capabilities.get("drop") or ()],
        seccomp=seccomp(merged.get("seccompProfile")) or "Unconfined",
        apparmor=seccomp(merged.get("appArmorProfile")),
        masked_paths=() if unmasked else None,
        readonly_paths=() if unmasked else None,
    )


def _require_non_root(pod: Obj, spec: Obj, user: int | None, image: Image) -> None:
    where = f'(pod: "{name_of(pod)}_{namespace_of(pod)}({pod["metadata"]["uid"]})", container: {spec["name"]})'
    if user == 0:
        raise ConfigRefused(f"container's runAsUser breaks non-root policy {where}")
    if user is not None:
        return
    if image.username and image.uid is None:
        raise ConfigRefused(
            f"container has runAsNonRoot and image has non-numeric user ({image.username}), "
            f"cannot verify user is non-root {where}"
        )
    if not image.uid:
        raise ConfigRefused(f"container has runAsNonRoot and image will run as root {where}")
