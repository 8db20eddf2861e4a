"""The environment of real containers, through kubectl: variables, names, hosts and DNS."""

import json

import pytest
from conftest import Cluster
from test_pod_lifecycle import apply, box, made

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def field(name: str, path: str) -> dict[str, object]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def resource(name: str, path: str, divisor: str = "0") -> dict[str, object]:
    return {"name": name, "valueFrom": {"resourceFieldRef": {"resource": path, "divisor": divisor}}}


def test_variables(cluster: Cluster, namespace: str, testbox: str) -> None:
    """Every source of a variable, in Kubernetes' order, expanded in values, commands and arguments."""
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hidden"}}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "my-db"}}
    port = {"name": "sql", "port": 5432}
    apply(
        cluster,
        namespace,
        config | {"data": {"1color": "red", "B": "from-map"}},
        secret | {"stringData": {"B": "from-secret", "token": "t"}},
        service | {"spec": {"clusterIP": None, "ports": [port]}},
    )
    address = cluster.get("service", "my-db", "-n", namespace)["spec"]["clusterIP"]
    optional = {"name": "absent", "optional": True}
    key = {"secretKeyRef": {"name": "hidden", "key": "token"}}
    main = box(
        "main",
        command=["/bin/busybox", "env"],
        envFrom=[
            {"configMapRef": {"name": "settings"}, "prefix": "P_"},
            {"configMapRef": {"name": "settings"}},
            {"secretRef": {"name": "hidden"}},
            {"configMapRef": optional},
        ],
        env=[
            {"name": "GREETING", "value": "hello-$(P_B)-$$(B)-$(NONE)"},
            {"name": "TOKEN", "valueFrom": key},
            {"name": "GONE", "valueFrom": {"configMapKeyRef": {**optional, "key": "x"}}},
            field("LABEL", "metadata.labels['app']"),
            field("NODE", "spec.nodeName"),
            field("IP", "status.podIP"),
            resource("CPU", "limits.cpu", "1m"),
            resource("MEM", "requests.memory", "1Mi"),
            resource("NODE_MEM", "limits.memory"),
        ],
        resources={"limits": {"cpu": "250m"}, "requests": {"memory": "10Mi"}},
    )
    words = box("words", "$(GREETING)", "$$(GREETING) $(NOBODY)", command=["/bin/echo"], env=main["env"][:1])
    words["envFrom"] = main["envFrom"]
    apply(cluster, namespace, made("env", main, words, restartPolicy="Never"))
    cluster.wait("pod/env", "jsonpath={.status.phase}=Succeeded", "-n", namespace)
    said = cluster.kubectl("logs", "env", "-c", "words", "-n", namespace)
    assert said == "hello-from-map-$(B)-$(NONE) $(GREETING) $(NOBODY)\n"
    lines = cluster.kubectl("logs", "env", "-c", "main", "-n", namespace).splitlines()
    known = dict(line.split("=", 1) for line in lines if "=" in line)
    node = cluster.get("nodes")["items"][0]
    pod = cluster.get("pod", "env", "-n", namespace)
    expected = {
        "1color": "red",
        "P_1color": "red",
        "P_B": "from-map",
        "B": "from-secret",
        "TOKEN": "t",
        "LABEL": "env",
        "NODE": node["metadata"]["name"],
        "IP": pod["status"]["podIP"],
        "CPU": "250",
        "MEM": "10",
        "MY_DB_SERVICE_HOST": address,
        "MY_DB_SERVICE_PORT_SQL": "5432",
        "MY_DB_PORT_5432_TCP": f"tcp://{address}:5432",
        "KUBERNETES_SERVICE_PORT_HTTPS": "443",
    }
    assert {name: known.get(name) for name in expected} == expected
    assert "GONE" not in known
    assert int(known["NODE_MEM"]) == int(node["status"]["allocatable"]["memory"].removesuffix("Ki")) * 1024


def test_names_hosts_and_dns(cluster: Cluster, namespace: str, testbox: str) -> None:
    """hostname, subdomain, setHostnameAsFQDN, hostAliases and the DNS policies show in the pods' files."""
    show = "hostname; cat /etc/hosts; cat /etc/resolv.conf; env | grep -c MY_ || true"
    bodies = [
        made("plain", box("main", show, command=["/bin/sh", "-c"]), hostname="alice", subdomain="team"),
        made(
            "full",
            box("main", show, command=["/bin/sh", "-c"]),
            hostname="bob",
            subdomain="team",
            setHostnameAsFQDN=True,
            hostAliases=[{"ip": "192.0.2.7", "hostnames": ["far", "far.example"]}],
            enableServiceLinks=False,
        ),
        made(
            "own",
            box("main", show, command=["/bin/sh", "-c"]),
            dnsPolicy="None",
            dnsConfig={
                "nameservers": ["192.0.2.53"],
                "searches": ["corp.example"],
                "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
            },
        ),
        made("long", box("main", "wait"), hostname="h" * 40, subdomain="s" * 40, setHostnameAsFQDN=True),
    ]
    apply(cluster, namespace, *(body | {"spec": {**body["spec"], "restartPolicy": "Never"}} for body in bodies))
    for name in ("plain", "full", "own"):
        cluster.wait(f"pod/{name}", "jsonpath={.status.phase}=Succeeded", "-n", namespace)
    text = {name: cluster.kubectl("logs", name, "-n", namespace) for name in ("plain", "full", "own")}
    domain = f"team.{namespace}.svc.cluster.local"
    ips = {name: cluster.get("pod", name, "-n", namespace)["status"]["podIP"] for name in ("plain", "full")}
    assert text["plain"].startswith("alice\n# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert f"{ips['plain']}\talice.{domain}\talice\n" in text["plain"]
    assert f"search {namespace}.svc.cluster.local svc.cluster.local cluster.local" in text["plain"]
    assert "options ndots:5" in text["plain"]
    assert text["full"].startswith(f"bob.{domain}\n")
    assert f"{ips['full']}\tbob.{domain}\tbob\n" in text["full"]
    assert "# Entries added by HostAliases.\n192.0.2.7\tfar\tfar.example\n" in text["full"]
    assert "search corp.example\nnameserver 192.0.2.53\noptions ndots:2 edns0\n" in text["own"]
    cluster.kubectl(
        *("wait", "--for=create", "event", "-n", namespace, "--timeout=20s"),
        "--field-selector=involvedObject.name=long,reason=FailedCreatePodSandBox",
    )
    found = cluster.get("events", "-n", namespace, "--field-selector", "reason=FailedCreatePodSandBox")
    assert "is too long (64 characters is the max, " in json.dumps(found)
