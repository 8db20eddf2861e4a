"""CNI configuration: a bridge with host-local addresses, and nothing that touches the machine's firewall.

Masquerading and host ports are kube-proxy's nftables rules, so neither ipMasq nor portmap is asked of CNI
(Debian's plugins would use iptables for both).
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

PLUGINS = ("bridge", "host-local", "loopback")
PLUGIN_FOLDERS = ("/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni")
CONFIG_NAME = "10-minikube-py.conflist"


def plugin_folder(folders: tuple[str, ...] = PLUGIN_FOLDERS) -> Path | None:
    """The first folder that holds all plugins that are used, if any."""
    for folder in map(Path, folders):
        if all(os.access(folder / plugin, os.X_OK) for plugin in PLUGINS):
            return folder
    return None


@dataclass(frozen=True, slots=True)
class CniConfig:
    """Pods on `bridge` with addresses of `pod_cidr`; leases are kept in `data`."""

    folder: Path
    data: Path
    bridge: str
    pod_cidr: str
    gateway: str
    mtu: int = 0  # 0: the kernel's

    def document(self) -> dict[str, Any]:
        """The network configuration list (CNI spec 0.4.0)."""
        bridge: dict[str, Any] = {
            "type": "bridge",
            "bridge": self.bridge,
            "isGateway": True,
            "hairpinMode": True,
            "ipMasq": False,
            "ipam": {
                "type": "host-local",
                "dataDir": str(self.data),
                "ranges": [[{"subnet": self.pod_cidr, "gateway": self.gateway}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        if self.mtu:
            bridge["mtu"] = self.mtu
        return {"cniVersion": "0.4.0", "name": "minikube-py", "plugins": [bridge]}

    def write(self) -> None:
        """Write the file that containerd reads (idempotent; containerd notices a change)."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = orjson.dumps(self.document(), option=orjson.OPT_INDENT_2)
        path = self.folder / CONFIG_NAME
        if not path.exists() or path.read_bytes() != data:
            fresh = path.with_suffix(".tmp")
            fresh.write_bytes(data)
            fresh.replace(path)
