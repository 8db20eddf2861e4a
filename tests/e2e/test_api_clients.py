"""The public Python client on what programs rely on: watches, apply, pages, tokens, owners, streams."""

import gc
import json
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import PROFILE, Cluster, pod

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

kubernetes = pytest.importorskip("kubernetes")
SLEEP = ["/bin/busybox", "sleep", "3600"]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """The client leaves its sockets to the garbage collector, which then warns; here nobody minds."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


@pytest.fixture(scope="module")
def configuration(cluster: Cluster) -> Any:
    """The administrator's configuration."""
    made = kubernetes.client.Configuration()
    file = str(cluster.home / "kubeconfig")
    kubernetes.config.load_kube_config(config_file=file, context=PROFILE, client_configuration=made)
    return made


@pytest.fixture
def api(configuration: Any) -> Iterator[Any]:
    """The ApiClient of an administrator."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with kubernetes.client.ApiClient(configuration) as client:
            yield client


@pytest.fixture
def core(api: Any) -> Any:
    return kubernetes.client.CoreV1Api(api)


@pytest.fixture
def shell_pod(core: Any, namespace: str) -> str:
    """A running pod that ends at once when it is deleted; its name."""
    core.create_namespaced_pod(namespace, pod("shell", SLEEP, terminationGracePeriodSeconds=0))
    watch = kubernetes.watch.Watch()
    for event in watch.stream(core.list_namespaced_pod, namespace, timeout_seconds=20):
        if event["object"].status.phase == "Running":
            watch.stop()
    return "shell"


def seen(list_function: Callable[..., Any], namespace: str, **options: Any) -> list[tuple[str, str]]:
    """Types and names of the events of a watch of one second."""
    stream = kubernetes.watch.Watch().stream(list_function, namespace, timeout_seconds=1, **options)
    return [(event["type"], event["object"].metadata.name) for event in stream]


def refusal(call: Callable[..., Any], *arguments: Any, **options: Any) -> dict[str, Any]:
    """The Status that a call is refused with."""
    with pytest.raises(kubernetes.client.ApiException) as refused:
        call(*arguments, **options)
    status: dict[str, Any] = json.loads(refused.value.body)
    return status


def test_selectors_turn_changes_into_additions_and_deletions(core: Any, namespace: str) -> None:
    """What begins to match is ADDED, what ceases to match is DELETED, from any revision."""
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "w", "labels": {"k": "1"}}})
    core.patch_namespaced_config_map("w", namespace, {"metadata": {"labels": {"k": "2"}}})
    core.delete_namespaced_config_map("w", namespace)
    watched = core.list_namespaced_config_map
    ones = seen(watched, namespace, resource_version=start, label_selector="k=1")
    twos = seen(watched, namespace, resource_version=start, label_selector="k=2")
    assert (ones, twos) == ([("ADDED", "w"), ("DELETED", "w")], [("ADDED", "w"), ("DELETED", "w")])


def test_pages_are_one_snapshot(core: Any, namespace: str) -> None:
    """Pages leave out what came after the first one, and keep what went; a bad token is refused."""
    for number in range(5):
        core.create_namespaced_config_map(namespace, {"metadata": {"name": f"c{number}"}})
    page = core.list_namespaced_config_map(namespace, limit=2)
    assert page.metadata.remaining_item_count == 4
    core.delete_namespaced_config_map("c4", namespace)
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "c9"}})
    names = [item.metadata.name for item in page.items]
    while page.metadata._continue:
        page = core.list_namespaced_config_map(namespace, limit=2, _continue=page.metadata._continue)
        names += [item.metadata.name for item in page.items]
    assert names == ["c0", "c1", "c2", "c3", "c4", "kube-root-ca.crt"]
    status = refusal(core.list_namespaced_config_map, namespace, limit=2, _continue="x")
    assert (status["code"], status["reason"]) == (400, "BadRequest")


def test_stale_writes_are_conflicts(core: Any, namespace: str) -> None:
    """An update of what has changed since is a 409 that clients know by its text."""
    made = core.create_namespaced_config_map(namespace, {"metadata": {"name": "c"}})
    core.patch_namespaced_config_map("c", namespace, {"data": {"a": "1"}})
    status = refusal(core.replace_namespaced_config_map, "c", namespace, made)
    assert (status["code"], status["reason"], status["details"]) == (
        409,
        "Conflict",
        {"name": "c", "kind": "configmaps"},
    )
    assert status["message"] == (
        'Operation cannot be fulfilled on configmaps "c": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


def test_owners_and_finalizers(core: Any, namespace: str) -> None:
    """A finalizer holds its object; once it is gone, so is what the object owned."""
    meta = {"name": "owner", "finalizers": ["example.com/hold"]}
    owner = core.create_namespaced_config_map(namespace, {"metadata": meta})
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid}
    body = {"metadata": {"name": "owned", "ownerReferences": [reference]}}
    start = core.create_namespaced_config_map(namespace, body).metadata.resource_version
    core.delete_namespaced_config_map("owner", namespace)
    assert core.read_namespaced_config_map("owner", namespace).metadata.deletion_timestamp
    core.patch_namespaced_config_map("owner", namespace, {"metadata": {"finalizers": None}})
    watch, gone = kubernetes.watch.Watch(), []
    watched = core.list_namespaced_config_map
    for event in watch.stream(watched, namespace, resource_version=start, timeout_seconds=15):
        if event["type"] == "DELETED":
            gone.append(event["object"].metadata.name)
        if len(gone) == 2:
            watch.stop()
    assert gone == ["owner", "owned"]


def test_dynamic_client(api: Any, namespace: str) -> None:
    """Discovery finds kinds and their parts; apply, conflict, and removal of a field by its owner."""
    dynamic = kubernetes.dynamic.DynamicClient(api)
    maps = dynamic.resources.get(api_version="v1", kind="ConfigMap")

    def apply(manager: str, data: dict[str, str], **more: Any) -> Any:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}
        return maps.server_side_apply(
            body=body, namespace=namespace, name="c", field_manager=manager, **more
        ).data.to_dict()

    apply("one", {"a": "1"})
    with pytest.raises(kubernetes.dynamic.exceptions.ConflictError) as refused:
        apply("two", {"a": "2"})
    cause = {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.a"}
    assert json.loads(refused.value.body)["details"]["causes"] == [cause]
    assert apply("two", {"a": "2", "b": "3"}, force_conflicts=True) == {"a": "2", "b": "3"}
    assert apply("two", {"b": "3"}) == {"b": "3"}
    deployments = dynamic.resources.get(api_version="apps/v1", kind="Deployment")
    assert sorted(deployments.subresources) == ["scale", "status"]


def test_tokens(configuration: Any, api: Any, namespace: str) -> None:
    """A requested token is whom it says, for its audience, and may do what its roles say: nothing."""
    core = kubernetes.client.CoreV1Api(api)
    made = core.create_namespaced_service_account_token("default", namespace, {"spec": {"audiences": []}})
    reviews = kubernetes.client.AuthenticationV1Api(api)
    review = reviews.create_token_review({"spec": {"token": made.status.token}})
    name = f"system:serviceaccount:{namespace}:default"
    assert (review.status.authenticated, review.status.user.username) == (True, name)
    theirs = kubernetes.client.Configuration()
    theirs.host, theirs.ssl_ca_cert = configuration.host, configuration.ssl_ca_cert
    theirs.api_key = {"authorization": f"Bearer {made.status.token}"}
    with kubernetes.client.ApiClient(theirs) as client:
        status = refusal(kubernetes.client.CoreV1Api(client).list_namespaced_pod, namespace)
    assert (status["code"], status["reason"], status["details"]) == (403, "Forbidden", {"kind": "pods"})


def test_pods_are_bound_and_evicted(core: Any, namespace: str) -> None:
    """A scheduler of one's own binds through the namespace's bindings; an eviction deletes."""
    body = pod("b", SLEEP, terminationGracePeriodSeconds=0, schedulerName="mine")
    core.create_namespaced_pod(namespace, body)
    node = core.list_node().items[0].metadata.name
    binding = {"metadata": {"name": "b"}, "target": {"kind": "Node", "name": node}}
    core.create_namespaced_binding(namespace, binding, _preload_content=False)
    bound = core.read_namespaced_pod("b", namespace)
    assert bound.spec.node_name == node
    core.create_namespaced_pod_eviction("b", namespace, {"metadata": {"name": "b"}})
    watch, ended = kubernetes.watch.Watch(), []
    start = bound.metadata.resource_version
    for event in watch.stream(core.list_namespaced_pod, namespace, resource_version=start, timeout_seconds=15):
        if event["type"] == "DELETED":
            ended.append(event["object"].metadata.name)
            watch.stop()
    assert ended == ["b"]


def test_exec_and_logs(core: Any, namespace: str, shell_pod: str) -> None:
    """Output, errors and the exit code of a command arrive; so does what a container said."""

    def run(*command: str) -> Any:
        return kubernetes.stream.stream(
            core.connect_get_namespaced_pod_exec,
            shell_pod,
            namespace,
            command=list(command),
            stderr=True,
            stdout=True,
            _preload_content=False,
        )

    done = run("/bin/sh", "-c", "echo out; echo err >&2; exit 7")
    done.run_forever(timeout=10)
    assert (done.read_stdout(), done.read_stderr(), done.returncode) == ("out\n", "err\n", 7)
    said = {"command": ["/bin/sh", "-c", "for i in 1 2 3; do echo $i; done"]}
    core.create_namespaced_pod(namespace, pod("said", said["command"], restartPolicy="Never"))
    watch = kubernetes.watch.Watch()
    for event in watch.stream(
        core.list_namespaced_pod, namespace, field_selector="metadata.name=said", timeout_seconds=20
    ):
        if event["object"].status.phase == "Succeeded":
            watch.stop()
    assert core.read_namespaced_pod_log("said", namespace) == "1\n2\n3\n"
    assert core.read_namespaced_pod_log("said", namespace, tail_lines=1) == "3\n"


def test_every_stored_kind_is_listed(api: Any) -> None:
    """The client's own models take whatever the lists hold."""
    client = kubernetes.client
    listed = [
        client.CoreV1Api(api).list_namespace,
        client.CoreV1Api(api).list_node,
        client.CoreV1Api(api).list_service_for_all_namespaces,
        client.CoreV1Api(api).list_config_map_for_all_namespaces,
        client.CoreV1Api(api).list_service_account_for_all_namespaces,
        client.CoreV1Api(api).list_endpoints_for_all_namespaces,
        client.DiscoveryV1Api(api).list_endpoint_slice_for_all_namespaces,
        client.CoordinationV1Api(api).list_lease_for_all_namespaces,
        client.RbacAuthorizationV1Api(api).list_cluster_role,
        client.RbacAuthorizationV1Api(api).list_cluster_role_binding,
        client.RbacAuthorizationV1Api(api).list_role_for_all_namespaces,
        client.RbacAuthorizationV1Api(api).list_role_binding_for_all_namespaces,
        client.SchedulingV1Api(api).list_priority_class,
    ]
    assert [one.__name__ for one in listed if not one().items] == []


def test_a_quiet_watch_ends_in_time(core: Any, namespace: str) -> None:
    """timeoutSeconds ends a watch without any error."""
    begun = time.monotonic()
    assert seen(core.list_namespaced_pod, namespace) == []
    assert 0.9 < time.monotonic() - begun < 5
