"""containerd's configuration file, for 1.x (version 2) and 2.x (version 3): pure text.

Everything it makes lies in the folders given; the machine's own containerd and its /etc, /run and /var are
not touched (only the shims' sockets are in /run/containerd/s, a path fixed in containerd).
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minikube_py.cluster.registries import CERTS

CAP_SYS_RESOURCE = 1 << 24
UNUSED_PLUGINS = (  # each costs time at start, or probes for what is not there
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.snapshotter.v1.blockfile",
    "io.containerd.internal.v1.restart",
    "io.containerd.monitor.container.v1.restart",  # its name in 2.x
    "io.containerd.internal.v1.tracing",
    "io.containerd.tracing.processor.v1.otlp",
    "io.containerd.nri.v1.nri",
)


@dataclass(frozen=True, slots=True)
class ContainerdConfig:
    """Where a containerd keeps its things and what it uses. All below `folder` unless told otherwise: its state
    in `state_folder`, say."""

    folder: Path
    socket: Path
    log: Path
    cni_plugins: Path
    sandbox_image: str
    restrict_oom_score: bool = False
    binary: str = "containerd"
    state_folder: Path | None = None

    @property
    def root(self) -> Path:
        """What persists: images, snapshots, metadata."""
        return self.folder / "root"

    @property
    def state(self) -> Path:
        """What lives until a reboot: bundles, mounts, network namespaces, sockets of containers."""
        return self.state_folder or self.folder / "state"

    @property
    def config_file(self) -> Path:
        return self.folder / "config.toml"

    @property
    def cni_config(self) -> Path:
        """The folder of the CNI configuration."""
        return self.folder / "cni"

    @property
    def cni_data(self) -> Path:
        """The folder of host-local's leases."""
        return self.folder / "cni-data"

    @property
    def certs(self) -> Path:
        """Registry hosts (certs.d/<host>/hosts.toml)."""
        return self.folder / CERTS


Version = tuple[int, int]
"""A containerd's major and minor version."""


def version_of(version_output: str) -> Version:
    """The version in what `containerd --version` prints; (1, 0) where none is found."""
    found = re.search(r"\bv?(\d+)\.(\d+)\.\d+", version_output)
    return (int(found.group(1)), int(found.group(2))) if found else (1, 0)


def lacks_resource_capability(status: Path = Path("/proc/self/status")) -> bool:
    """Whether the process with this /proc/<pid>/status lacks CAP_SYS_RESOURCE, so that it cannot lower an
    oom_score_adj."""
    found = re.search(r"^CapEff:\s*([0-9a-f]+)", status.read_text(), re.MULTILINE)
    return found is not None and not int(found.group(1), 16) & CAP_SYS_RESOURCE


def render(config: ContainerdConfig, version: Version) -> str:
    """The file's text for the containerd of this version."""
    return "".join(_tables(_version_3(config, version) if version >= (2, 0) else _version_2(config, version)))


def _common(config: ContainerdConfig, version: int) -> dict[str, Any]:
    return {
        "version": version,
        "root": str(config.root),
        "state": str(config.state),
        "disabled_plugins": list(UNUSED_PLUGINS),
        "grpc": {"address": str(config.socket)},
    }


def _plugin_folder(config: ContainerdConfig, version: Version) -> dict[str, Any]:
    """Where the CNI plugins are: since 2.1 a list, whose default makes the older setting an error."""
    folder = str(config.cni_plugins)
    return {"bin_dirs": [folder]} if version >= (2, 1) else {"bin_dir": folder}


def _containers(config: ContainerdConfig, version: Version = (1, 0)) -> dict[str, Any]:
    """Tables that the CRI plugin of 1.x and the CRI runtime plugin of 2.x have in common."""
    runc = {"Root": str(config.state / "runc"), "SystemdCgroup": False}
    return {
        "restrict_oom_score_adj": config.restrict_oom_score,
        "netns_mounts_under_state_dir": True,
        "tolerate_missing_hugetlb_controller": True,
        "enable_unprivileged_ports": True,  # as 2.x has it by itself
        "enable_unprivileged_icmp": True,
        "cni": _plugin_folder(config, version) | {"conf_dir": str(config.cni_config)},
        "containerd": {
            "default_runtime_name": "runc",
            "runtimes": {"runc": {"runtime_type": "io.containerd.runc.v2", "options": runc}},
        },
    }


def _version_2(config: ContainerdConfig, version: Version) -> dict[str, Any]:
    cri = _containers(config) | {
        "sandbox_image": config.sandbox_image,
        "stream_server_address": "127.0.0.1",
        "stream_server_port": "0",
        "registry": {"config_path": str(config.certs)},
    }
    cri["containerd"]["snapshotter"] = "overlayfs"
    if version >= (1, 7):
        cri["enable_cdi"] = True  # as 2.x has it by itself
    plugins = {
        "io.containerd.grpc.v1.cri": cri,
        "io.containerd.internal.v1.opt": {"path": str(config.folder / "opt")},
        "io.containerd.monitor.v1.cgroups": {"no_prometheus": True},
    }
    return _common(config, 2) | {"plugins": plugins}


def _version_3(config: ContainerdConfig, version: Version) -> dict[str, Any]:
    images = {
        "snapshotter": "overlayfs",
        "pinned_images": {"sandbox": config.sandbox_image},
        "registry": {"config_path": str(config.certs)},
    }
    plugins = {
        "io.containerd.cri.v1.images": images,
        "io.containerd.cri.v1.runtime": _containers(config, version),
        "io.containerd.grpc.v1.cri": {"stream_server_address": "127.0.0.1", "stream_server_port": "0"},
        "io.containerd.internal.v1.opt": {"path": str(config.folder / "opt")},
        "io.containerd.monitor.task.v1.cgroups": {"no_prometheus": True},
    }
    return _common(config, 3) | {"plugins": plugins}


def _tables(table: dict[str, Any], path: tuple[str, ...] = ()) -> list[str]:
    """TOML of nested tables; strings and lists of them are written as JSON, which TOML reads alike."""
    lines = []
    values = {key: value for key, value in table.items() if not isinstance(value, dict)}
    if path and values:
        lines.append(f"\n[{'.'.join(json.dumps(part) if '.' in part else part for part in path)}]\n")
    lines += [f"{key} = {json.dumps(value)}\n" for key, value in values.items()]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += _tables(value, (*path, key))
    return lines
