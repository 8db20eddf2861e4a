"""status: what of the cluster runs, and how well."""

import time
from typing import Any

import click

from minikube_py.cli import output
from minikube_py.cli.lifecycle import running_pid
from minikube_py.cli.main import Failure
from minikube_py.cli.session import Obj, Session, with_session
from minikube_py.errors import ApiError

PATH = "/minikube-py/status"
SAMPLE = 0.25
"""Seconds between the two readings of which the CPU share is computed."""


@click.command("status")
@click.option(
    "-o", "--output", "form", type=click.Choice(["text", "json"]), default="text", help="text or json."
)
@with_session
def command(session: Session, form: str) -> None:
    """Show each component's health, and the processes' memory and CPU.

    The exit code is minikube's: 1 if the process does not run, plus 2 if the node is not Ready, plus 4 if the
    API server does not answer; 0 if all is well."""
    state = observe(session)
    session.say(output.as_json(state) if form == "json" else text(state))
    if code := exit_code(state):
        raise click.exceptions.Exit(code)


def observe(session: Session) -> Obj:
    """The state of the profile's cluster; what cannot be reached is Stopped."""
    profile = session.profile
    pid = running_pid(profile)
    state: Obj = {
        "Name": profile.name,
        "Host": "Running" if pid else "Stopped" if profile.exists() else "Nonexistent",
        "Kubelet": "Stopped",
        "APIServer": "Stopped",
        "Kubeconfig": _kubeconfig(session),
        "pid": pid,
    }
    try:
        first, begin = session.get(PATH), time.monotonic()
        time.sleep(SAMPLE)
        last, seconds = session.get(PATH), time.monotonic() - begin
        ready = any(_node_ready(node) for node in session.get("/api/v1/nodes")["items"])
    except (Failure, ApiError):
        return state
    processes = [_process(kind, first, last, seconds) for kind in ("process", "containerd") if last.get(kind)]
    return state | {
        "APIServer": "Running",
        "Kubelet": "Running" if ready else "NotReady",
        "kubernetesVersion": last["kubernetesVersion"],
        "uptimeSeconds": last["uptimeSeconds"],
        "components": last["components"],
        "processes": processes,
    }


def _process(kind: str, first: Obj, last: Obj, seconds: float) -> Obj:
    used = last[kind].get("cpuSeconds", 0.0) - (first.get(kind) or {}).get("cpuSeconds", 0.0)
    name = "minikube-py" if kind == "process" else kind
    memory = round(last[kind].get("memoryBytes", 0) / 2**20)
    cpu = {"cpuPercent": round(100 * used / seconds, 1), "cpuSeconds": last[kind].get("cpuSeconds", 0.0)}
    return {"name": name, "pid": last[kind]["pid"], "memoryMiB": memory, **cpu}


def _node_ready(node: Obj) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _kubeconfig(session: Session) -> str:
    from minikube_py.cluster import kubeconfig

    try:
        names = kubeconfig.contexts(kubeconfig.path())
    except (kubeconfig.BadKubeconfig, OSError):
        return "Misconfigured"
    return "Configured" if session.profile.name in names else "Misconfigured"


def exit_code(state: Obj) -> int:
    """minikube's bit mask: host 1, cluster 2, Kubernetes 4."""
    bad: list[Any] = [
        state["Host"] != "Running",
        state["Kubelet"] != "Running",
        state["APIServer"] != "Running",
    ]
    return sum(bit for bit, wrong in zip((1, 2, 4), bad, strict=True) if wrong)


def text(state: Obj) -> str:
    """minikube's lines, then the components and the processes."""
    lines = [
        state["Name"],
        "type: Control Plane",
        f"host: {state['Host']}",
        f"kubelet: {state['Kubelet']}",
        f"apiserver: {state['APIServer']}",
        f"kubeconfig: {state['Kubeconfig']}",
    ]
    if "components" in state:
        rows = [["COMPONENT", "STATE", "RESTARTS", "SINCE", "ERROR"]]
        rows += [
            [c["name"], c["state"], str(c["restarts"]), c["since"][:19] + "Z", c["error"]]
            for c in state["components"]
        ]
        lines += ["", output.table(rows), ""]
        rows = [["PROCESS", "PID", "MEMORY", "CPU", "CPU TIME"]]
        for p in state["processes"]:
            shown = [f"{p['memoryMiB']} MiB", f"{p['cpuPercent']}%", f"{p['cpuSeconds']:.1f} s"]
            rows.append([p["name"], str(p["pid"]), *shown])
        lines.append(output.table(rows))
    return "\n".join(lines)
