"""Settings: what a user may choose, from flags > environment MINIKUBE_PY_* > config file > defaults.

The config file is `config.yaml` in the home folder (MINIKUBE_PY_HOME or ~/.minikube-py), with the settings'
names as keys; docs/settings.md lists them all.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

LOG_LEVELS = ("debug", "info", "warning", "error")
DURABILITIES = ("full", "normal")
NUMBERS = {
    "max_pods": (1, "pods"),
    "pod_pids_limit": (-1, "processes"),
    "max_parallel_image_pulls": (1, "pulls"),
    "nodes": (0, "nodes"),
    "image_gc_high_threshold_percent": (0, "percent"),
    "image_gc_low_threshold_percent": (0, "percent"),
}
"""Settings that are numbers: the least that makes sense, and of what."""
EVICTION_HARD = "memory.available<100Mi," + (
    "nodefs.available<10%,nodefs.inodesFree<5%,imagefs.available<15%,imagefs.inodesFree<5%"
)
RESERVABLE = ("cpu", "memory", "ephemeral-storage")


class BadSetting(ValueError):
    """A setting that is unknown or has a value that cannot be used; the message says where it came from."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Choices for one cluster process."""

    listen_address: str = ""
    """A further address at which the API server listens; it always does on loopback and the pod bridge."""
    container_runtime_endpoint: str = ""
    """The socket of a containerd to use in place of one of our own, such as /run/containerd/containerd.sock."""
    durability: str = "full"
    """full: an acknowledged write survives power loss; normal: it survives a crash of the process only."""
    log_level: str = "info"
    """debug, info, warning or error."""
    max_pods: int = 110
    """How many pods the node takes."""
    system_reserved: str = ""
    """What of the node is not for pods, but for the system: cpu=500m,memory=256Mi,ephemeral-storage=1Gi."""
    kube_reserved: str = ""
    """What of the node is not for pods, but for this process and containerd, in the same form."""
    pod_pids_limit: int = -1
    """How many processes a pod may have; -1: as many as the node."""
    allowed_unsafe_sysctls: str = ""
    """Sysctls that pods may set besides the safe ones: kernel.msg*,net.core.somaxconn."""
    eviction_hard: str = EVICTION_HARD
    """When the node is so short of memory or disk that pods are ended at once; empty: never."""
    eviction_soft: str = ""
    """When it is short enough for that after a while: memory.available<500Mi."""
    eviction_soft_grace_period: str = ""
    """How long each soft threshold must be met: memory.available=1m30s."""
    eviction_pressure_transition_period: str = "5m"
    """How long the node keeps a pressure condition once its cause is over."""
    image_gc_high_threshold_percent: int = 85
    """How full the disk of images must be for unused ones to be removed; 100: never."""
    image_gc_low_threshold_percent: int = 80
    """How full it may be afterwards."""
    registry_mirror: str = ""
    """URLs of mirrors of Docker Hub, which are asked first: https://mirror.example.com,https://other.example."""
    insecure_registry: str = ""
    """Registries without TLS, or with a certificate that nobody vouches for: registry.local:5000,10.0.0.7."""
    max_parallel_image_pulls: int = 3
    """How many images are pulled at once."""
    nodes: int = 0
    """How many nodes there are beside this machine's; they are simulated, which `simulate` must allow."""
    simulate: bool = False
    """Whether there may be nodes without a machine, whose pods are simulated."""
    scheduler_config: str = ""
    """A file with the scheduler's profiles (KubeSchedulerConfiguration); empty: one, default-scheduler."""
    audit_log: str = ""
    """Where the API server's audit log is written; empty: nowhere, unless there is an audit policy."""
    audit_policy: str = ""
    """A file with the audit policy (audit.k8s.io/v1); empty: writes with their bodies, no secrets."""

    @property
    def eviction(self) -> tuple[str, str, str, str]:
        """What there is to say of evictions: hard thresholds, soft ones, their grace periods, and how long a
        pressure lasts."""
        soft = (self.eviction_soft, self.eviction_soft_grace_period)
        return self.eviction_hard, *soft, self.eviction_pressure_transition_period

    @property
    def image_gc(self) -> tuple[int, int]:
        """The thresholds of image garbage collection: high and low."""
        return self.image_gc_high_threshold_percent, self.image_gc_low_threshold_percent


def settings(
    flags: Mapping[str, Any], environment: Mapping[str, str] | None = None, file: Path | None = None
) -> Settings:
    """The settings by their precedence; flags that are None are not given. Errors: BadSetting."""
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    for field in fields(Settings):
        variable = f"MINIKUBE_PY_{field.name.upper()}"
        if flags.get(field.name) is not None:
            values[field.name] = _checked(field.name, flags[field.name], f"--{field.name.replace('_', '-')}")
        elif variable in environment:
            values[field.name] = _checked(field.name, environment[variable], variable)
    from_file = _from_file(file) if file and file.exists() else {}
    chosen = Settings(**(from_file | values))
    if chosen.nodes and not chosen.simulate:
        raise BadSetting(f"{chosen.nodes} nodes beside this machine's can only be simulated: add --simulate")
    return chosen


def _from_file(file: Path) -> dict[str, Any]:
    from minikube_py.meta import yaml  # only where there is a file to read

    try:
        found = yaml.load(file.read_bytes()) or {}
    except yaml.YamlError as error:
        raise BadSetting(f"{file}: {error}") from error
    if not isinstance(found, dict):
        raise BadSetting(f"{file} is no map of settings")
    known = {field.name for field in fields(Settings)}
    if unknown := set(found) - known:
        raise BadSetting(f'{file}: there is no setting "{min(unknown)}"; there are {", ".join(sorted(known))}')
    return {name: _checked(name, value, f"{file}, {name}") for name, value in found.items()}


def words(text: str) -> tuple[str, ...]:
    """What stands between the commas."""
    return tuple(filter(None, (word.strip() for word in text.split(","))))


def reserved(text: str) -> dict[str, str]:
    """The amounts in text such as cpu=500m,memory=256Mi by resource, as kubelet's --system-reserved takes them.
    Errors: ValueError."""
    from minikube_py.meta.quantity import parse_quantity  # only where something is reserved

    found = {}
    for part in words(text):
        name, mark, amount = part.partition("=")
        if not mark or name not in RESERVABLE or parse_quantity(amount) < 0:
            raise ValueError(f"{part!r} is no amount of {', '.join(RESERVABLE)}")
        found[name] = amount
    return found


def _is_on(value: Any, origin: str) -> bool:
    text = str(value).lower()
    if text not in ("true", "false"):
        raise BadSetting(f"{origin}: {value!r} is neither true nor false")
    return text == "true"


def _number(name: str, value: Any, origin: str) -> int:
    least, what = NUMBERS[name]
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = least - 1
    if number < least:
        raise BadSetting(f"{origin}: {value!r} is no number of {what}")
    return number


def _checked(name: str, value: Any, origin: str) -> Any:
    if name in NUMBERS:
        return _number(name, value, origin)
    if name == "simulate":
        return _is_on(value, origin)
    if name in ("system_reserved", "kube_reserved"):
        try:
            reserved(str(value))
        except ValueError as error:
            raise BadSetting(f"{origin}: {error}") from error
    text = str(value)
    if name in ("registry_mirror", "insecure_registry"):
        from minikube_py.cluster import registries  # only where there are some

        given = {"mirrors" if name == "registry_mirror" else "insecure": words(text)}
        try:
            registries.hosts_files(**{"mirrors": (), "insecure": (), **given})
        except registries.BadRegistry as error:
            raise BadSetting(f"{origin}: {error}") from error
    if name.startswith("eviction_"):
        from minikube_py.kubelet.eviction import thresholds  # only where one is given

        try:
            if name == "eviction_pressure_transition_period":
                thresholds.seconds(text)
            else:
                _ = thresholds.periods(text) if name.endswith("_period") else thresholds.parsed(text)
        except ValueError as error:
            raise BadSetting(f"{origin}: {error}") from error
    if name == "allowed_unsafe_sysctls":
        from minikube_py.kubelet.kuberuntime.sysctls import is_pattern  # only where some are allowed

        if bad := [word for word in words(text) if not is_pattern(word)]:
            raise BadSetting(f"{origin}: {bad[0]!r} is no sysctl of the IPC or network namespace")
    if name == "scheduler_config":
        from minikube_py.scheduler import configuration  # only where there is one

        try:
            configuration.load(text)
        except (configuration.BadConfiguration, OSError) as error:
            raise BadSetting(f"{origin}: {error}") from error
    choices = {"log_level": LOG_LEVELS, "durability": DURABILITIES}.get(name)
    if choices and text not in choices:
        raise BadSetting(f"{origin}: {text!r} is none of {', '.join(choices)}")
    return text
