"""nfs: an export of a file server, mounted for each pod by mount(8) and its helper mount.nfs.

The helper is in a package of the distribution (nfs-common, nfs-utils); where it is missing, mount's own words
are in the event. Taken down as every mount below the pod's folder is.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from minikube_py.aio import process
from minikube_py.kubelet.volumes import mounts
from minikube_py.kubelet.volumes.base import Mounted, VolumeContext, VolumeFailed, VolumeKind
from minikube_py.kubelet.volumes.persistent import Claimed, PersistentKind
from minikube_py.meta.objects import Obj

KIND = "nfs"
MOUNTED = 150.0  # seconds that a mount may take; the helper gives up after two minutes by itself


class NfsVolume(VolumeKind):
    source = "nfs"

    async def make(self, context: VolumeContext, volume: Obj) -> Mounted:
        return await _mounted(context, volume["name"], volume["nfs"], ())


class NfsPersistent(PersistentKind):
    source = "nfs"

    async def mount(self, context: VolumeContext, claimed: Claimed) -> Mounted:
        source = dict(claimed.volume["spec"]["nfs"])
        source["readOnly"] = bool(source.get("readOnly")) or claimed.read_only
        return await _mounted(context, claimed.name, source, claimed.options)


def mount_command(source: Obj, target: Path, options: Sequence[str]) -> list[str]:
    """The command that mounts an NFS source; an IPv6 server's address is put in brackets."""
    server = source["server"]
    host = f"[{server}]" if ":" in server and not server.startswith("[") else server
    asked = [*(["ro"] if source.get("readOnly") else []), *options]
    flags = ["-o", ",".join(dict.fromkeys(asked))] if asked else []
    return ["mount", "-t", KIND, *flags, f"{host}:{source['path']}", str(target)]


def failure(command: Sequence[str], code: int, output: str) -> str:
    """Why a mount failed, with the command and all that it printed."""
    program, *arguments = command
    return (
        f"mount failed: exit status {code}\nMounting command: {program}\n"
        f"Mounting arguments: {' '.join(arguments)}\nOutput: {output}\n"
    )


async def _mounted(context: VolumeContext, name: str, source: Obj, options: Sequence[str]) -> Mounted:
    """The export, mounted once for the pod. Errors: VolumeFailed, OSError."""
    directory = context.directory(KIND, name)
    read_only = bool(source.get("readOnly"))
    if await context.storage.run(lambda: mounts.is_mounted(directory)):
        return Mounted(directory, read_only)
    await asyncio.to_thread(directory.mkdir, mode=0o750, parents=True, exist_ok=True)
    command = mount_command(source, directory, options)
    try:
        done = await process.run(command, check=False, timeout=MOUNTED)
    except TimeoutError as error:
        raise VolumeFailed(f"mount of {source['server']}:{source['path']} took too long") from error
    if done.code:
        raise VolumeFailed(failure(command, done.code, done.stdout + done.stderr))
    return Mounted(directory, read_only)
