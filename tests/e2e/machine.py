"""What a cluster has on the machine now, so that before and after can be compared."""

import contextlib
import json
import os
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from conftest import Cluster

from minikube_py.cluster import leftovers
from minikube_py.cluster.profile import Profile

RESULTS = Path("/var/lib/cni/results")
"""Where libcni keeps what the plugins answered, for all programs of the machine."""


@dataclass(frozen=True)
class Machine:
    """The traces of one cluster."""

    cluster: Cluster

    @property
    def profile(self) -> Profile:
        return Profile(self.cluster.profile, self.cluster.home)

    def shims(self) -> dict[str, int]:
        """Sandbox id > pid of its shim."""
        found = {}
        for pid in leftovers.shims(self.profile.containerd_socket):
            with contextlib.suppress(OSError, ValueError):  # it begins or ends just now
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                found[words[words.index(b"-id") + 1].decode()] = pid
        return found

    def pod_of(self, sandbox: str) -> str:
        """The uid of the pod of a sandbox; empty where it is gone."""
        told = self._ctr("containers", "ls")
        assert told
        argv = ["ctr", "-a", str(self.profile.containerd_socket), "-n", "k8s.io", "containers", "info", sandbox]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
        return str(json.loads(done.stdout)["Labels"]["io.kubernetes.pod.uid"]) if done.returncode == 0 else ""

    def await_step(self, step: str, within: float) -> None:
        """Wait until containerd's log tells that it begins a step, or is done with it, but not for longer than
        `within` seconds."""
        log = self.cluster.folder / "logs" / "containerd.log"
        with subprocess.Popen(["tail", "-n0", "-F", str(log)], stdout=subprocess.PIPE, text=True) as tail:
            assert tail.stdout is not None
            end = threading.Timer(within, tail.kill)
            end.start()
            next((line for line in tail.stdout if step in line), "")
            end.cancel()
            tail.kill()

    def traces(self) -> dict[str, set[str]]:
        """All that pods leave on a machine, by kind."""
        containerd, kubelet, state = (
            self.profile.containerd,
            self.profile.kubelet,
            self.profile.containerd_state,
        )
        mounts = leftovers.mounts_under([containerd, kubelet, state], Path("/proc/self/mountinfo").read_text())
        return {
            "shims": set(self.shims()),
            "bundles": _names(state / leftovers.SHIM_BUNDLES),
            "runc": _names(state / leftovers.RUNC_STATE) | _names(containerd / leftovers.SHIM_WORK),
            "mounts": {str(path) for path in mounts},
            "network namespaces": _names(state / "io.containerd.grpc.v1.cri/netns"),
            "interfaces": _names(Path("/sys/class/net") / self.profile.bridge / "brif"),
            "addresses": {
                name for name in _names(containerd / "cni-data" / "minikube-py") if name[0].isdigit()
            },
            "network results": {path.name for path in RESULTS.glob("*") if str(state) in _text(path)},
            "cgroups": _pod_cgroups(self.profile.cgroup_root),
            "folders": _names(kubelet / "pods") | _names(self.profile.pod_logs),
            "rules": set(self._nft().splitlines()),
            "containers": set(self._ctr("containers", "ls", "-q").split()),
            "snapshots": {
                line.split()[0] for line in self._ctr("snapshots", "ls").splitlines() if "Active" in line
            },
        }

    def left(self, before: dict[str, set[str]], within: float) -> dict[str, list[str]]:
        """What is there now and was not before, by kind: nothing, or what still is after `within` seconds. The
        machine tells nobody of most of it, hence the looks."""
        end = time.monotonic() + within
        while left := leaked(before, self.traces()):
            if time.monotonic() > end:
                break
            time.sleep(0.5)
        return left

    def _ctr(self, *words: str) -> str:
        argv = ["ctr", "-a", str(self.profile.containerd_socket), "-n", "k8s.io", *words]
        return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout

    def _nft(self) -> str:
        argv = ["nft", "-s", "list", "table", "ip", self.profile.nft_table]
        return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout


def leaked(before: dict[str, set[str]], after: dict[str, set[str]]) -> dict[str, list[str]]:
    """What is there after and was not before, by kind."""
    return {kind: sorted(found - before[kind]) for kind, found in after.items() if found - before[kind]}


def _names(folder: Path) -> set[str]:
    return set(os.listdir(folder)) if folder.is_dir() else set()


def _pod_cgroups(root: str) -> set[str]:
    """The pods' cgroups below `root`, in every hierarchy and tier."""
    tops = [leftovers.CGROUPS, *(path for path in leftovers.CGROUPS.iterdir() if path.is_dir())]
    tiers = ("kubepods", "kubepods/burstable", "kubepods/besteffort")
    folders = [top / root.strip("/") / tier for top in tops for tier in tiers]
    return {str(folder / name) for folder in folders for name in _names(folder) if name.startswith("pod")}


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
