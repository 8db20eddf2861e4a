"""The contract's values as CRI messages and back: pure, no I/O.

Times are nanoseconds in CRI and seconds here. Kubernetes' defaults that the kubelet is to send explicitly
(masked and read-only paths of an unprivileged container) are filled in here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from minikube_py.runtime.base import (
    Container,
    ContainerConfig,
    ContainerStats,
    HandlerFeatures,
    Image,
    Mount,
    NamespaceOptions,
    Resources,
    RuntimeInfo,
    Sandbox,
    SandboxConfig,
    Security,
    User,
    UserNamespace,
)
from minikube_py.runtime.proto import cri_pb2 as cri

SANDBOX_STATES = ("ready", "notready")
CONTAINER_STATES = ("created", "running", "exited", "unknown")
CONDITIONS = ("RuntimeReady", "NetworkReady")
PROTOCOLS = {"TCP": 0, "UDP": 1, "SCTP": 2}
PROPAGATIONS = ("None", "HostToContainer", "Bidirectional")
MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def security_profile(text: str) -> cri.SecurityProfile | None:
    """RuntimeDefault, Unconfined or localhost/<path> as a profile; None for ''."""
    if not text:
        return None
    if text.startswith("localhost/"):
        return cri.SecurityProfile(profile_type="Localhost", localhost_ref=text.removeprefix("localhost/"))
    return cri.SecurityProfile(profile_type=text)


def namespace_option(options: NamespaceOptions) -> cri.NamespaceOption:
    """Which namespaces are shared with the node (NODE), the pod (POD), another container (TARGET) or nobody
    (CONTAINER). Without a user namespace none is told of: older runtimes take that for the node's."""
    pid = "NODE" if options.host_pid else "POD" if options.share_pid else "CONTAINER"
    return cri.NamespaceOption(
        network="NODE" if options.host_network else "POD",
        pid="TARGET" if options.target else pid,
        ipc="NODE" if options.host_ipc else "POD",
        target_id=options.target,
        userns_options=_user_namespace(options.user),
    )


def _user_namespace(user: UserNamespace | None) -> cri.UserNamespace | None:
    ids = id_mappings(user)
    return cri.UserNamespace(mode="POD", uids=ids, gids=ids) if user is not None else None


def id_mappings(user: UserNamespace | None) -> list[cri.IDMapping]:
    """How a user namespace's ids become the node's; empty for the node's own namespace."""
    if user is None:
        return []
    return [cri.IDMapping(host_id=user.host_id, container_id=0, length=user.length)]


def _selinux(options: Mapping[str, str]) -> cri.SELinuxOption | None:
    return cri.SELinuxOption(**options) if options else None


def _wrapped(value: int | None) -> cri.Int64Value | None:
    return None if value is None else cri.Int64Value(value=value)


def sandbox_config(config: SandboxConfig) -> cri.PodSandboxConfig:
    """The PodSandboxConfig for `config`."""
    return cri.PodSandboxConfig(
        metadata=cri.PodSandboxMetadata(
            name=config.name, uid=config.uid, namespace=config.namespace, attempt=config.attempt
        ),
        # On the node's network there is no UTS namespace of the pod's own whose name could be set.
        hostname="" if config.namespaces.host_network else config.hostname,
        log_directory=config.log_directory,
        dns_config=cri.DNSConfig(
            servers=config.dns_servers, searches=config.dns_searches, options=config.dns_options
        ),
        port_mappings=[
            cri.PortMapping(
                protocol=PROTOCOLS[port.protocol],
                container_port=port.container_port,
                host_port=port.host_port,
                host_ip=port.host_ip,
            )
            for port in config.ports
        ],
        labels=config.labels,
        annotations=config.annotations,
        linux=cri.LinuxPodSandboxConfig(
            cgroup_parent=config.cgroup_parent,
            sysctls=config.sysctls,
            security_context=_sandbox_security(config),
            overhead=linux_resources(config.overhead) if config.overhead else None,
            resources=linux_resources(config.resources) if config.resources else None,
        ),
    )


def _sandbox_security(config: SandboxConfig) -> cri.LinuxSandboxSecurityContext:
    return cri.LinuxSandboxSecurityContext(
        namespace_options=namespace_option(config.namespaces),
        selinux_options=_selinux(config.selinux),
        run_as_user=_wrapped(config.run_as_user),
        run_as_group=_wrapped(config.run_as_group),
        supplemental_groups=config.supplemental_groups,
        supplemental_groups_policy="Strict" if config.strict_groups else "Merge",
        privileged=config.privileged,
        seccomp=security_profile(config.seccomp),
    )


def linux_resources(resources: Resources, oom_score_floor: int = -1000) -> cri.LinuxContainerResources:
    """The limits; an oom_score_adj below `oom_score_floor` is raised to it."""
    return cri.LinuxContainerResources(
        cpu_period=resources.cpu_period,
        cpu_quota=resources.cpu_quota,
        cpu_shares=resources.cpu_shares,
        memory_limit_in_bytes=resources.memory,
        memory_swap_limit_in_bytes=resources.memory_swap,
        oom_score_adj=max(oom_score_floor, resources.oom_score_adj),
        hugepage_limits=[
            cri.HugepageLimit(page_size=size, limit=limit) for size, limit in resources.hugepages.items()
        ],
        unified=resources.unified,
    )


def _paths(given: Sequence[str] | None, default: Sequence[str], privileged: bool) -> Sequence[str]:
    if privileged:
        return ()
    return default if given is None else given


def security_context(security: Security, namespaces: NamespaceOptions) -> cri.LinuxContainerSecurityContext:
    """The container's LinuxContainerSecurityContext."""
    return cri.LinuxContainerSecurityContext(
        capabilities=cri.Capability(
            add_capabilities=security.add_capabilities, drop_capabilities=security.drop_capabilities
        ),
        privileged=security.privileged,
        namespace_options=namespace_option(namespaces),
        run_as_user=_wrapped(security.run_as_user),
        run_as_username=security.run_as_username,
        run_as_group=_wrapped(security.run_as_group),
        readonly_rootfs=security.read_only_rootfs,
        supplemental_groups=security.supplemental_groups,
        supplemental_groups_policy="Strict" if security.strict_groups else "Merge",
        selinux_options=_selinux(security.selinux),
        no_new_privs=security.no_new_privileges,
        masked_paths=_paths(security.masked_paths, MASKED_PATHS, security.privileged),
        readonly_paths=_paths(security.readonly_paths, READONLY_PATHS, security.privileged),
        seccomp=security_profile(security.seccomp),
        apparmor=security_profile(security.apparmor),
    )


def container_config(config: ContainerConfig, oom_score_floor: int = -1000) -> cri.ContainerConfig:
    """The ContainerConfig for `config`."""
    return cri.ContainerConfig(
        metadata=cri.ContainerMetadata(name=config.name, attempt=config.attempt),
        image=cri.ImageSpec(image=config.image, user_specified_image=config.user_image),
        command=config.command,
        args=config.args,
        working_dir=config.working_dir,
        envs=[cri.KeyValue(key=key, value=value) for key, value in config.env],
        mounts=[
            cri.Mount(
                container_path=mount.container_path,
                host_path=mount.host_path,
                readonly=mount.read_only,
                selinux_relabel=mount.selinux_relabel,
                propagation=PROPAGATIONS.index(mount.propagation),
                uidMappings=id_mappings(config.namespaces.user),
                gidMappings=id_mappings(config.namespaces.user),
                recursive_read_only=mount.recursive,
            )
            for mount in config.mounts
        ],
        devices=[
            cri.Device(
                container_path=device.container_path,
                host_path=device.host_path,
                permissions=device.permissions,
            )
            for device in config.devices
        ],
        CDI_devices=[cri.CDIDevice(name=name) for name in config.cdi_devices],
        labels=config.labels,
        annotations=config.annotations,
        log_path=config.log_path,
        stdin=config.stdin,
        stdin_once=config.stdin_once,
        tty=config.tty,
        linux=cri.LinuxContainerConfig(
            resources=linux_resources(config.resources, oom_score_floor),
            security_context=security_context(config.security, config.namespaces),
        ),
    )


def sandbox(message: cri.PodSandbox | cri.PodSandboxStatus) -> Sandbox:
    """A listed sandbox, or its status (which alone knows the addresses)."""
    ips: tuple[str, ...] = ()
    on_host = False
    if isinstance(message, cri.PodSandboxStatus):
        network = message.network
        ips = (network.ip, *(more.ip for more in network.additional_ips)) if network.ip else ()
        on_host = message.linux.namespaces.options.network == cri.NODE
    return Sandbox(
        id=message.id,
        name=message.metadata.name,
        namespace=message.metadata.namespace,
        uid=message.metadata.uid,
        attempt=message.metadata.attempt,
        state=SANDBOX_STATES[message.state],
        created_at=message.created_at / 1e9,
        ips=ips,
        labels=dict(message.labels),
        annotations=dict(message.annotations),
        network_namespace_is_host=on_host,
    )


def listed_container(message: cri.Container) -> Container:
    """A container as ListContainers tells it: no exit code, no start or finish time."""
    return Container(
        id=message.id,
        sandbox_id=message.pod_sandbox_id,
        name=message.metadata.name,
        attempt=message.metadata.attempt,
        state=CONTAINER_STATES[message.state],
        image=message.image.image,
        image_id=message.image_ref,
        created_at=message.created_at / 1e9,
        labels=dict(message.labels),
        annotations=dict(message.annotations),
    )


def container(message: cri.ContainerStatus, sandbox_id: str) -> Container:
    """A container with everything that is known of it."""
    return Container(
        id=message.id,
        sandbox_id=sandbox_id,
        name=message.metadata.name,
        attempt=message.metadata.attempt,
        state=CONTAINER_STATES[message.state],
        image=message.image.image,
        image_id=message.image_ref,
        created_at=message.created_at / 1e9,
        started_at=max(0, message.started_at) / 1e9,
        finished_at=max(0, message.finished_at) / 1e9,
        exit_code=message.exit_code,
        reason=message.reason,
        message=message.message,
        labels=dict(message.labels),
        annotations=dict(message.annotations),
        log_path=message.log_path,
        mounts=tuple(
            Mount(
                host_path=mount.host_path,
                container_path=mount.container_path,
                read_only=mount.readonly,
                propagation=PROPAGATIONS[mount.propagation],
                selinux_relabel=mount.selinux_relabel,
                recursive=mount.recursive_read_only,
            )
            for mount in message.mounts
        ),
        applied=_applied(message.resources.linux) if message.resources.HasField("linux") else None,
        user=_user(message.user.linux) if message.user.HasField("linux") else None,
    )


def _applied(message: cri.LinuxContainerResources) -> Resources:
    return Resources(
        cpu_shares=message.cpu_shares,
        cpu_quota=message.cpu_quota,
        cpu_period=message.cpu_period,
        memory=message.memory_limit_in_bytes,
        oom_score_adj=message.oom_score_adj,
        memory_swap=message.memory_swap_limit_in_bytes,
    )


def _user(message: cri.LinuxContainerUser) -> User:
    return User(message.uid, message.gid, tuple(message.supplemental_groups))


def image(message: cri.Image) -> Image:
    """An image; `uid` is None where the image names a user, or nobody."""
    return Image(
        id=message.id,
        tags=tuple(message.repo_tags),
        digests=tuple(message.repo_digests),
        size=message.size,
        uid=message.uid.value if message.HasField("uid") else None,
        username=message.username,
        pinned=message.pinned,
    )


def handler_features(message: cri.RuntimeHandler) -> HandlerFeatures:
    """What a runtime handler says that it can do."""
    return HandlerFeatures(message.features.recursive_read_only_mounts, message.features.user_namespaces)


def runtime_info(version: cri.VersionResponse, answer: cri.StatusResponse) -> RuntimeInfo:
    """What a runtime tells of itself. Conditions beyond the two of CRI (containerd has one for settings that it
    deprecates) say nothing of whether pods can run."""
    required = {c.type: c for c in answer.status.conditions if c.type in CONDITIONS}
    failing = [c.message or c.reason for c in required.values() if not c.status]
    ready, network = (name in required and required[name].status for name in CONDITIONS)
    return RuntimeInfo(
        name=version.runtime_name,
        version=version.runtime_version.removeprefix("v").split("~")[0],
        ready=ready,
        network_ready=network,
        message="; ".join(failing),
        handlers={handler.name: handler_features(handler) for handler in answer.runtime_handlers},
        strict_groups=answer.features.supplemental_groups_policy if answer.HasField("features") else None,
    )


def without_users(info: RuntimeInfo) -> RuntimeInfo:
    """The same runtime, none of whose handlers has user namespaces."""
    handlers = {name: replace(can, user_namespaces=False) for name, can in info.handlers.items()}
    return replace(info, handlers=handlers)


def container_stats(message: cri.ContainerStats) -> ContainerStats:
    """Usage of one container."""
    memory, disk = message.memory, message.writable_layer
    return ContainerStats(
        container_id=message.attributes.id,
        cpu_nanoseconds=message.cpu.usage_core_nano_seconds.value,
        memory_working_set=memory.working_set_bytes.value,
        memory_rss=memory.rss_bytes.value,
        disk_used=disk.used_bytes.value,
        inodes_used=disk.inodes_used.value,
    )
