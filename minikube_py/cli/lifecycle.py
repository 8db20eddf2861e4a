"""Starting, stopping and deleting a cluster: the detached process, and what it tells while it starts."""

import contextlib
import fcntl
import importlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from minikube_py.aio import process
from minikube_py.cli.main import Failure
from minikube_py.cluster.claims import Claims
from minikube_py.cluster.profile import Profile

Say = Callable[[str], None]

PROGRESS_FD = "MINIKUBE_PY_PROGRESS_FD"
START_WITHIN = 120.0
STOP_WITHIN = 60.0
DELETE_GRACE = 2.0


@dataclass(frozen=True, slots=True)
class Started:
    """pid of the cluster's process; `fresh` if this call started it."""

    pid: int
    fresh: bool


def running_pid(profile: Profile) -> int | None:
    """The pid of the profile's process, or None. A pid that another program got meanwhile does not count."""
    try:
        pid = int(profile.pid_file.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if b"serve" in command and profile.name.encode() in command else None


def start_cluster(profile: Profile, flags: dict[str, Any], say: Say) -> Started:
    """Start the cluster's process and wait until the cluster answers; fine if it runs already, or if another
    `start` is at it. Errors: Failure with what is missing, or with what the process said before it ended."""
    profile.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (profile.folder / "start.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        return _start(profile, flags, say)


def _start(profile: Profile, flags: dict[str, Any], say: Say) -> Started:
    if pid := running_pid(profile):
        return Started(pid, fresh=False)
    _check_machine()
    profile.make_folders()
    _check_ports(profile)
    read, write = os.pipe()
    arguments = [option(name, value) for name, value in flags.items() if value is not None]
    program = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-m", "minikube_py"]
    try:
        pid = process.spawn_detached(
            [*program, "--profile", profile.name, "serve", *arguments],
            log=profile.logs / "minikube-py.log",
            env={PROGRESS_FD: str(write), "MINIKUBE_PY_HOME": str(profile.home)},
            pass_fds=(write,),
        )
        profile.pid_file.write_text(str(pid))  # at once, so that neither `stop` nor another `start` misses it
    finally:
        os.close(write)
    importlib.import_module("minikube_py.cluster.kubeconfig")  # needed in the end; now there is time for it
    with os.fdopen(read, "rb") as lines:
        for line in lines:
            told = json.loads(line)
            if "error" in told:
                raise Failure(told["error"], told.get("advice") or f"the log: {profile.logs}/minikube-py.log")
            if "ready" in told:
                return Started(told["ready"], fresh=True)
            say(told["step"])
    raise Failure("the cluster's process ended before it was ready", f"its log: {profile.logs}/minikube-py.log")


def option(name: str, value: Any) -> str:
    """A setting as an option of the command line."""
    flag = f"--{name.replace('_', '-')}"
    return flag if value is True else f"{flag}={value}"


def _check_machine() -> None:
    """Errors: Failure that names each missing thing with the command that mends it."""
    from minikube_py.cluster import preflight

    preflight.load_overlay()
    if missing := preflight.missing():
        listed = "\n  ".join(f"{m.what}: {m.why}" for m in missing)
        fixes = [m.fix for m in missing if m.fix]
        packages = [f.rpartition(" install ")[2].removeprefix("-y ") for f in fixes if " install " in f]
        advice = "; ".join(fix for fix in fixes if " install " not in fix)
        if packages:
            head = next(f for f in fixes if " install " in f).rpartition(" install ")[0]
            advice = "; ".join(filter(None, [advice, f"{head} install -y {' '.join(dict.fromkeys(packages))}"]))
        raise Failure(
            f"this machine lacks what a cluster needs:\n  {listed}", f"run: {advice}" if advice else ""
        )


def _check_ports(profile: Profile) -> None:
    """Errors: Failure that names a port of the cluster's that another program holds."""
    from minikube_py.cluster import preflight

    network = profile.claim_network()
    ports = (network.api_port, network.kubelet_port, network.dns_port)
    if busy := preflight.busy_ports([("127.0.0.1", port) for port in ports]):
        advice = f"see which program it is: {busy[0].fix}" if busy[0].fix else ""
        raise Failure(f"the cluster cannot listen: {busy[0].why}", advice)


def progress() -> IO[str]:
    """In the cluster's process: the file that tells the waiting `start` what happens."""
    descriptor = os.environ.pop(PROGRESS_FD, None)
    return open(int(descriptor), "w", buffering=1) if descriptor else sys.stderr


def stop_cluster(profile: Profile, say: Say, grace: float = STOP_WITHIN) -> bool:
    """Stop pods, containerd and the process, and remove what was made on the machine; the state is kept. Pods
    have `grace` seconds at most. Whether anything ran. Errors: Failure if the process does not end."""
    pid = running_pid(profile)
    if pid is not None:
        _end(pid, grace)
    if not profile.exists():
        return False
    import asyncio

    from minikube_py.cluster.traces import remove_traces

    asyncio.run(remove_traces(profile, profile.network()))
    profile.pid_file.unlink(missing_ok=True)
    if pid is not None:
        say(f'cluster "{profile.name}" stopped; its state is kept')
    return pid is not None


def _end(pid: int, grace: float) -> None:
    """SIGTERM; another after `grace` seconds, which leaves pods no more time; SIGKILL in the end."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    import select

    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        for sent, seconds in ((signal.SIGTERM, grace), (signal.SIGTERM, STOP_WITHIN), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sent)
            if poller.poll(seconds * 1000):
                return
        raise Failure(f"the cluster's process {pid} does not end")
    finally:
        os.close(descriptor)


def delete_cluster(profile: Profile, say: Say) -> None:
    """Stop the cluster and remove everything of it, its entries in the kubeconfig too."""
    from minikube_py.cluster import kubeconfig

    if not profile.folder.exists():
        say(f'there is no cluster "{profile.name}"')
        return
    stop_cluster(profile, lambda _: None, grace=DELETE_GRACE)
    with contextlib.suppress(kubeconfig.BadKubeconfig):
        kubeconfig.remove(profile.name, kubeconfig.path())
    shutil.rmtree(profile.containerd_socket.parent, ignore_errors=True)
    shutil.rmtree(profile.folder)
    with Claims.locked() as claims:
        claims.drop(profile.config_file)
    for folder in (profile.home / "profiles", profile.home):
        with contextlib.suppress(OSError):
            folder.rmdir()
    say(f'cluster "{profile.name}" deleted')


def since(begin: float) -> str:
    """Seconds since a moment of time.monotonic(), as text."""
    return f"{time.monotonic() - begin:.1f} s"
