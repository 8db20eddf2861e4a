"""Profile: where one cluster lives on the machine, and the names, addresses and ports that are its own.

Everything is below `~/.minikube-py/profiles/<name>/` (`MINIKUBE_PY_HOME` moves `~/.minikube-py`), mode 0700.
What a profile was given once (its `Network`) is kept in config.json, so that it stays the same over restarts;
a new profile is given what no other profile, no route and no listener of the machine uses. NodePorts are not
told apart: two profiles that run side by side must not publish the same one.
"""

import hashlib
import ipaddress
import os
import re
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from minikube_py.cluster.claims import FOLDER, Claims

DEFAULT_NAME = "minikube-py"
SLOTS = 9  # profiles side by side: the /12 service networks from 10.96.0.0 up to 10.224.0.0
RUN = Path("/run/minikube-py")
SOCKET_LIMIT = 100  # bytes of a unix socket's path, with room for containerd's .ttrpc beside it (unix(7): 108)
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


class BadProfile(ValueError):
    """A profile's name or its stored configuration is unusable; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Network:
    """A cluster's addresses and ports. `gateway` is the bridge's and the node's InternalIP."""

    pod_cidr: str
    service_cidr: str
    api_port: int
    kubelet_port: int
    dns_port: int

    @property
    def gateway(self) -> str:
        """The first address of the pod network."""
        return str(ipaddress.IPv4Network(self.pod_cidr)[1])

    @property
    def gateway_with_prefix(self) -> str:
        """The gateway as an interface address, such as 10.244.0.1/24."""
        return f"{self.gateway}/{ipaddress.IPv4Network(self.pod_cidr).prefixlen}"

    @property
    def cluster_cidr(self) -> str:
        """The range that all nodes' pods are in: the /16 around this node's /24."""
        return str(ipaddress.IPv4Network(self.pod_cidr).supernet(new_prefix=16))

    @property
    def load_balancer_cidr(self) -> str:
        """The addresses for Services of type LoadBalancer: 10.254.0.0/24 beside the pods of 10.244.0.0/24."""
        return f"10.254.{ipaddress.IPv4Network(self.pod_cidr).network_address.packed[1] - 244 & 0xFF}.0/24"

    @property
    def kubernetes_ip(self) -> str:
        """The ClusterIP of the `kubernetes` Service."""
        return str(ipaddress.IPv4Network(self.service_cidr)[1])

    @property
    def dns_ip(self) -> str:
        """The ClusterIP of the `kube-dns` Service."""
        return str(ipaddress.IPv4Network(self.service_cidr)[10])


def slot(number: int) -> Network:
    """The addresses and ports of the `number`th profile (0: Kubernetes' usual ones)."""
    return Network(
        pod_cidr=f"10.{244 + number}.0.0/24",
        service_cidr=f"10.{96 + 16 * number}.0.0/12",
        api_port=8443 + number,
        kubelet_port=10250 + 10 * number,
        dns_port=10053 + number,
    )


def choose(
    taken: Iterable[Network],
    routes: Sequence[ipaddress.IPv4Network] = (),
    free: Callable[[Network], bool] = lambda _: True,
) -> Network:
    """The first slot that shares nothing with `taken`, no network with `routes`, and whose ports are `free`.
    Errors: BadProfile."""
    others = tuple(taken)
    for number in range(SLOTS):
        candidate = slot(number)
        own = (candidate.pod_cidr, candidate.service_cidr, candidate.load_balancer_cidr)
        nets = [ipaddress.IPv4Network(cidr) for cidr in own]
        used = [
            ipaddress.IPv4Network(cidr) for other in others for cidr in (other.pod_cidr, other.service_cidr)
        ]
        ports = {candidate.api_port, candidate.kubelet_port, candidate.dns_port}
        busy = {port for other in others for port in (other.api_port, other.kubelet_port, other.dns_port)}
        clash = any(net.overlaps(other) for net in nets for other in (*used, *routes)) or ports & busy
        if not clash and free(candidate):
            return candidate
    raise BadProfile(
        f"all {SLOTS} networks for profiles are in use: delete one with `minikube-py delete -p NAME`"
    )


def routes(table: str, ignore: str = "") -> list[ipaddress.IPv4Network]:
    """The networks in `table` (the text of /proc/net/route), without the default route and `ignore`'s."""
    found = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8 or fields[0] == ignore or fields[7] == "00000000":
            continue
        address, mask = (int.from_bytes(bytes.fromhex(text), "little") for text in (fields[1], fields[7]))
        found.append(ipaddress.IPv4Network((address, mask.bit_count())))
    return found


def default_home() -> Path:
    """$MINIKUBE_PY_HOME, or ~/.minikube-py."""
    configured = os.environ.get("MINIKUBE_PY_HOME")
    return Path(configured).absolute() if configured else Path.home() / ".minikube-py"


def names(home: Path) -> list[str]:
    """The profiles that exist under `home`."""
    folder = home / "profiles"
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


@dataclass(frozen=True, slots=True)
class Profile:
    """One cluster's paths and names. Making the value touches nothing."""

    name: str = DEFAULT_NAME
    home: Path = Path()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise BadProfile(
                f'bad profile name "{self.name}": use at most 40 lower-case letters, digits and dashes'
            )
        if self.home == Path():
            object.__setattr__(self, "home", default_home())

    @property
    def folder(self) -> Path:
        return self.home / "profiles" / self.name

    @property
    def config_file(self) -> Path:
        return self.folder / "config.json"

    @property
    def store_file(self) -> Path:
        return self.folder / "store.db"

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    @property
    def logs(self) -> Path:
        """Logs of this process and of containerd."""
        return self.folder / "logs"

    @property
    def pod_logs(self) -> Path:
        """Where containers' logs go, a folder for each pod."""
        return self.logs / "pods"

    @property
    def manifests(self) -> Path:
        """The files of the node's static pods (the kubelet's staticPodPath)."""
        return self.folder / "manifests"

    @property
    def kubelet(self) -> Path:
        """The kubelet's root directory (pods/ below it)."""
        return self.folder / "kubelet"

    @property
    def storage(self) -> Path:
        """The local-path volumes' folders: users' data, which outlives pods and the process."""
        return self.folder / "storage"

    @property
    def pid_file(self) -> Path:
        return self.folder / "minikube-py.pid"

    @property
    def containerd(self) -> Path:
        return self.folder / "containerd"

    @property
    def containerd_socket(self) -> Path:
        """In the profile's folder, or in /run where that path is too long for a unix socket."""
        usual = self.containerd / "containerd.sock"
        if len(os.fsencode(usual)) <= SOCKET_LIMIT:
            return usual
        return Path("/run") / f"minikube-py-{_short_hash(str(self.folder))}" / "containerd.sock"

    @property
    def containerd_state(self) -> Path:
        """containerd's state, in /run: users of pods with `hostUsers: false` must pass to its bundles, and
        may not through a home such as /root."""
        return RUN / _short_hash(str(self.folder))

    @property
    def bridge(self) -> str:
        """The bridge's name (the kernel allows 15 characters)."""
        if self.name == DEFAULT_NAME:
            return "mkpy0"
        plain = f"mkpy-{self.name}"
        return plain if len(plain) <= 15 else f"mkpy-{_short_hash(self.name)}"

    @property
    def nft_table(self) -> str:
        return self._named("minikube-py")

    @property
    def cgroup_root(self) -> str:
        """The cgroup (of each hierarchy) below which the kubelet makes its pods'."""
        return f"/{self._named('minikube-py')}"

    @property
    def node_name(self) -> str:
        return self.name

    def _named(self, base: str) -> str:
        return base if self.name == DEFAULT_NAME else f"{base}-{self.name}"

    def exists(self) -> bool:
        """Whether the profile was ever started."""
        return self.config_file.exists()

    def make_folders(self) -> None:
        """Make the profile's folders, for their owner only."""
        for folder in (
            self.folder,
            self.pki,
            self.logs,
            self.pod_logs,
            self.kubelet,
            self.storage,
            self.containerd,
            self.containerd_socket.parent,
        ):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def network(self) -> Network | None:
        """The addresses and ports that this profile was given, or None. Errors: BadProfile."""
        kept = self.load().get("network")
        try:
            return None if kept is None else Network(**kept)
        except TypeError as error:
            raise BadProfile(f"{self.config_file} is damaged: {error}") from error

    def claim_network(
        self,
        table: Path = Path("/proc/net/route"),
        free: Callable[[Network], bool] | None = None,
        told: Path = FOLDER,
    ) -> Network:
        """The profile's network, chosen and kept at the first call; `table` is the machine's routes, `free`
        whether a network's ports are (on this machine), `told` where its processes tell theirs.
        Errors: BadProfile."""
        with Claims.locked(told) as known:
            network = self.network()
            if network is None:
                own = (Profile(name, self.home).network() for name in names(self.home) if name != self.name)
                others = [Network(**claim) for claim in known.others(self.config_file)]
                paths = routes(table.read_text(), ignore=self.bridge) if table.exists() else []
                network = choose([*(o for o in own if o), *others], paths, free or _ports_free)
                self.save(self.load() | {"network": asdict(network)})
            known.put(self.config_file, asdict(network))
        return network

    def load(self) -> dict[str, Any]:
        """What is kept of this profile; {} for a new one. Errors: BadProfile."""
        try:
            kept = orjson.loads(self.config_file.read_bytes())
        except FileNotFoundError:
            return {}
        except orjson.JSONDecodeError as error:
            raise BadProfile(f"{self.config_file} is damaged: {error}") from error
        if not isinstance(kept, dict):
            raise BadProfile(f"{self.config_file} is damaged: not an object")
        return kept

    def save(self, kept: dict[str, Any]) -> None:
        """Keep `kept` atomically."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self.config_file.with_name(f".config.json.{os.getpid()}")
        fresh.write_bytes(orjson.dumps(kept, option=orjson.OPT_INDENT_2))
        fresh.replace(self.config_file)


def _ports_free(network: Network) -> bool:
    """Whether nobody on this machine listens on the network's ports (clusters of another home, say)."""
    for port in (network.api_port, network.kubelet_port, network.dns_port):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]
