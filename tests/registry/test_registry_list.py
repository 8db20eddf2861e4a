"""LIST: selectors, pages of one snapshot, resourceVersion rules."""

from typing import Any

import pytest
from registry_objects import CONTEXT, WIDGET, pod_body

from minikube_py.errors import BadRequest, Cause, Expired, Invalid, Timeout
from minikube_py.kinds.core.configmap import ConfigMap
from minikube_py.kinds.core.pod import Pod
from minikube_py.meta.objects import name_of
from minikube_py.registry.base import DeleteOptions, Listing, ListOptions
from minikube_py.registry.resource import Registry


def names(registry: Registry, listing: Listing) -> list[str]:
    return [name_of(registry.decoded(entry)) for entry in listing.entries]


@pytest.fixture
async def widgets(create: Any) -> None:
    """Widgets w0 to w9 in default, app a or b by turns, and one elsewhere."""
    for number in range(10):
        await create(WIDGET, f"w{number}", labels={"app": "ab"[number % 2], "n": str(number)})
    await create(WIDGET, "w0", namespace="kube-system", labels={"app": "a"})


@pytest.mark.usefixtures("widgets")
@pytest.mark.parametrize(
    ("namespace", "options", "expected"),
    [
        ("kube-system", ListOptions(), ["w0"]),
        ("default", ListOptions(labels="app=a"), ["w0", "w2", "w4", "w6", "w8"]),
        ("default", ListOptions(labels="app in (a),n notin (0,2),n"), ["w4", "w6", "w8"]),
        ("default", ListOptions(labels="app!=a,n!=1"), ["w3", "w5", "w7", "w9"]),
        ("", ListOptions(labels="!n"), ["w0"]),
        ("", ListOptions(fields="metadata.name=w0"), ["w0", "w0"]),
        ("default", ListOptions(fields="metadata.name=w3"), ["w3"]),
        ("default", ListOptions(fields="metadata.name=w"), []),
        ("default", ListOptions(fields="metadata.name!=w0", labels="app=a"), ["w2", "w4", "w6", "w8"]),
        ("", ListOptions(fields="metadata.namespace=kube-system"), ["w0"]),
        ("", ListOptions(fields="metadata.name=w1,metadata.namespace=default"), ["w1"]),
        ("nowhere", ListOptions(), []),
    ],
)
def test_selection(registry: Registry, namespace: str, options: ListOptions, expected: list[str]) -> None:
    """Namespace, labels and fields choose."""
    assert names(registry, registry.list(WIDGET, namespace, options)) == expected


async def test_fields_of_the_kind(registry: Registry, create: Any) -> None:
    """A kind's own fields select; an absent boolean counts as false."""
    await create(Pod, "a", pod_body(nodeName="n1"))
    await create(Pod, "b", pod_body(nodeName="n2"))
    listed = registry.list(Pod, "", ListOptions(fields="spec.nodeName=n1,status.phase!=Failed"))
    assert names(registry, listed) == ["a"]
    listed = registry.list(Pod, "", ListOptions(fields="spec.hostNetwork=false,spec.nodeName!=n1"))
    assert names(registry, listed) == ["b"]


def test_a_negative_limit_is_none(registry: Registry) -> None:
    """A limit below 0 limits nothing."""
    listing = registry.list(WIDGET, "", ListOptions(limit=-1))
    assert listing.continue_token == ""


def test_refused_options_name_the_field(registry: Registry) -> None:
    """The refusal of an option is that of a ListOptions object."""
    with pytest.raises(Invalid) as refused:
        registry.list(WIDGET, "", ListOptions(match="Exact"))
    why = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
    assert str(refused.value) == f'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: {why}'
    assert refused.value.causes == (Cause("FieldValueForbidden", why, "resourceVersionMatch"),)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (ListOptions(labels="a in"), BadRequest, "expected: '('"),
        (ListOptions(fields="spec.color=red"), BadRequest, "field label not supported: "),
        (ListOptions(fields="metadata.name"), BadRequest, "invalid selector"),
        (ListOptions(resource_version="x"), BadRequest, 'resourceVersion: Invalid value: "x"'),
        (ListOptions(match="Exact"), Invalid, "forbidden unless resourceVersion is provided"),
        (ListOptions(match="Exact", resource_version="0"), Invalid, 'forbidden for resourceVersion "0"'),
        (ListOptions(match="About", resource_version="1"), Invalid, "Unsupported value"),
        (ListOptions(continue_token="%%%"), BadRequest, "continue key is not valid"),
        (ListOptions(continue_token="e30"), BadRequest, "continue key is not valid"),
        (ListOptions(resource_version="999999"), Timeout, "Too large resource version: 999999, current: "),
    ],
)
def test_bad_queries_are_refused(
    registry: Registry, options: ListOptions, error: type[Exception], message: str
) -> None:
    """A query that cannot be answered says why."""
    with pytest.raises(error) as refused:
        registry.list(WIDGET, "", options)
    assert message in str(refused.value)


@pytest.mark.usefixtures("widgets")
async def test_pages_are_one_snapshot(registry: Registry, create: Any) -> None:
    """Pages continue at the first one's revision, whatever is written between them."""
    first = registry.list(WIDGET, "default", ListOptions(limit=4))
    assert (names(registry, first), first.remaining) == (["w0", "w1", "w2", "w3"], 6)
    await create(WIDGET, "w4a")
    await registry.delete(WIDGET, "default", "w5", DeleteOptions(), CONTEXT)
    token = ListOptions(limit=4, continue_token=first.continue_token)
    second = registry.list(WIDGET, "default", token)
    assert (names(registry, second), second.remaining) == (["w4", "w5", "w6", "w7"], 2)
    assert second.revision == first.revision
    last = registry.list(WIDGET, "default", ListOptions(limit=4, continue_token=second.continue_token))
    assert (names(registry, last), last.continue_token, last.remaining) == (["w8", "w9"], "", 0)


@pytest.mark.usefixtures("widgets")
def test_pages_across_namespaces(registry: Registry) -> None:
    """Pages of all namespaces pass from one to the next."""
    found, token = [], ""
    while True:
        page = registry.list(WIDGET, "", ListOptions(limit=3, continue_token=token))
        found += [entry.key for entry in page.entries]
        token = page.continue_token
        if not token:
            break
    assert found == [entry.key for entry in registry.list(WIDGET, "", ListOptions()).entries]
    assert len(found) == 11


@pytest.mark.usefixtures("widgets")
def test_selected_pages(registry: Registry) -> None:
    """A limit counts selected objects; how many remain is not told."""
    first = registry.list(WIDGET, "default", ListOptions(limit=2, labels="app=b"))
    assert (names(registry, first), first.remaining) == (["w1", "w3"], 0)
    rest = ListOptions(limit=10, labels="app=b", continue_token=first.continue_token)
    second = registry.list(WIDGET, "default", rest)
    assert (names(registry, second), second.continue_token) == (["w5", "w7", "w9"], "")


@pytest.mark.usefixtures("widgets")
async def test_expired_token(registry: Registry) -> None:
    """A token whose snapshot is compacted is Expired, with a token for the inconsistent rest."""
    first = registry.list(WIDGET, "default", ListOptions(limit=4))
    await registry.delete(WIDGET, "default", "w5", DeleteOptions(), CONTEXT)
    await registry.store.compact(registry.revision)
    with pytest.raises(Expired) as refused:
        registry.list(WIDGET, "default", ListOptions(limit=4, continue_token=first.continue_token))
    status = refused.value.status()
    assert (status["code"], status["reason"]) == (410, "Expired")
    assert status["message"].startswith("The provided continue parameter is too old")
    rest = registry.list(WIDGET, "default", ListOptions(continue_token=status["metadata"]["continue"]))
    assert names(registry, rest) == ["w4", "w6", "w7", "w8", "w9"]


async def test_resource_version_rules(registry: Registry, create: Any) -> None:
    """Exact shows the past, NotOlderThan and 0 the present; a limit with a version means Exact."""
    await create(WIDGET, "a")
    then = str(registry.revision)
    await create(WIDGET, "b")
    exact = registry.list(WIDGET, "default", ListOptions(resource_version=then, match="Exact"))
    assert (names(registry, exact), str(exact.revision)) == (["a"], then)
    limited = registry.list(WIDGET, "default", ListOptions(resource_version=then, limit=5))
    assert names(registry, limited) == ["a"]
    for options in (
        ListOptions(resource_version=then, match="NotOlderThan"),
        ListOptions(resource_version=then),
        ListOptions(resource_version="0", limit=5),
    ):
        listed = registry.list(WIDGET, "default", options)
        assert (names(registry, listed), listed.revision) == (["a", "b"], registry.revision)
    await registry.store.compact(registry.revision)
    with pytest.raises(Expired) as refused:
        registry.list(WIDGET, "default", ListOptions(resource_version=then, match="Exact"))
    assert refused.value.message == "The resourceVersion for the provided list is too old."


async def test_future_status(registry: Registry) -> None:
    """A resourceVersion of the future tells clients to come back in a second."""
    with pytest.raises(Timeout) as refused:
        registry.get(ConfigMap, "default", "x", resource_version="999999")
    status = refused.value.status()
    assert status["code"] == 504
    assert status["details"] == {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
