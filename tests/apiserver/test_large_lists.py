"""Ten thousand objects: a list of them in any form holds up nobody else."""

import asyncio

import orjson
from api_cluster import Client, Cluster
from loop_time import LONGEST, fetched

from minikube_py.kinds.core.pod import Pod
from minikube_py.store.base import Put

COUNT = 10_000
PODS = "/api/v1/namespaces/default/pods"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
FORMS = {
    "plain": ("", {}),
    "first page": ("?limit=500", {}),
    "gzip": ("", {"Accept-Encoding": "gzip"}),
    "Table": ("", {"Accept": TABLE}),
    "Table with objects": ("?includeObject=Object", {"Accept": TABLE, "Accept-Encoding": "gzip"}),
    "metadata": ("", {"Accept": METADATA}),
    "one label": ("?labelSelector=app%3Dweb", {}),
    "label set": ("?labelSelector=app+in+(web,db),tier!%3Dx", {}),
    "field": ("?fieldSelector=spec.nodeName%3Dnode-1", {}),
    "field and limit": ("?fieldSelector=status.phase%3Dnone&limit=500", {}),
    "pretty": ("?pretty=true", {}),
}


def pod(number: int) -> bytes:
    """A stored pod of about 2 KB, as it is after a restart: encoded."""
    name = f"web-{number:05}"
    container = {
        "name": "web",
        "image": "registry.example/web:1",
        "env": [{"name": f"SETTING_{n}", "value": "x" * 40} for n in range(20)],
    }
    meta = {"name": name, "namespace": "default", "uid": name, "labels": {"app": "web", "n": str(number)}}
    spec = {"nodeName": f"node-{number % 10}", "containers": [container]}
    status = {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
    return orjson.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": status})


async def test_a_large_list_does_not_hold_up_the_loop(
    cluster: Cluster, admin: Client, callbacks: list[float]
) -> None:
    """Whatever form a list of ten thousand pods is asked for in, no callback takes 50 ms."""
    store = cluster.registry.store
    for start in range(0, COUNT, 500):
        numbers = range(start, start + 500)
        await store.commit([Put(Pod.storage_key("default", f"web-{n:05}"), pod(n), 0) for n in numbers])
        await asyncio.sleep(0)
    slow, codes, sizes = {}, {}, {}
    for form, (query, headers) in FORMS.items():
        callbacks[0] = 0.0
        codes[form], sizes[form] = await asyncio.to_thread(fetched, admin, PODS + query, headers)
        if callbacks[0] > LONGEST:
            slow[form] = callbacks[0]
    assert codes == dict.fromkeys(FORMS, 200)
    assert {form for form, size in sizes.items() if size > 1 << 20} >= {"plain", "Table", "metadata", "pretty"}
    assert slow == {}
