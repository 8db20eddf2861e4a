"""The runtime's contract: the verbs of the Container Runtime Interface (CRI v1) as small Protocols.

One contract suite runs on containerd and on the simulated runtime. All ids are the runtime's. Times are
seconds since the epoch (0: not yet). Errors: RuntimeFailed, or its subclasses.
"""

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class RuntimeFailed(Exception):
    """The runtime refused or failed; the message is the runtime's own, without gRPC decoration. `code` is its
    gRPC code as Go names it; '' where the runtime was not asked."""

    code = ""

    @property
    def decorated(self) -> str:
        """The message as a gRPC client of Go shows it."""
        return f"rpc error: code = {self.code} desc = {self}" if self.code else str(self)


class RuntimeNotFound(RuntimeFailed):
    """There is no such sandbox, container or image."""


class RuntimeUnavailable(RuntimeFailed):
    """The runtime does not answer (it is starting, or gone)."""


class ImagePullFailed(RuntimeFailed):
    """An image could not be pulled; the message says why as kubelet's events do."""


@dataclass(frozen=True, slots=True)
class PortMapping:
    """A container port published on the host."""

    container_port: int
    host_port: int
    protocol: str = "TCP"
    host_ip: str = ""


@dataclass(frozen=True, slots=True)
class UserNamespace:
    """A pod's user namespace: its ids 0 to `length` - 1, of users and groups, are the node's from `host_id`."""

    host_id: int
    length: int = 65_536


@dataclass(frozen=True, slots=True)
class NamespaceOptions:
    """Which Linux namespaces are the node's: network, pid, ipc; `share_pid` one pid namespace per pod;
    `target` the id of a running container of the pod, whose pid namespace a container joins; `user` the pod's
    user namespace (None: the node's)."""

    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    share_pid: bool = False
    target: str = ""
    user: UserNamespace | None = None


@dataclass(frozen=True, slots=True)
class Resources:
    """Linux limits: CPU quota and period in microseconds, shares; memory in bytes (0: unlimited), `memory_swap`
    memory and swap together. `pids` counts for a pod's cgroup alone."""

    cpu_shares: int = 2
    cpu_quota: int = 0
    cpu_period: int = 100_000
    memory: int = 0
    oom_score_adj: int = 0
    hugepages: Mapping[str, int] = field(default_factory=dict)  # page size as the kernel says it: 2MB, 1GB
    unified: Mapping[str, str] = field(default_factory=dict)
    memory_swap: int = 0
    pids: int = 0


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """A pod sandbox to run. `cgroup_parent` is a cgroupfs path such as /kubepods/burstable/pod<uid>."""

    name: str
    namespace: str
    uid: str
    attempt: int = 0
    hostname: str = ""
    log_directory: str = ""
    dns_servers: Sequence[str] = ()
    dns_searches: Sequence[str] = ()
    dns_options: Sequence[str] = ()
    ports: Sequence[PortMapping] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    cgroup_parent: str = ""
    namespaces: NamespaceOptions = NamespaceOptions()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    runtime_handler: str = ""
    privileged: bool = False
    run_as_user: int | None = None
    run_as_group: int | None = None
    supplemental_groups: Sequence[int] = ()
    strict_groups: bool = False  # no groups of the image's /etc/group
    selinux: Mapping[str, str] = field(default_factory=dict)  # user, role, type, level
    seccomp: str = ""  # RuntimeDefault, Unconfined, or localhost/<path>
    resources: Resources | None = None
    overhead: Resources | None = None


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox as listed. state is ready or notready."""

    id: str
    name: str
    namespace: str
    uid: str
    attempt: int
    state: str
    created_at: float
    ips: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    network_namespace_is_host: bool = False


@dataclass(frozen=True, slots=True)
class Mount:
    """A bind mount. propagation: None, HostToContainer or Bidirectional. `recursive`: what is mounted below is
    read-only too, where `read_only` (runtimes whose handler says that it can)."""

    host_path: str
    container_path: str
    read_only: bool = False
    propagation: str = "None"
    selinux_relabel: bool = False
    recursive: bool = False


@dataclass(frozen=True, slots=True)
class Device:
    host_path: str
    container_path: str
    permissions: str = "rwm"


@dataclass(frozen=True, slots=True)
class Security:
    """A container's security context, resolved from pod and container."""

    run_as_user: int | None = None
    run_as_username: str = ""
    run_as_group: int | None = None
    supplemental_groups: Sequence[int] = ()
    strict_groups: bool = False  # no groups of the image's /etc/group
    selinux: Mapping[str, str] = field(default_factory=dict)  # user, role, type, level
    privileged: bool = False
    read_only_rootfs: bool = False
    no_new_privileges: bool = False
    add_capabilities: Sequence[str] = ()
    drop_capabilities: Sequence[str] = ()
    seccomp: str = ""  # RuntimeDefault, Unconfined, or localhost/<path>
    apparmor: str = ""
    masked_paths: Sequence[str] | None = None
    readonly_paths: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    """A container to create. `log_path` is relative to the sandbox's log directory."""

    name: str
    image: str  # the image id or reference, as `Images.pull` or `status` gave it
    attempt: int = 0
    user_image: str = ""  # what the pod spec said
    command: Sequence[str] = ()
    args: Sequence[str] = ()
    working_dir: str = ""
    env: Sequence[tuple[str, str]] = ()
    mounts: Sequence[Mount] = ()
    devices: Sequence[Device] = ()
    cdi_devices: Sequence[str] = ()  # names of the Container Device Interface, such as vendor.com/gpu=0
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    log_path: str = ""
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    resources: Resources = Resources()
    security: Security = Security()
    namespaces: NamespaceOptions = NamespaceOptions()


@dataclass(frozen=True, slots=True)
class User:
    """Whom a container's first process runs as."""

    uid: int
    gid: int
    groups: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Container:
    """A container. state is created, running, exited or unknown. `applied`, `user`: None where not told."""

    id: str
    sandbox_id: str
    name: str
    attempt: int
    state: str
    image: str
    image_id: str
    created_at: float
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    reason: str = ""  # Completed, Error, OOMKilled
    message: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    log_path: str = ""
    mounts: Sequence[Mount] = ()
    applied: Resources | None = None
    user: User | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """An image at hand. `id` is the config digest; `user` and `uid` what the image says it runs as."""

    id: str
    tags: Sequence[str]
    digests: Sequence[str]
    size: int
    uid: int | None = None
    username: str = ""
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class ExecResult:
    stdout: bytes
    stderr: bytes
    exit_code: int


@dataclass(frozen=True, slots=True)
class RuntimeEvent:
    """type is started, ended, exited, oom, or deleted; `container_id` names the container or sandbox. `status`
    asked after an exited event tells the exit. An ended event may precede it: all that the process wrote is in
    the log, `exit_code` and `finished_at` (seconds since the epoch) tell its end, but `status` may not know it.
    """

    type: str
    container_id: str
    exit_code: int = 0
    finished_at: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class ContainerStats:
    """Usage of one container: CPU in core-nanoseconds since start, memory and disk in bytes."""

    container_id: str
    cpu_nanoseconds: int
    memory_working_set: int
    memory_rss: int = 0
    disk_used: int = 0
    inodes_used: int = 0


@dataclass(frozen=True, slots=True)
class HandlerFeatures:
    """What one runtime handler can do."""

    recursive_read_only_mounts: bool = False
    user_namespaces: bool = False


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """name and version as in nodeInfo.containerRuntimeVersion (containerd://1.6.20). `handlers` by name ("":
    the default one) are empty where the runtime does not tell of them (containerd before 2.0), and
    `strict_groups` is None."""

    name: str
    version: str
    ready: bool = True
    network_ready: bool = True
    message: str = ""
    handlers: Mapping[str, HandlerFeatures] = field(default_factory=dict)
    strict_groups: bool | None = None


class Sandboxes(Protocol):
    async def run(self, config: SandboxConfig) -> str: ...
    async def stop(self, id: str) -> None: ...
    async def remove(self, id: str) -> None: ...
    async def list(self) -> Sequence[Sandbox]: ...
    async def status(self, id: str) -> Sandbox: ...


class Containers(Protocol):
    async def create(self, sandbox_id: str, config: ContainerConfig, sandbox: SandboxConfig) -> str: ...
    async def start(self, id: str) -> None: ...
    async def stop(self, id: str, grace: float) -> None: ...
    async def remove(self, id: str) -> None: ...
    async def list(self) -> Sequence[Container]: ...
    async def status(self, id: str) -> Container: ...


@dataclass(frozen=True, slots=True)
class Credentials:
    username: str = ""
    password: str = ""
    token: str = ""


class Images(Protocol):
    async def pull(self, reference: str, credentials: Credentials | None = None) -> Image: ...
    async def list(self) -> Sequence[Image]: ...
    async def status(self, reference: str) -> Image | None: ...
    async def remove(self, reference: str) -> None: ...

    async def load(self, archive: Path, *, pinned: bool = False) -> Sequence[str]:
        """Import an OCI layout or docker archive (tar, optionally gzip); the names of the images in it.
        `pinned`: never to be collected."""


class Process(Protocol):
    """A command that runs in a container. Closed, its stdin ends and nobody reads on; it is not ended."""

    async def read(self, stream: str) -> bytes:
        """What it prints to `stdout` or `stderr`, at least a byte; empty at the end."""

    async def write(self, data: bytes) -> None:
        """Give it input; waits while it does not read."""

    async def close_stdin(self) -> None: ...

    async def resize(self, width: int, height: int) -> None:
        """The size of its terminal, in characters. Errors: RuntimeFailed."""

    async def wait(self) -> int:
        """Its exit code, once it has ended. Errors: RuntimeFailed."""

    async def close(self) -> None: ...


class Streams(Protocol):
    """Commands in containers, connections to pods, and URLs of the runtime's own streaming server (SPDY)."""

    async def exec_sync(self, id: str, command: Sequence[str], timeout: float) -> ExecResult:
        """Run to the end. Errors: TimeoutError."""

    async def exec(
        self, id: str, command: Sequence[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> Process:
        """Start a command; streams that are not asked for are thrown away. Errors: RuntimeFailed."""

    async def attach(self, id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str: ...

    async def connect(self, sandbox_id: str, port: int) -> socket.socket:
        """A TCP connection to localhost in the sandbox's network. Errors: OSError (why), RuntimeFailed."""


class Monitor(Protocol):
    async def info(self) -> RuntimeInfo: ...

    def events(self) -> AsyncIterator[RuntimeEvent]:
        """Container exits and starts as they happen, from now until the runtime goes (RuntimeUnavailable)."""

    async def stats(self) -> Sequence[ContainerStats]: ...
    async def reopen_log(self, id: str) -> None: ...
    async def update_resources(self, id: str, resources: Resources) -> None: ...


class Runtime(Protocol):
    """One container runtime."""

    @property
    def sandboxes(self) -> Sandboxes: ...
    @property
    def containers(self) -> Containers: ...
    @property
    def images(self) -> Images: ...
    @property
    def streams(self) -> Streams: ...
    @property
    def monitor(self) -> Monitor: ...

    async def close(self) -> None: ...
