"""Churn: pods that come and go all the while, and steady ones that must not notice.

Limits: a call that fails because the API is away is left out; what the cluster holds is judged once it is calm.
"""

import base64
import http.client
import json
import random
import ssl
import tempfile
import threading
from dataclasses import dataclass, field
from typing import Any

from conftest import Cluster

STEADY, MOVING = "steady", "moving"
"""Namespaces: what nobody touches, and what comes and goes."""
NAPPING = "trap 'exit 0' TERM; sleep 3600 & wait"
BATCH, CORE, APPS = "/apis/batch/v1", "/api/v1", "/apis/apps/v1"


def template(app: str, shell: str = NAPPING, **spec: Any) -> dict[str, Any]:
    """A pod template with one container of the demo image that runs a shell command."""
    container = {"name": "main", "image": "demo:1", "command": ["/bin/sh", "-c", shell]}
    grace = {"terminationGracePeriodSeconds": 1}
    return {"metadata": {"labels": {"app": app}}, "spec": {"containers": [container], **grace, **spec}}


def workload(kind: str, name: str, replicas: int, **spec: Any) -> dict[str, Any]:
    """A Deployment or StatefulSet of `template` pods."""
    wanted = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template(name)}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": {**wanted, **spec}}


def probed(name: str, replicas: int) -> dict[str, Any]:
    """A Deployment of web servers with probes and a volume, behind a Service of its name."""
    made = workload("Deployment", name, replicas)
    spec = made["spec"]["template"]["spec"]
    spec["volumes"] = [{"name": "data", "emptyDir": {"medium": "Memory"}}]
    main = spec["containers"][0]
    del main["command"]  # the image's own: httpd on 8080
    check = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    main |= {"readinessProbe": check, "livenessProbe": {**check, "failureThreshold": 10, "timeoutSeconds": 10}}
    main["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    return made


def service(name: str) -> dict[str, Any]:
    """A Service for the pods of the Deployment `name`."""
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


@dataclass
class Churn:
    """Changes in the namespace MOVING, one after another on a thread, while the `with` block lasts."""

    cluster: Cluster
    seed: int
    jobs: int = 0
    done: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        found = json.loads(self.cluster.kubectl("config", "view", "--raw", "-o", "json", "--minify"))
        user, server = found["users"][0]["user"], found["clusters"][0]["cluster"]
        self._address = server["server"].removeprefix("https://")
        self._tls = ssl.create_default_context(
            cadata=base64.b64decode(server["certificate-authority-data"]).decode()
        )
        with tempfile.NamedTemporaryFile() as pair:
            for part in ("client-certificate-data", "client-key-data"):
                pair.write(base64.b64decode(user[part]) + b"\n")
            pair.flush()
            self._tls.load_cert_chain(pair.name)

    def __enter__(self) -> "Churn":
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="churn")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._thread is not None
        self._stop.set()
        self._thread.join()

    def wait(self, seconds: float) -> None:
        """Let it go on for a while."""
        self._stop.wait(seconds)

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            try:
                self._random.choice((self._scale, self._scale, self._delete, self._job, self._burst))()
                self.done += 1
            except (OSError, http.client.HTTPException, ValueError):
                continue  # the API is away

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the API. Errors: OSError, HTTPException, ValueError where it is away."""
        connection = http.client.HTTPSConnection(self._address, timeout=5, context=self._tls)
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        try:
            connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": kind})
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def _scale(self) -> None:
        plural, name, most = self._random.choice((("deployments", "web", 6), ("statefulsets", "db", 3)))
        replicas = self._random.randint(0, most)
        path = f"{APPS}/namespaces/{MOVING}/{plural}/{name}/scale"
        self.call("PATCH", path, {"spec": {"replicas": replicas}})

    def _delete(self) -> None:
        pods = self.call("GET", f"{CORE}/namespaces/{MOVING}/pods?labelSelector=app+in+(web,db)").get("items")
        if pods:
            name = self._random.choice(pods)["metadata"]["name"]
            options = self._random.choice(({}, {"gracePeriodSeconds": 0}))
            self.call("DELETE", f"{CORE}/namespaces/{MOVING}/pods/{name}", {"kind": "DeleteOptions", **options})

    def _job(self) -> None:
        self.jobs += 1
        spec = template("job", "sleep 0.2", restartPolicy="OnFailure")
        body = {"completions": 2, "parallelism": 2, "template": spec}
        path = f"{BATCH}/namespaces/{MOVING}/jobs"
        self.call("POST", path, {"metadata": {"name": f"job-{self.jobs}"}, "spec": body})
        self.call(
            "DELETE",
            f"{path}/job-{self.jobs - 2}",
            {"kind": "DeleteOptions", "propagationPolicy": "Background"},
        )

    def _burst(self) -> None:
        path = f"{CORE}/namespaces/{MOVING}/pods"
        for _ in range(4):
            made = template("bare", restartPolicy="Never")
            self.call("POST", path, {**made, "metadata": {"generateName": "bare-", "labels": {"app": "bare"}}})
        self.call("DELETE", f"{path}?labelSelector=app%3Dbare")


def executed(name: str, replicas: int) -> dict[str, Any]:
    """A StatefulSet whose pods are probed by a command, which a runtime that is away cannot run."""
    made = workload("StatefulSet", name, replicas, serviceName=name)
    check = {"exec": {"command": ["/bin/sh", "-c", "true"]}, "periodSeconds": 2, "timeoutSeconds": 5}
    made["spec"]["template"]["spec"]["containers"][0]["livenessProbe"] = check
    return made


def begin(cluster: Cluster) -> None:
    """Make both namespaces and what runs in them."""
    moving = [
        workload("Deployment", "web", 3),
        service("web"),
        workload("StatefulSet", "db", 1, serviceName="db"),
    ]
    for namespace, objects in (
        (STEADY, [probed("web", 3), service("web"), executed("db", 2)]),
        (MOVING, moving),
    ):
        cluster.kubectl("create", "namespace", namespace)
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        cluster.kubectl("apply", "-n", namespace, "-f", "-", input=text)
    calm(cluster)


def calm(cluster: Cluster, limit: str = "60s") -> None:
    """Wait until everything is ready, every job complete, and nothing is terminating."""
    for namespace in (STEADY, MOVING):
        for name in ("deployment/web", "statefulset/db"):
            cluster.kubectl("rollout", "status", name, "-n", namespace, f"--timeout={limit}")
    for job in cluster.get("jobs", "-n", MOVING)["items"]:
        cluster.wait(f"job/{job['metadata']['name']}", "condition=Complete", "-n", MOVING, timeout=limit)
    going = [pod for pod in cluster.get("pods", "-A")["items"] if "deletionTimestamp" in pod["metadata"]]
    for pod in going:
        gone(cluster, pod["metadata"]["namespace"], pod["metadata"]["name"], limit)


def gone(cluster: Cluster, namespace: str, name: str, limit: str) -> None:
    """Wait until a pod is gone. Errors: AssertionError that shows it, and what the log says of it."""
    try:
        cluster.wait(f"pod/{name}", "delete", "-n", namespace, timeout=limit)
    except AssertionError as error:
        log = (cluster.folder / "logs" / "minikube-py.log").read_text(errors="replace").splitlines()
        told = [line for line in log if name in line][-50:]
        pod = cluster.kubectl("get", "pod", name, "-n", namespace, "-o", "yaml")
        raise AssertionError("\n".join([str(error), pod, *told])) from error


def runs(
    cluster: Cluster, namespace: str = STEADY, selector: str = ""
) -> dict[tuple[str, str], tuple[str, int]]:
    """(pod's uid, container's name) > (container's id, restarts), of the pods of a namespace."""
    found = {}
    for pod in cluster.get("pods", "-n", namespace, "-l", selector)["items"]:
        for status in pod["status"].get("containerStatuses", ()):
            found[pod["metadata"]["uid"], status["name"]] = (
                status.get("containerID", ""),
                status["restartCount"],
            )
    return found
