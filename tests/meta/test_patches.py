"""JSON patch, merge patch and strategic merge patch."""

from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_py.errors import ApiError, BadRequest, Invalid, RequestEntityTooLarge, Unclassified
from minikube_py.meta.objects import copy
from minikube_py.meta.patch.json import MAX_OPERATIONS, apply_json_patch
from minikube_py.meta.patch.merge import apply_merge_patch, identical, make_merge_patch
from minikube_py.meta.patch.strategic import apply_strategic_patch
from minikube_py.meta.schema import DEDUCED_TYPE, schema_for, type_for

DEPLOYMENT = schema_for("apps/v1", "Deployment") or DEDUCED_TYPE
POD_SPEC = type_for("io.k8s.api.core.v1.PodSpec")
META = type_for("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")


def op(op: str, path: str, **rest: Any) -> dict[str, Any]:
    return {"op": op, "path": path, **rest}


JSON_PATCHES = {
    "add member": ({"a": 1}, [op("add", "/b", value=2)], {"a": 1, "b": 2}),
    "add in list": ({"a": [1, 3]}, [op("add", "/a/1", value=2)], {"a": [1, 2, 3]}),
    "append": ({"a": [1]}, [op("add", "/a/-", value=2)], {"a": [1, 2]}),
    "negative append": ({"a": [1]}, [op("add", "/a/-1", value=2)], {"a": [1, 2]}),
    "negative replace": ({"a": [1, 2]}, [op("replace", "/a/-1", value=3)], {"a": [1, 3]}),
    "leading zero": ({"a": [1, 2]}, [op("remove", "/a/01")], {"a": [1]}),
    "replace root": ({"a": 1}, [op("replace", "", value={"b": 2})], {"b": 2}),
    "escapes": ({"a/b": {"c~d": 1}}, [op("replace", "/a~1b/c~0d", value=2)], {"a/b": {"c~d": 2}}),
    "move": ({"a": {"b": 1}}, [op("move", "/c", **{"from": "/a/b"})], {"a": {}, "c": 1}),
    "copy is deep": (
        {"a": {"b": 1}},
        [op("copy", "/c", **{"from": "/a"}), op("replace", "/c/b", value=2)],
        {"a": {"b": 1}, "c": {"b": 2}},
    ),
    "test passes": ({"a": {"b": [1]}}, [op("test", "/a", value={"b": [1]})], {"a": {"b": [1]}}),
    "test null of missing": ({}, [op("test", "/a", value=None)], {}),
    "then change what was added": (
        {},
        [op("add", "/a", value={"x": 1}), op("replace", "/a/x", value=2)],
        {"a": {"x": 2}},
    ),
}


@pytest.mark.parametrize(("document", "patch", "expected"), JSON_PATCHES.values(), ids=JSON_PATCHES)
def test_json_patches(document: Any, patch: list[Any], expected: Any) -> None:
    """Operations apply in order, and neither document nor patch is changed."""
    before = copy([document, patch])
    assert expected == apply_json_patch(document, patch)
    assert before == [document, patch]


REFUSED = {
    "test fails": ({"a": 1}, [op("test", "/a", value=2)]),
    "test true is not 1": ({"a": 1}, [op("test", "/a", value=True)]),
    "remove missing": ({}, [op("remove", "/a")]),
    "replace missing": ({}, [op("replace", "/a", value=1)]),
    "add below missing": ({}, [op("add", "/a/b", value=1)]),
    "add below scalar": ({"a": 1}, [op("add", "/a/b", value=1)]),
    "index out of range": ({"a": []}, [op("add", "/a/1", value=1)]),
    "no index": ({"a": []}, [op("add", "/a/x", value=1)]),
    "huge index": ({"a": []}, [op("add", "/a/" + "9" * 5000, value=1)]),
    "replace at end": ({"a": [1]}, [op("replace", "/a/-", value=1)]),
    "move into itself": ({"a": {}}, [op("move", "/a/b", **{"from": "/a"})]),
    "unknown operation": ({}, [op("swap", "/a")]),
    "no value": ({}, [op("add", "/a")]),
    "no from": ({}, [op("move", "/a")]),
    "relative pointer": ({"a": 1}, [op("replace", "a", value=1)]),
}


@pytest.mark.parametrize(("document", "patch"), REFUSED.values(), ids=REFUSED)
def test_operations_that_do_not_apply(document: Any, patch: list[Any]) -> None:
    """An operation that does not apply makes the whole patch invalid; only the cause tells the reason."""
    with pytest.raises(Invalid) as refused:
        apply_json_patch(document, patch)
    assert str(refused.value) == "the server rejected our request due to an error in our request"
    assert str(refused.value.__cause__)


@pytest.mark.parametrize("patch", [{}, [1], [{"op": "add", "path": 1}]], ids=str)
def test_malformed_json_patches(patch: Any) -> None:
    """What is no list of operations cannot be decoded."""
    with pytest.raises(BadRequest, match="error decoding patch"):
        apply_json_patch({}, patch)


def test_json_patch_limits() -> None:
    """The number of operations and the bytes made by copies are limited."""
    with pytest.raises(RequestEntityTooLarge, match="in a JSON patch is 10000, got 10001"):
        apply_json_patch({}, [op("test", "/a", value=None)] * (MAX_OPERATIONS + 1))
    with pytest.raises(Invalid):
        apply_json_patch({"a": "x" * 10_000}, [op("copy", "/b", **{"from": ""})] * 30)


leaves = st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2)
names = st.sampled_from(["a", "b", "c/d", "e~f"])
documents = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=10,
)
objects = st.dictionaries(names, documents, max_size=3)


@st.composite
def operations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Operations whose paths have a chance to exist, without what the oracle reads otherwise."""
    steps = st.sampled_from(["a", "b", "c~1d", "e~0f", "0", "1", "-"])
    pointers = st.lists(steps, min_size=1, max_size=3).map(lambda found: "/" + "/".join(found))
    found = []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["add", "remove", "replace", "test", "copy", "move"]))
        one = op(kind, draw(pointers))
        if kind in ("add", "replace", "test"):
            one["value"] = draw(documents)
        if kind in ("copy", "move"):
            one["from"] = draw(pointers)
        found.append(one)
    return found


@given(objects, operations())
def test_json_patch_agrees_with_the_oracle(document: Any, patch: list[dict[str, Any]]) -> None:
    """Where the package jsonpatch applies a patch, the result is the same; where ours does, so does it."""
    try:
        expected = jsonpatch.apply_patch(copy(document), copy(patch))
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError, KeyError):
        expected = ApiError
    try:
        found = apply_json_patch(document, patch)
    except ApiError:
        found = ApiError
    if expected is ApiError and any(one["op"] == "test" and one["value"] is None for one in patch):
        return  # a test of a missing member against null passes here, as in Kubernetes
    if expected is ApiError or found is ApiError:
        assert expected is found
    else:
        assert identical(expected, found)


MERGES = {
    "replace": ({"a": 1}, {"a": 2}, {"a": 2}),
    "remove": ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
    "lists replace": ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
    "nested": ({"a": {"b": 1, "c": 2}}, {"a": {"b": None, "d": 3}}, {"a": {"c": 2, "d": 3}}),
    "nulls in new objects go": ({}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
    "object over scalar": ({"a": 1}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    "nulls in lists stay": ({}, {"a": [None]}, {"a": [None]}),
}


@pytest.mark.parametrize(("target", "patch", "expected"), MERGES.values(), ids=MERGES)
def test_merge_patches(target: Any, patch: Any, expected: Any) -> None:
    """Merge patches follow RFC 7386 and change neither argument."""
    before = copy([target, patch])
    assert expected == apply_merge_patch(target, patch)
    assert before == [target, patch]


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(one) for key, one in value.items() if one is not None}
    return value


@given(objects.map(without_nulls), objects.map(without_nulls))
def test_a_made_patch_leads_there(source: Any, target: Any) -> None:
    """The merge patch between two objects turns one into the other."""
    assert identical(target, apply_merge_patch(source, make_merge_patch(source, target)))


def test_merge_patch_refusals() -> None:
    """A patch that is no object, or nested beyond reason, is a bad request."""
    with pytest.raises(BadRequest, match="must be an object"):
        apply_merge_patch({}, [])
    deep: dict[str, Any] = {}
    for _ in range(2000):
        deep = {"a": deep}
    with pytest.raises(BadRequest, match="exceeded max depth"):
        apply_merge_patch({}, deep)


def containers(*names: str) -> list[dict[str, str]]:
    return [{"name": name} for name in names]


STRATEGIC = {
    "merge by key": (
        {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]},
        {"containers": [{"name": "b", "image": "2"}]},
        {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}]},
    ),
    "new items come first": (
        {"containers": containers("a", "b")},
        {"containers": containers("c")},
        {"containers": containers("c", "a", "b")},
    ),
    "delete item": (
        {"containers": containers("a", "b")},
        {"containers": [{"name": "a", "$patch": "delete"}]},
        {"containers": containers("b")},
    ),
    "replace list": (
        {"containers": containers("a", "b")},
        {"containers": [{"name": "c"}, {"$patch": "replace"}]},
        {"containers": containers("c")},
    ),
    "replace map": (
        {"securityContext": {"runAsUser": 1, "fsGroup": 2}},
        {"securityContext": {"$patch": "replace", "runAsUser": 3}},
        {"securityContext": {"runAsUser": 3}},
    ),
    "delete map": (
        {"securityContext": {"runAsUser": 1}},
        {"securityContext": {"$patch": "delete"}},
        {"securityContext": {}},
    ),
    "null removes": ({"hostname": "a", "nodeName": "n"}, {"hostname": None}, {"nodeName": "n"}),
    "atomic list": (
        {"tolerations": [{"key": "a"}]},
        {"tolerations": [{"key": "b"}]},
        {"tolerations": [{"key": "b"}]},
    ),
    "element order": (
        {"containers": containers("a", "b", "c")},
        {"$setElementOrder/containers": containers("c", "a"), "containers": [{"name": "c", "image": "x"}]},
        {"containers": [{"name": "b"}, {"name": "c", "image": "x"}, {"name": "a"}]},
    ),
    "element order alone": (
        {"containers": containers("a", "b")},
        {"$setElementOrder/containers": containers("b", "a")},
        {"containers": containers("b", "a")},
    ),
    "order and delete": (
        {"containers": containers("a", "b")},
        {
            "$setElementOrder/containers": containers("b"),
            "containers": [{"name": "a", "$patch": "delete"}],
        },
        {"containers": containers("b")},
    ),
    "order of an absent list": (
        {},
        {"$setElementOrder/containers": containers("a"), "containers": containers("a")},
        {"containers": containers("a")},
    ),
    "retain keys": (
        {"volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}]},
        {"volumes": [{"$retainKeys": ["name", "hostPath"], "name": "v", "hostPath": {"path": "/x"}}]},
        {"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]},
    ),
    "new map drops nulls and directives": (
        {},
        {"securityContext": {"runAsUser": None, "$retainKeys": ["fsGroup"], "fsGroup": 1}},
        {"securityContext": {"fsGroup": 1}},
    ),
    "new item drops nulls": (
        {"containers": containers("a")},
        {"containers": [{"name": "b", "image": None}]},
        {"containers": containers("b", "a")},
    ),
    "unknown fields merge": ({"x": {"a": 1}}, {"x": {"b": [1]}}, {"x": {"a": 1, "b": [1]}}),
    "ports by number": (
        {"containers": [{"name": "a", "ports": [{"containerPort": 80}]}]},
        {"containers": [{"name": "a", "ports": [{"containerPort": 80, "name": "http"}]}]},
        {"containers": [{"name": "a", "ports": [{"containerPort": 80, "name": "http"}]}]},
    ),
}


@pytest.mark.parametrize(("target", "patch", "expected"), STRATEGIC.values(), ids=STRATEGIC)
def test_strategic_patches(target: Any, patch: Any, expected: Any) -> None:
    """Strategic patches merge lists by key and obey directives, and change neither argument."""
    before = copy([target, patch])
    assert expected == apply_strategic_patch(target, patch, POD_SPEC)
    assert before == [target, patch]


def test_lists_of_scalars() -> None:
    """Scalars merge without repeats, and are deleted by their own directive."""
    target = {"finalizers": ["a", "b"]}
    assert apply_strategic_patch(target, {"finalizers": ["c"]}, META)["finalizers"] == ["c", "a", "b"]
    gone = {"$deleteFromPrimitiveList/finalizers": ["a", "x"]}
    assert apply_strategic_patch(target, gone, META)["finalizers"] == ["b"]
    both = {"$setElementOrder/finalizers": ["c", "b"], "finalizers": ["c"], **gone}
    assert apply_strategic_patch(target, both, META)["finalizers"] == ["c", "b"]


def test_strategy_of_a_deployment() -> None:
    """Changing a Deployment's strategy type by $retainKeys drops the parameters of the old one."""
    target = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert apply_strategic_patch(target, patch, DEPLOYMENT) == {"spec": {"strategy": {"type": "Recreate"}}}


BAD_STRATEGIC = {
    "no merge key": ({"containers": [{"image": "x"}]}, "does not contain declared merge key: name"),
    "directive": ({"securityContext": {"$patch": "swap"}}, "unknown patch type: swap in map"),
    "list directive": (
        {"containers": [{"$patch": "merge", "name": "a"}]},
        "merging list cannot yet be specified",
    ),
    "retain": (
        {"volumes": [{"name": "v", "$retainKeys": ["name"], "emptyDir": {}}]},
        "invalid patch format of retainKeys",
    ),
    "order": ({"$setElementOrder/containers": {}}, "invalid patch format of setElementOrder list"),
    "order mismatch": (
        {"$setElementOrder/containers": containers("b"), "containers": containers("a")},
        "doesn't match \\$setElementOrder list",
    ),
    "mixed": ({"containers": ["a"]}, "list element types are not identical"),
    "primitive": ({"$deleteFromPrimitiveList/x": "a"}, "invalid patch format of primitive list"),
    "no object": ([], "must be an object"),
}


@pytest.mark.parametrize(("patch", "message"), BAD_STRATEGIC.values(), ids=BAD_STRATEGIC)
def test_malformed_strategic_patches(patch: Any, message: str) -> None:
    """A malformed patch is refused with words that say why."""
    target = {"containers": containers("a"), "securityContext": {}, "volumes": [{"name": "v"}]}
    with pytest.raises((BadRequest, Unclassified), match=message) as refused:
        apply_strategic_patch(target, patch, POD_SPEC)
    assert (refused.value.code, "reason" in refused.value.status()) in ((400, True), (500, False))


@given(objects, objects)
def test_without_a_schema_it_is_a_merge_patch(target: Any, patch: Any) -> None:
    """Where no schema is known, a strategic patch is a merge patch (but drops nulls in lists' objects)."""
    flat = {key: value for key, value in patch.items() if not isinstance(value, list)}
    expected = apply_merge_patch(target, flat)
    assert no_lists(expected) == no_lists(apply_strategic_patch(target, flat, DEDUCED_TYPE))


def no_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: no_lists(one) for key, one in value.items()}
    return "list" if isinstance(value, list) else value
