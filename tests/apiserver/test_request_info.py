"""URLs become verb, kind and name; what is no clean path is refused."""

import pytest

from minikube_py.apiserver.request import RequestInfo, parse_query, parse_request
from minikube_py.errors import ApiError


def parsed(method: str, target: str) -> RequestInfo:
    return parse_request(method, target, parse_query(target))


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", "/api/v1/pods", ("list", "", "v1", "pods", "", "", "")),
        ("GET", "/api/v1/namespaces/a/pods", ("list", "", "v1", "pods", "", "a", "")),
        ("GET", "/api/v1/namespaces/a/pods?watch=1", ("watch", "", "v1", "pods", "", "a", "")),
        ("GET", "/api/v1/namespaces/a/pods?watch=false", ("list", "", "v1", "pods", "", "a", "")),
        ("GET", "/api/v1/watch/namespaces/a/pods", ("watch", "", "v1", "pods", "", "a", "")),
        ("GET", "/api/v1/namespaces/a/pods/b", ("get", "", "v1", "pods", "", "a", "b")),
        ("PUT", "/api/v1/namespaces/a/pods/b/status", ("update", "", "v1", "pods", "status", "a", "b")),
        ("DELETE", "/api/v1/namespaces/a/pods", ("deletecollection", "", "v1", "pods", "", "a", "")),
        ("DELETE", "/api/v1/namespaces/a", ("delete", "", "v1", "namespaces", "", "a", "a")),
        ("PUT", "/api/v1/namespaces/a/finalize", ("update", "", "v1", "namespaces", "finalize", "a", "a")),
        (
            "POST",
            "/apis/apps/v1/namespaces/a/deployments",
            ("create", "apps", "v1", "deployments", "", "a", ""),
        ),
        ("PATCH", "/api/v1/nodes/n", ("patch", "", "v1", "nodes", "", "", "n")),
        (
            "GET",
            "/api/v1/namespaces/a/pods?fieldSelector=metadata.name%3Db",
            ("list", "", "v1", "pods", "", "a", "b"),
        ),
        ("GET", "/api/v1/namespaces/a/pods/b%20c", ("get", "", "v1", "pods", "", "a", "b c")),
    ],
)
def test_resource_path(method: str, target: str, expected: tuple[str, ...]) -> None:
    """A resource path is taken apart as Kubernetes does."""
    info = parsed(method, target)
    found = (info.verb, info.group, info.version, info.resource, info.subresource, info.namespace, info.name)
    assert (info.is_resource, found) == (True, expected)


@pytest.mark.parametrize(
    "target", ["/", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/healthz/ping"]
)
def test_other_path(target: str) -> None:
    """What is no resource path has its method as verb."""
    assert parsed("GET", target) == RequestInfo("get", target)


def test_proxy_keeps_the_raw_rest() -> None:
    """The path behind a proxy subresource is passed on as it was sent."""
    info = parsed("GET", "/api/v1/namespaces/a/pods/http:b:80/proxy/x/%2e%2fy/?q=1")
    assert (info.subresource, info.name, info.rest) == ("proxy", "http:b:80", "/x/%2e%2fy/")


@pytest.mark.parametrize(
    ("target", "code", "message"),
    [
        ("/api/v1/namespaces/a/pods/..", 400, "Name parameter invalid: \"..\": may not be '..'"),
        ("/api/v1/namespaces/a/pods/%2e%2e", 400, "Name parameter invalid: \"..\": may not be '..'"),
        ("/api/v1/namespaces/a/pods/.", 400, "Name parameter invalid: \".\": may not be '.'"),
        ("/api/v1/namespaces/a/pods/b%2fc", 400, "Name parameter invalid: \"b/c\": may not contain '/'"),
        ("/api/v1/namespaces/..%2fb/pods", 400, "namespace parameter invalid: \"../b\": may not contain '/'"),
        ("/api/v1/namespaces/a/pods/b%25c", 400, "Name parameter invalid: \"b%c\": may not contain '%'"),
        ("/api/v1/namespaces/a/pods/b%00", 400, "the URL path contains control characters"),
        ("/api/v1/namespaces/a/pods/%ff", 400, "the URL path is not UTF-8"),
        ("/api/v1//pods", 404, "the server could not find the requested resource"),
        ("/api/v1/namespaces/a//b", 404, "the server could not find the requested resource"),
        (
            "/api/v1/pods?a=%ff",
            400,
            "invalid URL query: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
        ),
    ],
)
def test_refused_path(target: str, code: int, message: str) -> None:
    """Paths that could lead elsewhere are refused with a reason."""
    with pytest.raises(ApiError) as caught:
        parsed("GET", target)
    assert (caught.value.code, caught.value.message) == (code, message)
