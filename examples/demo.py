"""The demo of `make start`: build an image, run it in three pods behind a Service, and fetch its page.

Needs a cluster that runs (`minikube-py start`). Uses the `minikube-py` of this Python, and no kubectl. Run
again, it changes nothing that is as it should be. Exit code 1 with one line where a step fails.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
IMAGE = "minikube-py.local/web:1"
NODE_PORT = 30080
MARK = "served by the pod <b>"
FETCHES = 12
ANSWER_WITHIN = 15.0
"""Seconds in which the NodePort must answer once the rollout is done."""


def say(text: str) -> None:
    """Show a step at once, even where the output is a file."""
    print(f"  * {text}", flush=True)


def minikube_py(*arguments: str) -> str:
    """What a command of minikube-py prints. Errors: SystemExit with the command's own words."""
    ended = subprocess.run(
        [sys.executable, "-m", "minikube_py", *arguments], stdout=subprocess.PIPE, text=True, check=False
    )
    if ended.returncode:
        raise SystemExit(f"the demo stopped at: minikube-py {' '.join(arguments)}")
    return ended.stdout


def wait_for_rollout() -> None:
    """Until the new pods are ready. Errors: SystemExit after what the pods have met is shown."""
    try:
        minikube_py("rollout", "status", "deployment/web", "--timeout", "120s")
    except SystemExit:
        print(minikube_py("get", "pods", "-l", "app=web"), minikube_py("get", "events"), sep="\n")
        raise


def node_address() -> str:
    """The node's InternalIP, where NodePorts answer."""
    for node in json.loads(minikube_py("get", "nodes", "-o", "json"))["items"]:
        for address in node["status"]["addresses"]:
            if address["type"] == "InternalIP":
                return str(address["address"])
    raise SystemExit("the demo stopped: no node has an InternalIP (minikube-py describe nodes)")


def fetch(url: str) -> str:
    """The page, by a connection of its own and past any HTTP proxy. Errors: OSError."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(url, timeout=5) as answer:
        return str(answer.read().decode())


def first_page(url: str) -> str:
    """The page as soon as the NodePort answers. Errors: SystemExit with the last failure."""
    deadline = time.monotonic() + ANSWER_WITHIN
    while True:
        try:
            return fetch(url)
        except (OSError, urllib.error.URLError) as error:
            if time.monotonic() > deadline:
                raise SystemExit(
                    f"the demo stopped: {url} does not answer: {error}"
                    "\n  look at: minikube-py describe service web; minikube-py logs deployment/web"
                ) from error
            time.sleep(0.2)


def server_of(page: str) -> str:
    """The pod that served the page."""
    return page.partition(MARK)[2].partition("<")[0]


def next_commands() -> list[str]:
    """Three commands to try: kubectl's where it is installed, else our own."""
    profile = os.environ.get("MINIKUBE_PY_PROFILE", "minikube-py")
    if shutil.which("kubectl"):
        program = "kubectl" if profile == "minikube-py" else f"kubectl --context {profile}"
    else:
        program = _own_program()
    return [
        f"{program} get all",
        f"{program} scale deployment/web --replicas=5",
        f"{program} logs deployment/web",
    ]


def _own_program() -> str:
    path = Path(sys.executable).with_name("minikube-py")
    if shutil.which("minikube-py"):
        return "minikube-py"
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def main() -> None:
    """Run the demo and print the page."""
    say(f"building the image {IMAGE} from {HERE.name}/site, without a registry")
    minikube_py("image", "build", "-t", IMAGE, str(HERE / "site"))
    say(f"applying {HERE.name}/web.yaml")
    for line in minikube_py("apply", "-f", str(HERE / "web.yaml")).splitlines():
        print(f"      {line}", flush=True)
    say("waiting for three pods to be ready")
    wait_for_rollout()
    url = f"http://{node_address()}:{NODE_PORT}/"
    say(f"fetching {url}, the Service's NodePort")
    page = first_page(url)
    pods = sorted({server_of(page)} | {server_of(fetch(url)) for _ in range(FETCHES)})
    print(f"\n{page.strip()}\n")
    print(f"{FETCHES + 1} requests were answered by {len(pods)} pods: {', '.join(pods)}\n")
    print("Try next:")
    for command in next_commands():
        print(f"  {command}")
    print(f"and open {url} in a browser on this machine.")


if __name__ == "__main__":
    main()
