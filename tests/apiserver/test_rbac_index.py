"""RBAC decisions, aggregation, and the words of refusals."""

from typing import Any

import pytest

from minikube_py.apiserver.admission.rbac_escalation import covers
from minikube_py.apiserver.authz import Authorizer, refusal
from minikube_py.apiserver.metrics import ServerMetrics
from minikube_py.apiserver.rbac import Attributes, RbacIndex, compile_rules
from minikube_py.errors import Forbidden
from minikube_py.registry.base import User

BOB = User("bob", groups=("devs", "system:authenticated"))
ACCOUNT = User("system:serviceaccount:ns:robot", groups=("system:serviceaccounts",))


def role(name: str, *rules: dict[str, Any], namespace: str = "", **more: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace, **more.pop("metadata", {})},
        "rules": rules,
        **more,
    }


def rule(verbs: str, resources: str = "", groups: str = "core", **more: Any) -> dict[str, Any]:
    named = [g.replace("core", "") for g in groups.split()]
    return {"verbs": verbs.split(), "resources": resources.split(), "apiGroups": named, **more}


def bind(
    name: str, role: str, *subjects: dict[str, str], namespace: str = "", kind: str = "ClusterRole"
) -> Any:
    return {
        "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"kind": kind, "name": role},
        "subjects": subjects,
    }


def user(name: str) -> dict[str, str]:
    return {"kind": "User", "name": name}


@pytest.fixture
def index() -> RbacIndex:
    """bob reads pods everywhere, may exec in ns, and get the Secret one; robots delete any scale in ns."""
    made = RbacIndex()
    made.set_role(role("read-pods", rule("get list", "pods pods/log")))
    made.set_role(role("exec", rule("create", "pods/exec"), namespace="ns"))
    made.set_role(role("one", rule("get", "secrets", resourceNames=["one"]), namespace="ns"))
    made.set_role(role("scaler", rule("*", "*/scale", "*")))
    made.set_role(role("paths", {"verbs": ["get"], "nonResourceURLs": ["/metrics", "/logs/*"]}))
    made.set_binding(bind("a", "read-pods", {"kind": "Group", "name": "devs"}))
    made.set_binding(bind("b", "exec", user("bob"), namespace="ns", kind="Role"))
    made.set_binding(bind("c", "one", user("bob"), namespace="ns", kind="Role"))
    made.set_binding(bind("d", "scaler", {"kind": "ServiceAccount", "name": "robot"}, namespace="ns"))
    made.set_binding(bind("e", "paths", user("bob")))
    return made


@pytest.mark.parametrize(
    ("who", "asked", "expected"),
    [
        (BOB, Attributes("get", "", "pods", "", "any", "x"), True),
        (BOB, Attributes("list", "", "pods"), True),
        (BOB, Attributes("delete", "", "pods", "", "any", "x"), False),
        (BOB, Attributes("get", "", "pods", "log", "any", "x"), True),
        (BOB, Attributes("get", "", "pods", "status", "any", "x"), False),
        (BOB, Attributes("get", "apps", "pods", "", "any", "x"), False),
        (BOB, Attributes("create", "", "pods", "exec", "ns", "x"), True),
        (BOB, Attributes("create", "", "pods", "exec", "other", "x"), False),
        (BOB, Attributes("create", "", "pods", "exec"), False),
        (BOB, Attributes("get", "", "secrets", "", "ns", "one"), True),
        (BOB, Attributes("get", "", "secrets", "", "ns", "two"), False),
        (BOB, Attributes("get", "", "secrets", "", "ns", ""), False),
        (BOB, Attributes("get", path="/metrics"), True),
        (BOB, Attributes("get", path="/logs/x/y"), True),
        (BOB, Attributes("get", path="/metrics/x"), False),
        (BOB, Attributes("post", path="/metrics"), False),
        (ACCOUNT, Attributes("update", "apps", "deployments", "scale", "ns", "x"), True),
        (ACCOUNT, Attributes("update", "apps", "deployments", "", "ns", "x"), False),
        (ACCOUNT, Attributes("update", "apps", "deployments", "scale", "other", "x"), False),
        (User("eve"), Attributes("list", "", "pods"), False),
    ],
)
def test_decision(index: RbacIndex, who: User, asked: Attributes, expected: bool) -> None:
    """Rules match by verb, group, resource with subresource, name, namespace and path; twice the same."""
    assert [index.allows(who, asked), index.allows(who, asked)] == [expected, expected]


def test_changes_take_effect_at_once(index: RbacIndex) -> None:
    """A decision follows roles and bindings as they come and go."""
    asked = Attributes("list", "", "pods")
    seen = [index.allows(BOB, asked)]
    index.set_role(role("read-pods", rule("get", "pods")))
    seen.append(index.allows(BOB, asked))
    index.set_role(role("read-pods", rule("list", "pods")))
    seen.append(index.allows(BOB, asked))
    index.remove_binding("", "a")
    seen.append(index.allows(BOB, asked))
    assert seen == [True, False, True, False]


def test_aggregation_is_transitive() -> None:
    """An aggregate holds the rules of the roles that it chooses, and of the aggregates among them."""
    index = RbacIndex()

    def aggregate(name: str, label: str, **labels: str) -> None:
        chosen = {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]}
        index.set_role(role(name, metadata={"labels": labels}, aggregationRule=chosen))

    aggregate("edit", "to-edit")
    aggregate("view", "to-view", **{"to-edit": "true"})
    index.set_role(role("x", rule("get", "pods"), metadata={"labels": {"to-view": "true"}}))
    index.set_role(role("y", rule("update", "pods"), metadata={"labels": {"to-edit": "true"}}))
    assert index.aggregated(("", "edit")) == [rule("get", "pods"), rule("update", "pods")]
    index.set_binding(bind("b", "edit", user("bob")))
    assert index.allows(BOB, Attributes("get", "", "pods", "", "ns", "x")) is True


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            Attributes("list", "", "pods", "", "default"),
            'pods is forbidden: User "x" cannot list resource "pods" in API group "" in the '
            'namespace "default"',
        ),
        (
            Attributes("get", "apps", "deployments", "scale", "ns", "web"),
            'deployments.apps "web" is forbidden: User "x" cannot get resource "deployments/scale" '
            'in API group "apps" in the namespace "ns"',
        ),
        (
            Attributes("delete", "", "nodes", "", "", "n"),
            'nodes "n" is forbidden: User "x" cannot delete resource "nodes" in API group "" at '
            "the cluster scope",
        ),
        (Attributes("get", path="/metrics"), 'forbidden: User "x" cannot get path "/metrics"'),
    ],
)
def test_refusal_text(asked: Attributes, message: str) -> None:
    """A refusal is worded as Kubernetes words it, in each of its shapes."""
    assert refusal(User("x"), asked).message == message


def test_missing_role_is_named(index: RbacIndex) -> None:
    """A binding to a role that does not exist is given as the reason."""
    index.set_binding(bind("z", "ghost", user("eve")))
    authorizer = Authorizer(index, ServerMetrics())
    with pytest.raises(Forbidden) as caught:
        authorizer.require(User("eve"), Attributes("list", "", "pods"))
    assert caught.value.message == (
        'pods is forbidden: User "eve" cannot list resource "pods" in API group "" at the cluster scope: '
        'RBAC: clusterrole.rbac.authorization.k8s.io "ghost" not found'
    )


@pytest.mark.parametrize(
    ("own", "wanted", "expected"),
    [
        (rule("get list", "pods"), rule("get", "pods"), True),
        (rule("get", "pods"), rule("get list", "pods"), False),
        (rule("*", "*", "*"), rule("get", "pods/exec", "apps"), True),
        (rule("get", "*/scale", "*"), rule("get", "deployments/scale", "apps"), True),
        (rule("get", "pods", resourceNames=["a"]), rule("get", "pods"), False),
        (rule("get", "pods", resourceNames=["a", "b"]), rule("get", "pods", resourceNames=["a"]), True),
        (rule("get", "pods"), rule("get", "pods", resourceNames=["a"]), True),
        (rule("get", "pods"), rule("get", "*"), False),
        (
            {"verbs": ["get"], "nonResourceURLs": ["/a/*"]},
            {"verbs": ["get"], "nonResourceURLs": ["/a/b"]},
            True,
        ),
        ({"verbs": ["get"], "nonResourceURLs": ["/a"]}, {"verbs": ["get"], "nonResourceURLs": ["/a/*"]}, False),
    ],
)
def test_rule_covers(own: Any, wanted: Any, expected: bool) -> None:
    """A rule may be granted only where each of its permissions is held."""
    assert covers(compile_rules([own]), wanted) is expected
