"""KubeletConfig: everything that a kubelet is told at start; nothing here is read from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from minikube_py.kubelet.eviction.thresholds import EvictionConfig
from minikube_py.kubelet.images.image_gc import ImageGcConfig


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where the kubelet's HTTPS API listens, and with what identity. All paths are PEM files."""

    certificate: Path
    key: Path
    client_ca: Path
    addresses: tuple[str, ...] = ("127.0.0.1",)
    port: int = 10250


@dataclass(frozen=True, slots=True)
class KubeletConfig:
    """One node. Times are in seconds, sizes in bytes."""

    node_name: str
    node_ip: str
    root_dir: Path
    """Holds pods/<uid> with volumes and /etc/hosts files."""
    log_dir: Path
    """Holds <namespace>_<pod>_<uid>/<container>/<attempt>.log, as /var/log/pods."""
    hostname: str = ""
    pod_cidr: str = "10.244.0.0/24"
    version: str = "v1.34.0"
    cluster_dns: tuple[str, ...] = ("10.96.0.10",)
    cluster_domain: str = "cluster.local"
    kubernetes_service: tuple[str, int] = ("10.96.0.1", 443)
    """Where KUBERNETES_SERVICE_HOST points while the Service default/kubernetes is not known."""
    static_pod_path: Path | None = None
    """The folder whose files are static pods; None: there are none."""
    local_path_root: Path | None = None
    """The folder that holds this node's local-path volumes; None: it has none."""
    resolv_conf: Path = Path("/etc/resolv.conf")
    hosts_file: Path = Path("/etc/hosts")
    cgroup_root: str = "/kubepods"
    """The cgroup above all pods, such as /minikube-py/<profile>/kubepods; empty: no pod cgroups."""
    max_pods: int = 110
    system_reserved: Mapping[str, str] = field(default_factory=dict)
    """What of the node's capacity is not for pods, by resource: the system's, and Kubernetes' own."""
    kube_reserved: Mapping[str, str] = field(default_factory=dict)
    pod_pids_limit: int = 0
    """How many processes a pod may have; 0: any number."""
    allowed_unsafe_sysctls: tuple[str, ...] = ()
    """Sysctls, or starts of their names with a star, that pods may set besides the safe ones."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Node labels besides the well-known ones."""
    memory_volumes: bool = True
    """Whether secrets and tokens lie on tmpfs (needs CAP_SYS_ADMIN)."""
    parallel_pulls: int = 3
    relist_interval: float = 20.0
    status_interval: float = 300.0
    lease_interval: float = 10.0
    lease_duration: int = 40
    log_max_size: int = 10 * 1024 * 1024
    log_max_files: int = 5
    log_check_interval: float = 10.0
    eviction: EvictionConfig = field(default_factory=EvictionConfig)
    image_gc: ImageGcConfig = field(default_factory=ImageGcConfig)
    image_dir: Path | None = None
    """A folder on the disk that holds images and writable layers; None: it is that of `root_dir`."""
    server: ServerConfig | None = None
    system_logs: Path | None = Path("/var/log")
    """The folder of the machine's logs that /logs/ shows; None: it is not served."""
    stream_idle_timeout: float = 4 * 3600.0
    """How long nothing may pass in exec, attach and port-forward."""

    def pod_dir(self, uid: str) -> Path:
        """The directory of one pod."""
        return self.root_dir / "pods" / uid

    @property
    def image_disk(self) -> Path:
        """A folder on the disk that holds images."""
        return self.image_dir or self.root_dir

    @property
    def seccomp_dir(self) -> Path:
        """Where Localhost seccomp profiles lie."""
        return self.root_dir / "seccomp"

    def pod_log_dir(self, namespace: str, name: str, uid: str) -> Path:
        """The directory of one pod's logs."""
        return self.log_dir / f"{namespace}_{name}_{uid}"
