"""Structural decoding, fieldValidation, duplicate keys, metadata and the words of violations."""

import json
import uuid
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_py.errors import BadRequest
from minikube_py.meta import validation, violations
from minikube_py.meta.conforming import conforms
from minikube_py.meta.kind import Kind
from minikube_py.meta.names import path_segment_name
from minikube_py.meta.object_meta import unique, validate_changed_meta
from minikube_py.meta.objects import copy, new_uid
from minikube_py.meta.schema import type_of
from minikube_py.meta.validation import (
    NO_DUPLICATES,
    Duplicates,
    decode,
    duplicate_fields,
    validate_meta_update,
    validate_object_meta,
)

Pod = Kind("Pod", "v1", "pods")
Secret = Kind("Secret", "v1", "secrets")
Role = Kind("Role", "rbac.authorization.k8s.io/v1", "roles")
Event = Kind("Event", "v1", "events")
Deployment = Kind("Deployment", "apps/v1", "deployments")
Crd = Kind("CustomResourceDefinition", "apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False)
Widget = Kind(
    "Widget",
    "example.com/v1",
    "widgets",
    schema={
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "size": {"type": "integer"},
                    "on": {"type": "boolean", "nullable": True},
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                },
            }
        },
    },
)


def pod(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}


def test_a_canonical_object_is_passed_through() -> None:
    """What is already as it would be stored is not copied."""
    obj = pod(containers=[{"name": "c", "resources": {"limits": {"cpu": "500m"}}}], nodeSelector={"a": "b"})
    assert obj is decode(Pod, obj, "Strict")


NORMAL = {
    "unknown field": (pod(foo=1, priority=1), pod(priority=1)),
    "null": (pod(priority=None, nodeName="n"), pod(nodeName="n")),
    "empty list": (pod(volumes=[], containers=[]), pod(containers=[])),
    "empty map": (pod(nodeSelector={}, hostname="h"), pod(hostname="h")),
    "empty struct stays": (pod(securityContext={}), pod(securityContext={})),
    "null in a map": (pod(nodeSelector={"a": None}), pod(nodeSelector={"a": ""})),
    "null item": (pod(containers=[None]), pod(containers=[{}])),
    "quantity": (
        pod(containers=[{"resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}}}]),
        pod(containers=[{"resources": {"limits": {"cpu": "500m", "memory": "1Gi"}}}]),
    ),
    "time": (
        {"metadata": {"creationTimestamp": "2026-01-01T01:00:00.5+01:00"}},
        {"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}},
    ),
}


@pytest.mark.parametrize(("obj", "expected"), NORMAL.values(), ids=NORMAL)
def test_decoding_makes_canonical_objects(obj: dict[str, Any], expected: dict[str, Any]) -> None:
    """Decoding prunes and writes values as Kubernetes stores them, and leaves its argument alone."""
    before = copy(obj)
    assert expected == decode(Pod, obj)
    assert before == obj
    assert conforms(type_of(Pod))(expected)


def test_micro_times_have_six_digits() -> None:
    """A MicroTime is written with microseconds."""
    event = decode(Event, {"eventTime": "2026-01-01T00:00:00Z"})
    assert event == {"eventTime": "2026-01-01T00:00:00.000000Z"}


PREFIX = 'Pod in version "v1" cannot be handled as a Pod: '
FIELD = "json: cannot unmarshal {} into Go struct field {} of type {}"
MISTYPED = {
    "string for int": (pod(priority="x"), FIELD.format("string", "PodSpec.spec.priority", "int32")),
    "float for int": (pod(priority=1.5), FIELD.format("number 1.5", "PodSpec.spec.priority", "int32")),
    "int32 overflow": (
        pod(priority=2**31),
        FIELD.format("number 2147483648", "PodSpec.spec.priority", "int32"),
    ),
    "bool for int": (pod(priority=True), FIELD.format("bool", "PodSpec.spec.priority", "int32")),
    "string for struct": ({"spec": "x"}, FIELD.format("string", "Pod.spec", "v1.PodSpec")),
    "object for list": (
        pod(containers={}),
        FIELD.format("object", "PodSpec.spec.containers", "[]v1.Container"),
    ),
    "number for label": (
        {"metadata": {"labels": {"a": 1}}},
        FIELD.format("number", "ObjectMeta.metadata.labels", "string"),
    ),
    "list for labels": (
        {"metadata": {"labels": []}},
        FIELD.format("array", "ObjectMeta.metadata.labels", "map[string]string"),
    ),
    "deep": (
        pod(containers=[{}, {"env": [{"name": "a", "value": 1}]}]),
        FIELD.format("number", "EnvVar.spec.containers.env.value", "string"),
    ),
    "bool for int or string": (
        pod(containers=[{"livenessProbe": {"httpGet": {"port": True}}}]),
        "json: cannot unmarshal bool into Go value of type int32",
    ),
    "no object": ([], "json: cannot unmarshal array into Go value of type v1.Pod"),
    "bad quantity": (
        pod(containers=[{"resources": {"limits": {"cpu": "a"}}}]),
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    ),
    "bad time": (
        {"metadata": {"creationTimestamp": "soon"}},
        'parsing time "soon" as "2006-01-02T15:04:05Z07:00": cannot parse "soon" as "2006"',
    ),
}


@pytest.mark.parametrize(("obj", "message"), MISTYPED.values(), ids=MISTYPED)
def test_wrong_types_are_refused(obj: Any, message: str) -> None:
    """A value of the wrong type is a bad request in the words of Kubernetes' decoder."""
    with pytest.raises(BadRequest) as refused:
        decode(Pod, obj)
    assert PREFIX + message == str(refused.value)


def test_secret_data_is_base64() -> None:
    """Data that is no base64 is refused where it goes wrong."""
    assert decode(Secret, {"data": {"a": "aGk="}}) == {"data": {"a": "aGk="}}
    with pytest.raises(BadRequest, match="illegal base64 data at input byte 2"):
        decode(Secret, {"data": {"a": "ab!="}})


def test_field_validation() -> None:
    """Strict refuses unknown and duplicate fields by path, Warn tells them, Ignore drops them."""
    obj = pod(foo=1, containers=[{"name": "c", "bar": {}}])
    texts = ['duplicate field "spec.x"', 'unknown field "spec.foo"', 'unknown field "spec.containers[0].bar"']
    twice = Duplicates(texts[:1])
    with pytest.raises(BadRequest) as refused:
        decode(Pod, obj, "Strict", duplicates=twice)
    assert f"{PREFIX}strict decoding error: {', '.join(texts)}" == str(refused.value)
    warnings: list[str] = []
    assert pod(containers=[{"name": "c"}]) == decode(Pod, obj, "Warn", warnings, twice)
    assert texts == warnings
    assert pod(containers=[{"name": "c"}]) == decode(Pod, obj)


BODY = """{"metadata":{"name":"a","name":"b","zip":1},"spec":{"z":1,"y":{"a":1,"a":2},"y":3,"nodeName":"n",
"nodeName":"m","containers":[{"name":"c","x":1,"image":"i","image":"j"}]}}"""


@pytest.mark.parametrize(
    ("kind", "by_name", "expected"),
    [
        (
            Pod,
            False,
            'duplicate "metadata.name", unknown "metadata.zip", unknown "spec.z", unknown "spec.y", '
            'duplicate "spec.nodeName", unknown "spec.containers[0].x", duplicate "spec.containers[0].image"',
        ),
        (
            Pod,
            True,
            'unknown "metadata.zip", unknown "spec.containers[0].x", unknown "spec.y", unknown "spec.z"',
        ),
        (
            Widget,
            False,
            'duplicate "metadata.name", duplicate "spec.y.a", duplicate "spec.y", duplicate "spec.nodeName", '
            'duplicate "spec.containers[0].image", unknown "metadata.zip", unknown "spec.containers", '
            'unknown "spec.nodeName", unknown "spec.y", unknown "spec.z"',
        ),
    ],
    ids=["typed", "yaml-or-patch", "custom"],
)
def test_order_of_faulty_fields(kind: Kind, by_name: bool, expected: str) -> None:
    """A built-in kind's faults are told as they stand in a JSON body; where the decoder has lost that order,
    and for custom resources, the repeated fields come first and the unknown ones by name."""
    body = json.loads(BODY)
    twice = Duplicates(by_name=True) if by_name else duplicate_fields(BODY.encode(), body)
    warnings: list[str] = []
    decode(kind, body, "Warn", warnings, twice)
    assert expected == ", ".join(warnings).replace(" field ", " ")


def test_custom_resources_are_pruned_and_typed() -> None:
    """A custom resource loses what its schema lacks, keeps nulls and empties that it may have, and is typed."""
    obj = {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "w"},
        "spec": {"size": 1, "on": None, "tags": [], "x": 1, "free": {"a": {"b": []}}},
    }
    expected = {**obj, "spec": {"size": 1, "on": None, "tags": [], "free": {"a": {"b": []}}}}
    assert expected == decode(Widget, obj)
    mistyped = {**obj, "spec": {"size": "x", "tags": [None, "a"], "free": 1}}
    assert mistyped == decode(Widget, mistyped)
    with pytest.raises(BadRequest, match="cannot unmarshal number into Go struct field"):
        decode(Widget, {**obj, "metadata": {"name": "w", "labels": {"a": 1}}})


def test_depth_is_safe() -> None:
    """Deep nesting in a recursive type is a bad request, not a crash."""
    schema: dict[str, Any] = {}
    for _ in range(1010):
        schema = {"not": schema}
    obj = {"spec": {"versions": [{"schema": {"openAPIV3Schema": schema}}], "bad": 1}}
    with pytest.raises(BadRequest, match="exceeded max depth"):
        decode(Crd, obj, "Strict")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a":1,"b":{"a":2}}', []),
        ('{"a":1,"a":2}', ["a"]),
        ('{"a" :1, "a":2}', ["a"]),
        ('{"a":1,"a":2,"b":"\\u0022:"}', ["a"]),
        ('{"a":[{"b":1},{"b":1,"b":{"c":1,"c":1}}]}', ["a[1].b", "a[1].b.c"]),
        ('{"a":"\\":","b":"x"}', []),
        ("not json", []),
        ("1", []),
    ],
)
def test_duplicate_keys_are_found(text: str, expected: list[str]) -> None:
    """A key that stands twice in one object is told by its path."""
    told = [f'duplicate field "{path}"' for path in expected]
    assert told == list(duplicate_fields(text.encode()).texts)
    if text != "not json":
        assert told == list(duplicate_fields(text.encode(), json.loads(text)).texts)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=15,
)


@given(json_values, st.booleans())
def test_documents_without_duplicates(value: Any, spaced: bool) -> None:
    """No document that a serializer writes has duplicates."""
    text = json.dumps(value, indent=1 if spaced else None).encode()
    assert duplicate_fields(text) == NO_DUPLICATES
    assert duplicate_fields(text, json.loads(text)) == NO_DUPLICATES


FIELDS = (
    "spec",
    "metadata",
    "containers",
    "env",
    "name",
    "value",
    "labels",
    "ports",
    "resources",
    "limits",
    "cpu",
)
pods = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=25,
)


@given(st.dictionaries(st.sampled_from(FIELDS), pods))
def test_decoding_is_idempotent(obj: dict[str, Any]) -> None:
    """What decodes is canonical: it decodes to itself; what does not is a bad request."""
    try:
        decoded = decode(Pod, obj)
    except BadRequest as error:
        assert str(error).startswith(PREFIX)
        return
    assert decoded is decode(Pod, decoded, "Strict")
    assert orjson.dumps(decoded)


WORDS = [
    (violations.required("spec.a"), "FieldValueRequired", "Required value"),
    (violations.required("spec.a", "why"), "FieldValueRequired", "Required value: why"),
    (violations.invalid("a", "x", "why"), "FieldValueInvalid", 'Invalid value: "x": why'),
    (violations.invalid("a", -1, "why"), "FieldValueInvalid", "Invalid value: -1: why"),
    (violations.invalid("a", {"b": [1]}, "why"), "FieldValueInvalid", 'Invalid value: {"b":[1]}: why'),
    (violations.invalid("a", None, "why"), "FieldValueInvalid", 'Invalid value: "null": why'),
    (
        violations.not_supported("a", "x", ("b", "c")),
        "FieldValueNotSupported",
        'Unsupported value: "x": supported values: "b", "c"',
    ),
    (violations.forbidden("a", "why"), "FieldValueForbidden", "Forbidden: why"),
    (violations.duplicate("a", "x"), "FieldValueDuplicate", 'Duplicate value: "x"'),
    (violations.not_found("a", "x"), "FieldValueNotFound", 'Not found: "x"'),
    (violations.too_long("a", 63), "FieldValueTooLong", "Too long: may not be more than 63 bytes"),
    (violations.too_many("a", 3, 1), "FieldValueTooMany", "Too many: 3: must have at most 1 item"),
]


@pytest.mark.parametrize(("violation", "reason", "message"), WORDS, ids=lambda one: str(one)[:30])
def test_words_of_violations(violation: violations.Violation, reason: str, message: str) -> None:
    """Violations have the reasons and words of field.Error."""
    assert (reason, message) == (violation.reason, violation.message)


def test_comparing_helpers() -> None:
    """Helpers yield a violation exactly where the value at the path is refused."""
    obj, old = {"spec": {"a": 1, "n": -1, "p": "z"}}, {"spec": {"a": 2, "n": -1, "p": "z"}}
    assert told(violations.immutable(obj, old, "spec.a")) == ["spec.a: Invalid value: 1: field is immutable"]
    assert told(violations.immutable(obj, old, "spec.n")) == []
    assert told(violations.non_negative(obj, "spec.n")) == [
        "spec.n: Invalid value: -1: must be greater than or equal to 0"
    ]
    assert told(violations.non_negative(obj, "spec.missing")) == []
    assert told(violations.one_of(obj, "spec.p", ["x"])) == [
        'spec.p: Unsupported value: "z": supported values: "x"'
    ]
    assert told(violations.one_of(obj, "spec.q", ["x"], need=True)) == ["spec.q: Required value"]
    assert told(
        violations.below(
            "x[0]", [violations.required("a"), violations.forbidden("[1]"), violations.forbidden("")]
        )
    ) == ["x[0].a: Required value", "x[0][1]: Forbidden", "x[0]: Forbidden"]
    assert told(unique(["a", "b", "a"], "l", "name")) == ['l[2].name: Duplicate value: "a"']


def told(found: Any) -> list[str]:
    return [f"{one.field}: {one.message}" for one in found]


def test_invalid_errors() -> None:
    """One cause is told plainly, several in brackets and repeated ones once; details carry them all."""
    one = violations.invalid_error(Pod, "x", [violations.required("spec.y")])
    assert str(one) == 'Pod "x" is invalid: spec.y: Required value'
    causes = [violations.required("a"), violations.forbidden("b"), violations.required("a")]
    several = violations.invalid_error(Deployment, "d", causes)
    assert str(several) == 'Deployment.apps "d" is invalid: [a: Required value, b: Forbidden]'
    status = several.status()
    assert (
        status["code"],
        status["reason"],
        status["details"]["name"],
        status["details"]["group"],
        status["details"]["kind"],
        len(status["details"]["causes"]),
    ) == (422, "Invalid", "d", "apps", "Deployment", 3)


def test_missing_fields() -> None:
    """Fields that the schema requires are named by their path."""
    obj = pod(containers=[{"image": "x", "ports": [{"name": "a"}]}])
    assert [f"{one.field}: {one.message}" for one in validation.missing_fields(Pod, obj)] == [
        "spec.containers[0].name: Required value",
        "spec.containers[0].ports[0].containerPort: Required value",
    ]


META = {
    "good": ({"name": "a", "namespace": "n", "labels": {"a/b": "c"}, "finalizers": ["orphan", "a.b/c"]}, []),
    "no name": ({"namespace": "n"}, ["metadata.name: Required value: name or generateName is required"]),
    "no namespace": ({"name": "a"}, ["metadata.namespace: Required value"]),
    "bad label": (
        {"name": "a", "namespace": "n", "labels": {"a": "/"}},
        ['metadata.labels: Invalid value: "/": a valid label must'],
    ),
    "bad annotation": (
        {"name": "a", "namespace": "n", "annotations": {"a b": ""}},
        ['metadata.annotations: Invalid value: "a b": name part must'],
    ),
    "large annotations": (
        {"name": "a", "namespace": "n", "annotations": {"a": "é" * 131072}},
        ["metadata.annotations: Too long: may not be more than 262144 bytes"],
    ),
    "bad finalizer": (
        {"name": "a", "namespace": "n", "finalizers": ["mine"]},
        ['metadata.finalizers[0]: Invalid value: "mine": name is neither a standard finalizer name nor'],
    ),
    "both finalizers": (
        {"name": "a", "namespace": "n", "finalizers": ["orphan", "foregroundDeletion"]},
        ['metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: finalizer set'],
    ),
    "bad owner": (
        {"name": "a", "namespace": "n", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "x"}]},
        ['metadata.ownerReferences.uid: Invalid value: "": must not be empty'],
    ),
    "negative generation": (
        {"name": "a", "namespace": "n", "generation": -1},
        ["metadata.generation: Invalid value: -1: must be greater than or equal to 0"],
    ),
}


@pytest.mark.parametrize(("meta", "expected"), META.values(), ids=META)
def test_object_metadata(meta: dict[str, Any], expected: list[str]) -> None:
    """Metadata is refused field by field in Kubernetes' words."""
    found = told(validate_object_meta({"metadata": meta}, namespaced=True))
    assert len(expected) == len(found)
    assert all(text.startswith(start) for text, start in zip(found, expected, strict=True))


def test_cluster_scoped_metadata() -> None:
    """An object without namespaces may not have one, and RBAC names may have colons."""
    meta = {"metadata": {"name": "system:x", "namespace": "n"}}
    assert told(validate_object_meta(meta, namespaced=False, name_rule=path_segment_name)) == [
        "metadata.namespace: Forbidden: not allowed on this type"
    ]


def test_two_controllers() -> None:
    """Only one owner may be the controller."""
    owners = [{"apiVersion": "v1", "kind": "Pod", "name": n, "uid": n, "controller": True} for n in "ab"]
    found = told(validate_object_meta({"metadata": {"name": "x", "ownerReferences": owners}}, namespaced=False))
    assert 'Found "true" in references for a and b' in found[0]


def test_metadata_updates() -> None:
    """Identity is fixed, generations only rise, and no finalizer joins a deletion."""
    old = {
        "metadata": {"name": "a", "uid": "1", "generation": 2, "deletionTimestamp": "t", "finalizers": ["a/b"]}
    }
    new = {"metadata": {"name": "a", "uid": "2", "generation": 1, "finalizers": ["a/b", "c/d"]}}
    assert told(validate_meta_update(new, old)) == [
        'metadata.uid: Invalid value: "2": field is immutable',
        'metadata.deletionTimestamp: Invalid value: "null": field is immutable',
        "metadata.generation: Invalid value: 1: must not be decremented",
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, "
        'found new finalizers []string{"c/d"}',
    ]
    assert told(validate_meta_update(old, old)) == []


@pytest.mark.parametrize("field", ["labels", "annotations", "finalizers", "ownerReferences"])
def test_changed_metadata(field: str) -> None:
    """Of metadata that an update leaves nothing is said again; what is new is judged as on creation."""
    name = {"name": "a", "namespace": "n"}
    wrong = {
        "labels": {"a b": "x"},
        "annotations": {"a b": "x"},
        "finalizers": ["x y"],
        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "x"}],
    }
    new, plain = {"metadata": {**name, field: wrong[field]}}, {"metadata": name}
    assert told(validate_changed_meta(new, new)) == []
    assert told(validate_changed_meta(plain, new)) == []
    assert told(validate_changed_meta(new, plain)) == told(validate_object_meta(new, namespaced=True)) != []


def test_uids() -> None:
    """A new uid is a random UUID of version 4, another one each time."""
    made = [new_uid() for _ in range(64)]
    assert [str(uuid.UUID(one)) for one in made] == made
    assert {(uuid.UUID(one).version, uuid.UUID(one).variant) for one in made} == {(4, uuid.RFC_4122)}
    assert len(set(made)) == 64
