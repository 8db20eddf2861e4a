"""A private containerd for tests: its own folders, socket, bridge, pod network and cgroup; gone afterwards.

Needs root, containerd, runc and the CNI plugins (`unavailable` says what is missing). Several may run side by
side: the bridge and the pod network are derived from the folder.
"""

import asyncio
import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from minikube_py.cluster import leftovers
from minikube_py.cluster.cni import CniConfig, plugin_folder
from minikube_py.cluster.containerd import ContainerdProcess
from minikube_py.cluster.containerd_config import ContainerdConfig, lacks_resource_capability
from minikube_py.cluster.network import Bridge
from minikube_py.runtime.containerd import Containerd
from minikube_py.runtime.oci import File, Recipe, write_archive
from minikube_py.runtime.pause import IMAGE, ensure_pause

BUSYBOX = "minikube-py.local/busybox:1"
"""A loaded image: Debian's static busybox as /bin/busybox and its usual applets in /bin; it runs `sh`."""

APPLETS = (
    *(
        "sh",
        "cat",
        "chmod",
        "dd",
        "echo",
        "env",
        "false",
        "grep",
        "head",
        "hostname",
        "httpd",
        "id",
        "ip",
        "kill",
    ),
    *("ls", "mkdir", "mount", "nc", "netstat", "nproc", "nslookup", "ping", "printf", "ps", "pwd", "rm", "seq"),
    *(
        "sleep",
        "stat",
        "sysctl",
        "tail",
        "tar",
        "tee",
        "test",
        "touch",
        "tr",
        "true",
        "uname",
        "wc",
        "wget",
        "whoami",
    ),
    "yes",
)


def unavailable() -> str:
    """Why no containerd can be started here; '' if one can."""
    if os.geteuid() != 0:
        return "needs root"
    for program in ("containerd", "runc", "ip"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if plugin_folder() is None:
        return "the CNI plugins are not installed"
    return "" if shutil.which("busybox") else "busybox-static is not installed"


@dataclass(frozen=True, slots=True)
class PrivateContainerd:
    """A running containerd. `runtime` is connected to it; `cgroup` is for pods' cgroup_parent (below it)."""

    runtime: Containerd
    process: ContainerdProcess
    bridge: Bridge
    pod_cidr: str
    cgroup: str

    @property
    def socket(self) -> Path:
        return self.process.config.socket


def busybox_recipe(name: str = BUSYBOX) -> Recipe:
    """The test image."""
    busybox = Path(shutil.which("busybox") or "/usr/bin/busybox").resolve()
    return Recipe(
        name,
        files={
            "/bin/busybox": File(busybox, 0o755),
            "/etc/passwd": File(b"root:x:0:0:root:/root:/bin/sh\nweb:x:1001:1001:web:/:/bin/sh\n"),
            "/etc/group": File(b"root:x:0:\nweb:x:1001:\n"),
        },
        links={f"/bin/{applet}": "busybox" for applet in APPLETS},
        folders={"/tmp": 0o1777, "/root": 0o700, "/proc": 0o555, "/sys": 0o555, "/dev": 0o755},
        command=("/bin/sh",),
        env={"PATH": "/bin"},
    )


@contextlib.asynccontextmanager
async def private_containerd(folder: Path) -> AsyncIterator[PrivateContainerd]:
    """Start a containerd that keeps everything in `folder` (tmp_path), with the pause and busybox images
    loaded; on leaving, end every container and remove mounts, namespaces, bridge and cgroup.

    async with private_containerd(tmp_path) as private:
        await private.runtime.sandboxes.run(...)
    """
    number = int(hashlib.sha256(str(folder).encode()).hexdigest()[:4], 16)
    pod_cidr = f"10.{200 + number % 16}.{number >> 8}.0/24"
    gateway = f"10.{200 + number % 16}.{number >> 8}.1"
    bridge = Bridge(f"mkpyt{number:04x}", f"{gateway}/24")
    plugins = plugin_folder()
    if plugins is None:
        raise RuntimeError(unavailable())
    with tempfile.TemporaryDirectory(prefix="mkpy") as short:  # a unix socket's path is 107 bytes at most
        config = ContainerdConfig(
            folder=folder / "containerd",
            socket=Path(short) / "c.sock",
            log=folder / "containerd.log",
            cni_plugins=plugins,
            sandbox_image=IMAGE,
            restrict_oom_score=lacks_resource_capability(),
        )
        CniConfig(config.cni_config, config.cni_data, bridge.name, pod_cidr, gateway).write()
        process = ContainerdProcess(config)
        cgroup = f"/minikube-py-test-{number:04x}"
        await bridge.ensure()
        try:
            await process.start()
            runtime = await Containerd.connect(config.socket)
            try:
                await ensure_pause(runtime.images)
                archive = folder / "busybox.tar"
                write_archive(archive, [busybox_recipe()])
                await runtime.images.load(archive)
                yield PrivateContainerd(runtime, process, bridge, pod_cidr, cgroup)
            finally:
                await runtime.close()
            await _remove_pods(config.socket)
        finally:
            await process.stop()
            await asyncio.to_thread(
                leftovers.remove_all, [config.folder, config.state], socket=config.socket, cgroup=cgroup
            )
            await bridge.remove()


async def _remove_pods(socket: Path) -> None:
    """By a connection of its own: the test may have restarted containerd, or broken its own."""
    runtime = await Containerd.connect(socket)
    try:
        for sandbox in await runtime.sandboxes.list():
            await runtime.sandboxes.stop(sandbox.id)
            await runtime.sandboxes.remove(sandbox.id)
    finally:
        await runtime.close()
