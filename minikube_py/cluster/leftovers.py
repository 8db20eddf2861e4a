"""Leftovers: what containers leave on the machine when nobody ended them, found and removed.

Used after containerd was asked to remove everything, or where it can no longer be asked. Only what lies below
the folders given, names the socket given, or lies in the cgroup given is touched. Blocking, but short.
"""

import contextlib
import ctypes
import errno
import itertools
import json
import os
import shutil
import signal
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

MNT_DETACH = 2
CGROUPS = Path("/sys/fs/cgroup")
CONFIG = "config.toml"  # as ContainerdConfig.config_file
LEASES = "cni-data"  # as ContainerdConfig.cni_data
RESULTS = Path("/var/lib/cni/results")  # where libcni keeps what plugins answered, for the whole machine
SHIM_BUNDLES = "io.containerd.runtime.v2.task/k8s.io"  # below ContainerdConfig.state
SHIM_WORK = "root/io.containerd.runtime.v2.task/k8s.io"  # below ContainerdConfig.folder
RUNC_STATE = "runc/k8s.io"  # below ContainerdConfig.state


class LeftoversRemain(Exception):
    """Something could not be removed; the message names it."""


def mounts_under(folders: Iterable[Path], mountinfo: str) -> list[Path]:
    """Mount points at or below `folders` in `mountinfo` (proc(5)), the deepest first."""
    roots = [folder.resolve() for folder in folders]
    points = [Path(_unescaped(line.split()[4])) for line in mountinfo.splitlines() if line]
    found = [point for point in points if any(point.is_relative_to(root) for root in roots)]
    return sorted(found, key=lambda point: len(point.parts), reverse=True)


def _unescaped(text: str) -> str:
    for code, character in ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\")):
        text = text.replace(code, character)
    return text


def unmount_all(folders: Iterable[Path]) -> list[Path]:
    """Unmount everything at or below `folders`; what was unmounted. Errors: LeftoversRemain."""
    libc = ctypes.CDLL(None, use_errno=True)
    points = mounts_under(folders, Path("/proc/self/mountinfo").read_text())
    for point in points:
        if libc.umount2(os.fsencode(point), MNT_DETACH) != 0 and (code := ctypes.get_errno()) != 22:
            raise LeftoversRemain(f"cannot unmount {point}: {os.strerror(code)}")
    return points


def shims(socket: Path) -> list[int]:
    """The pids of the shims that serve the containerd at `socket`."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"containerd-shim" in words[0] and os.fsencode(socket) in words:
                found.append(int(folder.name))
    return found


def daemons(config_file: Path) -> list[int]:
    """The pids of the containerd processes that were started with `config_file`."""
    words = b"\0--config\0" + os.fsencode(config_file) + b"\0"
    found = (folder for folder in Path("/proc").iterdir() if folder.name.isdigit())
    return [int(folder.name) for folder in found if _has(folder / "cmdline", words)]


def stray_shims(socket: Path, state: Path) -> list[int]:
    """The pids of shims of the containerd at `socket` (with this `state`) that serve nothing: containerd has
    given up their container while it was being made, and deleted its bundle."""
    found = []
    for pid in shims(socket):
        with contextlib.suppress(OSError, ValueError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            id = os.fsdecode(words[words.index(b"-id") + 1])
            if not (state / SHIM_BUNDLES / id).exists() and not children(pid):
                found.append(pid)
    return found


def _remove_sockets(pids: Iterable[int], table: Path = Path("/proc/net/unix")) -> None:
    """Remove the socket files that processes listen on: a killed shim leaves its own for ever."""
    inodes = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            links = (os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir())
            inodes |= {link[8:-1] for link in links if link.startswith("socket:[")}
    for line in table.read_text().splitlines() if inodes else ():
        words = line.split()
        if len(words) == 8 and words[6] in inodes and words[7].startswith("/"):
            Path(words[7]).unlink(missing_ok=True)


def end_stray_shims(socket: Path, state: Path, among: Collection[int] | None = None) -> int:
    """Kill them, or those `among` these pids; how many there were."""
    return _kill_shims([pid for pid in stray_shims(socket, state) if among is None or pid in among])


def _kill_shims(pids: Collection[int]) -> int:
    _remove_sockets(pids)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(pids)


def children(pid: int) -> list[int]:
    """The child processes of `pid`, over all its threads."""
    found = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(word) for word in (task / "children").read_text().split()]
    return found


def remove_bundle(id: str, socket: Path, folder: Path, state: Path) -> None:
    """End what runs from the bundle `id` in containerd's `state`, and remove all that is kept of it, in its
    `folder` too. Errors: LeftoversRemain."""
    bundle = state / SHIM_BUNDLES / id
    _kill_shims([pid for pid in shims(socket) if _has(Path(f"/proc/{pid}/cmdline"), id.encode())])
    with contextlib.suppress(OSError, ValueError):
        first = int((bundle / "init.pid").read_text())
        if _has(Path(f"/proc/{first}/cgroup"), id.encode()):
            os.kill(first, signal.SIGKILL)
    unmount_all([bundle])
    for kept in (bundle, state / RUNC_STATE / id, folder / SHIM_WORK / id):
        shutil.rmtree(kept, ignore_errors=True)


def is_live(bundle: Path) -> bool:
    """Whether the first process of a bundle's container runs, and is not still waiting to be started."""
    try:
        first = int((bundle / "init.pid").read_text())
        command = Path(f"/proc/{first}/cmdline").read_bytes()  # a zombie has none
        return bool(command) and not command.startswith(b"runc\0init")
    except (OSError, ValueError):
        return False


def _has(file: Path, words: bytes) -> bool:
    try:
        return words in file.read_bytes()
    except OSError:
        return False


def kill_containers(socket: Path, within: float = 5.0) -> int:
    """Kill every container of the containerd at `socket`, and its shims; how many processes were killed. The
    shims go first, so that none acts on the end of its container. Errors: LeftoversRemain."""
    doomed: list[int] = []
    serving = shims(socket)
    _remove_sockets(serving)
    for shim in serving:
        doomed += [shim, *children(shim)]
    _kill(doomed, within)
    return len(doomed)


def kill_daemons(config_file: Path, within: float = 5.0) -> list[int]:
    """Kill the containerd processes that run with `config_file`; their pids. Errors: LeftoversRemain."""
    found = daemons(config_file)
    _kill(found, within)
    return found


def _kill(doomed: Collection[int], within: float) -> None:
    for pid in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + within
    while alive := [pid for pid in doomed if _alive(pid)]:
        if time.monotonic() > deadline:
            raise LeftoversRemain(f"processes {alive} do not end")
        time.sleep(0.01)


def _alive(pid: int) -> bool:
    """Whether the process runs, and is no zombie that somebody has yet to collect."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def remove_shim_sockets(state: Path) -> None:
    """Remove the sockets (in /run/containerd/s) of the shims whose bundles are in containerd's `state`."""
    bundles = state / SHIM_BUNDLES
    for told in itertools.chain(bundles.glob("*/address"), bundles.glob("*/bootstrap.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            text = told.read_text()
            address = text if told.name == "address" else json.loads(text)["address"]
            Path(address.strip().removeprefix("unix://")).unlink()


def network_results(state: Path, results: Path = RESULTS) -> Iterator[tuple[Path, str]]:
    """The plugins' answers about sandboxes in containerd's `state`: each file, with its sandbox's id."""
    for path in results.iterdir() if results.is_dir() else ():
        with contextlib.suppress(OSError, ValueError):
            text = path.read_bytes()
            if f'"{state}/'.encode() in text:
                yield path, str(json.loads(text).get("containerId", ""))


def remove_cgroups(name: str, root: Path = CGROUPS) -> list[Path]:
    """Remove the cgroup `name` (such as /minikube-py) with those below it from every hierarchy; which."""
    removed = []
    relative = name.strip("/")
    if not relative:
        raise LeftoversRemain("refusing to remove the root cgroup")
    for top in {root / relative, *(hierarchy / relative for hierarchy in root.iterdir() if hierarchy.is_dir())}:
        for folder, _, _ in os.walk(top, topdown=False):
            if _remove_cgroup(Path(folder)):
                removed.append(Path(folder))
    return removed


def _remove_cgroup(cgroup: Path, within: float = 2.0) -> bool:
    """Kill what runs in a cgroup and remove it; False where it is gone already. One that lists no process may
    still be busy for a moment: those that end count until they are collected."""
    deadline = time.monotonic() + within
    while True:
        try:
            pids = [int(word) for word in (cgroup / "cgroup.procs").read_text().split()]
            if not pids:
                cgroup.rmdir()
                return True
        except (FileNotFoundError, ProcessLookupError):
            return False
        except OSError as error:
            if error.errno == errno.ENODEV:  # it went between opening and reading
                return False
            if error.errno != errno.EBUSY:
                raise
        if time.monotonic() > deadline:
            raise LeftoversRemain(f"processes {pids} in the cgroup {cgroup} do not end")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def remove_folder(folder: Path) -> None:
    """Remove `folder` and all in it; refuses while something is mounted below. Errors: LeftoversRemain."""
    if mounted := mounts_under([folder], Path("/proc/self/mountinfo").read_text()):
        raise LeftoversRemain(f"{mounted[0]} is still mounted")
    if folder.exists():
        shutil.rmtree(folder)


def remove_all(folders: Iterable[Path], *, socket: Path, cgroup: str = "") -> None:
    """Everything in order: a containerd that does not answer, containers and shims, their sockets, mounts
    (network namespaces among them), the leases of their addresses and the plugins' answers, cgroups. `folders`
    are containerd's, its state's, and others with mounts; they themselves stay. Errors: LeftoversRemain."""
    places = list(folders)
    for place in places:
        kill_daemons(place / CONFIG)
    kill_containers(socket)
    for place in places:
        remove_shim_sockets(place)
    unmount_all(places)
    for place in places:
        shutil.rmtree(place / LEASES, ignore_errors=True)
        for path, _ in network_results(place):
            path.unlink(missing_ok=True)
    if cgroup:
        remove_cgroups(cgroup)
