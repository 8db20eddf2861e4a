"""Structural schemas: what a schema may say, defaults, and the words in which values are refused."""

from typing import Any

import pytest

from minikube_py.meta.decoding import decode
from minikube_py.meta.schema import Type
from minikube_py.meta.structural import Structural, check_schema

Json = dict[str, Any]
S: Json = {"type": "string"}


def root(**spec: Json) -> Json:
    """A schema whose spec has these fields."""
    return {"type": "object", "properties": {"spec": {"type": "object", "properties": spec}}}


def listed(type: str, *keys: str, **item: Any) -> Json:
    made: Json = {"type": "array", "x-kubernetes-list-type": type, "items": {"type": "object", **item}}
    return made | ({"x-kubernetes-list-map-keys": list(keys)} if keys else {})


PORTS = listed("map", "port", required=["port"], properties={"port": {"type": "integer"}, "name": S})
X = "s.properties[spec].properties[x]"
EMPTY = "must not be empty for specified"
KEY = "this property is in x-kubernetes-list-map-keys, so it"
LABEL = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
    "validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
REFUSED_SCHEMAS: dict[str, tuple[Json, list[str]]] = {
    "no type at the root": ({"properties": {}}, ["s.type: Required value: must not be empty at the root"]),
    "no type of a field": (
        root(x={}),
        [f"{X}.type: Required value: must not be empty for specified object fields"],
    ),
    "no type of an item": (
        root(x={"type": "array", "items": {}}),
        [f"{X}.items.type: Required value: must not be empty for specified array items"],
    ),
    "no items": (root(x={"type": "array"}), [f"{X}.items: Required value: must be specified"]),
    "an unknown type": (
        root(x={"type": "text"}),
        [
            f'{X}.type: Unsupported value: "text": supported values: "array", "boolean", "integer", "number", '
            '"object", "string"'
        ],
    ),
    "additionalProperties at the root": (
        {"type": "object", "additionalProperties": S},
        ["s.additionalProperties: Forbidden: must not be used at the root"],
    ),
    "both kinds of properties": (
        root(x={"type": "object", "properties": {"a": S}, "additionalProperties": S}),
        [f"{X}.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"],
    ),
    "a type in a junctor": (
        root(x={"type": "string", "anyOf": [{"type": "string"}]}),
        [f"{X}.anyOf[0].type: Forbidden: must be empty to be structural"],
    ),
    "int-or-string may": (
        root(x={"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
        [],
    ),
    "incomplete": (
        {**root(), "oneOf": [{"properties": {"a": {"minLength": 1}}}]},
        ["s.properties[a]: Required value: because it is defined in s.oneOf[0].properties[a]"],
    ),
    "labels": (
        {"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": S}}}},
        [
            "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, "
            "but metadata is implicitly specified"
        ],
    ),
    "a name's rule": (
        {"type": "object", "properties": {"metadata": {"type": "object", "properties": {"name": S}}}},
        [],
    ),
    "a pattern": (
        root(x={"type": "string", "pattern": "("}),
        [
            f'{X}.pattern: Invalid value: "(": must be a valid regular expression, '
            "but isn't: error parsing regexp: missing closing ): `(`"
        ],
    ),
    "uniqueItems": (
        root(x={"type": "array", "items": S, "uniqueItems": True}),
        [
            f"{X}.uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity "
            "becomes quadratic"
        ],
    ),
    "a key neither required nor with a default": (
        root(x=listed("map", "n", properties={"n": S})),
        [
            f"{X}.items.properties[n].default: Required value: {KEY} must have a default or be a required "
            "property"
        ],
    ),
    "no keys": (
        root(x=listed("map")),
        [f"{X}.x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map"],
    ),
    "a set of objects": (
        root(x=listed("set")),
        [
            f'{X}.items.x-kubernetes-map-type: Invalid value: "null": must be atomic as item of a list with '
            "x-kubernetes-list-type=set"
        ],
    ),
    "a default of another type": (
        root(x={"type": "integer", "default": "a"}),
        [f'{X}.default: Invalid value: "string":  in body must be of type integer: "string"'],
    ),
    "a default with an unknown field": (
        root(x={"type": "object", "properties": {"a": S}, "default": {"b": "c"}}),
        [f'{X}.default: Invalid value: {{"b":"c"}}: must not have unknown fields'],
    ),
    "a default at the top": (
        {"type": "object", "properties": {"kind": {"type": "string", "default": "X"}}},
        ["s.properties[kind].default: Forbidden: must not be set in top-level kind"],
    ),
    "an embedded resource": (
        root(x={"type": "object", "x-kubernetes-embedded-resource": True}),
        [
            f"{X}.properties: Required value: must not be empty if x-kubernetes-embedded-resource is true "
            "without x-kubernetes-preserve-unknown-fields"
        ],
    ),
    "preserve false": (
        root(x={"type": "object", "x-kubernetes-preserve-unknown-fields": False}),
        [f"{X}.x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined"],
    ),
    "not supported": (
        root(x={"type": "string", "$ref": "#/a"}),
        [f"{X}.$ref: Forbidden: $ref is not supported"],
    ),
}


def told(violations: Any) -> list[str]:
    return [f"{one.field}: {one.message}" for one in violations]


@pytest.mark.parametrize(("schema", "expected"), REFUSED_SCHEMAS.values(), ids=REFUSED_SCHEMAS)
def test_schemas_are_judged(schema: Json, expected: list[str]) -> None:
    """A schema is refused for what upstream refuses, in its words."""
    found = told(check_schema(schema, "s", has_status=False))
    assert [one for one in expected if one not in found] == []
    assert bool(expected) == bool(found)


def test_the_root_with_a_status() -> None:
    """With a status subresource the root may say only what does not concern the status."""
    schema = {**root(), "oneOf": [{"required": ["spec"]}]}
    found = told(check_schema(schema, "s", has_status=True))
    assert found[0].endswith(
        "fields are allowed at the root of the schema if the status subresource is enabled"
    )


FIELD = "spec.x in body"
REFUSED_VALUES: dict[str, tuple[Json, Any, list[str]]] = {
    "type": (S, 1, [f'spec.x: Invalid value: "integer": {FIELD} must be of type string: "integer"']),
    "null": (S, None, [f'spec.x: Invalid value: "null": {FIELD} must be of type string: "null"']),
    "nullable": ({**S, "nullable": True}, None, []),
    "int-or-string": (
        {"x-kubernetes-int-or-string": True},
        True,
        [f'spec.x: Invalid value: "boolean": {FIELD} must be of type integer,string: "boolean"'],
    ),
    "int or string": ({"x-kubernetes-int-or-string": True}, "50%", []),
    "a whole float": ({"type": "integer"}, 2.0, []),
    "a fraction": (
        {"type": "integer"},
        2.5,
        [f'spec.x: Invalid value: "number": {FIELD} must be of type integer: "number"'],
    ),
    "minimum": (
        {"type": "integer", "minimum": 1},
        0,
        [f"spec.x: Invalid value: 0: {FIELD} should be greater than or equal to 1"],
    ),
    "exclusive": (
        {"type": "number", "maximum": 2.5, "exclusiveMaximum": True},
        2.5,
        [f"spec.x: Invalid value: 2.5: {FIELD} should be less than 2.5"],
    ),
    "a large bound": (
        {"type": "number", "maximum": 1e6},
        2e6,
        [f"spec.x: Invalid value: 2000000: {FIELD} should be less than or equal to 1e+06"],
    ),
    "multipleOf": (
        {"type": "integer", "multipleOf": 3},
        4,
        [f"spec.x: Invalid value: 4: {FIELD} should be a multiple of 3"],
    ),
    "enum": (
        {**S, "enum": ["a", "b"]},
        "c",
        ['spec.x: Unsupported value: "c": supported values: "a", "b"'],
    ),
    "enum of numbers": (
        {"type": "integer", "enum": [1, 2]},
        3,
        ['spec.x: Unsupported value: 3: supported values: "1", "2"'],
    ),
    "maxLength": ({**S, "maxLength": 2}, "abc", ["spec.x: Too long: may not be more than 2 bytes"]),
    "minLength": (
        {**S, "minLength": 1},
        "",
        [f'spec.x: Invalid value: "": {FIELD} should be at least 1 chars long'],
    ),
    "pattern": (
        {**S, "pattern": "^[a-z]+$"},
        "a\n",
        [f"spec.x: Invalid value: \"a\\n\": {FIELD} should match '^[a-z]+$'"],
    ),
    "format": (
        {**S, "format": "date-time"},
        "today",
        [f'spec.x: Invalid value: "today": {FIELD} must be of type date-time: "today"'],
    ),
    "unknown format": ({**S, "format": "colour"}, "x", []),
    "maxItems": (
        {"type": "array", "items": S, "maxItems": 1},
        ["a", "b"],
        ["spec.x: Too many: 2: must have at most 1 item"],
    ),
    "minItems": (
        {"type": "array", "items": S, "minItems": 1},
        [],
        [f"spec.x: Invalid value: 0: {FIELD} should have at least 1 items"],
    ),
    "item": (
        {"type": "array", "items": S},
        ["a", 1],
        ['spec.x[1]: Invalid value: "integer": spec.x[1] in body must be of type string: "integer"'],
    ),
    "map": (
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"a": "b"},
        ['spec.x.a: Invalid value: "string": spec.x.a in body must be of type integer: "string"'],
    ),
    "maxProperties": (
        {"type": "object", "additionalProperties": S, "maxProperties": 1},
        {"a": "1", "b": "2"},
        ["spec.x: Too many: 2: must have at most 1 item"],
    ),
    "required": (
        {"type": "object", "properties": {"a": S}, "required": ["a"]},
        {},
        ["spec.x.a: Required value"],
    ),
    "oneOf": (
        {"type": "object", "properties": {"a": S, "b": S}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {"a": "1", "b": "2"},
        [
            '<nil>: Invalid value: "": "spec.x" must validate one and only one schema (oneOf). Found 2 valid '
            "alternatives"
        ],
    ),
    "anyOf": (
        {**S, "anyOf": [{"minLength": 3}, {"enum": ["a"]}]},
        "b",
        [
            '<nil>: Invalid value: "": "spec.x" must validate at least one schema (anyOf)',
            f'spec.x: Invalid value: "b": {FIELD} should be at least 3 chars long',
        ],
    ),
    "allOf": (
        {**S, "allOf": [{"minLength": 3}, {"maxLength": 5}]},
        "b",
        [
            f'spec.x: Invalid value: "b": {FIELD} should be at least 3 chars long',
            '<nil>: Invalid value: "": "spec.x" must validate all the schemas (allOf)',
        ],
    ),
    "not": (
        {**S, "not": {"enum": ["b"]}},
        "b",
        ['<nil>: Invalid value: "": "spec.x" must not validate the schema (not)'],
    ),
    "a set": (
        {"type": "array", "items": S, "x-kubernetes-list-type": "set"},
        ["a", "b", "a", "a"],
        ['spec.x[2]: Duplicate value: "a"'],
    ),
    "a map list": (PORTS, [{"port": 1}, {"port": 2}, {"port": 1}], ['spec.x[2]: Duplicate value: {"port":1}']),
    "an embedded resource": (
        {
            "type": "object",
            "x-kubernetes-embedded-resource": True,
            "x-kubernetes-preserve-unknown-fields": True,
        },
        {"kind": "Pod", "metadata": {"labels": {"a": "-"}}},
        [
            "spec.x.apiVersion: Required value",
            f'spec.x.metadata.labels: Invalid value: "-": {LABEL}',
        ],
    ),
    "an embedded resource without a name of its own": (
        {
            "type": "object",
            "x-kubernetes-embedded-resource": True,
            "x-kubernetes-preserve-unknown-fields": True,
        },
        {"apiVersion": "", "kind": "Pod", "metadata": {"finalizers": ["mine"]}},
        ['spec.x.apiVersion: Invalid value: "": must not be empty'],
    ),
    **{
        f"{value} as {form}": (
            {"type": type, "format": form},
            value,
            [
                f'<nil>: Invalid value: "": Checked value must be of type {type} with format {form} in spec.x'
                for _ in range(not fits)
            ],
        )
        for type, form, value, fits in (
            ("integer", "int32", 2**31 - 1, True),
            ("integer", "int32", 2**31, False),
            ("integer", "int32", -(2**31) - 1, False),
            ("integer", "int64", 2**31, True),
            ("number", "float", 1e38, True),
            ("number", "float", 1e39, False),
            ("number", "double", 1e39, True),
        )
    },
}


@pytest.mark.parametrize(("schema", "value", "expected"), REFUSED_VALUES.values(), ids=REFUSED_VALUES)
def test_values_are_judged(schema: Json, value: Any, expected: list[str]) -> None:
    """A value is refused in the words of kube-apiserver."""
    assert expected == told(Structural(root(x=schema)).validate({"spec": {"x": value}}))


FORMATS = {
    "date": (["2024-02-29"], ["2023-02-29", "2024-2-1", "x"]),
    "date-time": (
        ["2024-01-01T00:00:00Z", "2024-01-01t10:00:00.5+02:00"],
        ["2024-01-01", "2024-01-01T25:00:00Z"],
    ),
    "duration": (["1h30m", "22 ns", "1 day", "-5s"], ["1", "h", "1 fortnight"]),
    "uuid": (["01234567-89ab-cdef-0123-456789ABCDEF"], ["x", "0123"]),
    "ipv4": (["10.0.0.1"], ["10.0.0", "::1"]),
    "ipv6": (["::1"], ["10.0.0.1"]),
    "cidr": (["10.0.0.0/8", "fd00::/8"], ["10.0.0.0", "10.0.0.0/33"]),
    "mac": (["01:02:03:04:05:06"], ["01:02:03"]),
    "email": (["a@example.com"], ["a", "@"]),
    "hostname": (["example.com"], ["-a", "a b"]),
    "uri": (["https://example.com/a", "/a"], ["a b", "example"]),
    "byte": (["YWJj"], ["a-"]),
    "hexcolor": (["#ffAA00"], ["#ggg"]),
    "isbn": (["978-0321751041", "0321751043"], ["978-0321751042"]),
    "password": (["anything"], []),
    "k8s-short-name": (["a-b"], ["a.b"]),
}


@pytest.mark.parametrize(("name", "good", "bad"), [(name, *texts) for name, texts in FORMATS.items()])
def test_formats(name: str, good: list[str], bad: list[str]) -> None:
    """Texts of a format pass, others do not."""
    schema = Structural(root(x={**S, "format": name}))
    judged = {text: not told(schema.validate({"spec": {"x": text}})) for text in (*good, *bad)}
    assert {**dict.fromkeys(good, True), **dict.fromkeys(bad, False)} == judged


DEFAULTS: dict[str, tuple[Json, Json, Json]] = {
    "missing": ({"a": {**S, "default": "d"}}, {}, {"a": "d"}),
    "given": ({"a": {**S, "default": "d"}}, {"a": "x"}, {"a": "x"}),
    "null": ({"a": {**S, "default": "d"}}, {"a": None}, {"a": "d"}),
    "null that may be": ({"a": {**S, "default": "d", "nullable": True}}, {"a": None}, {"a": None}),
    "null without default": ({"a": S}, {"a": None}, {}),
    "nothing to put it in": (
        {"o": {"type": "object", "properties": {"a": {**S, "default": "d"}}}},
        {},
        {},
    ),
    "within a default": (
        {"o": {"type": "object", "default": {}, "properties": {"a": {**S, "default": "d"}}}},
        {},
        {"o": {"a": "d"}},
    ),
    "in items": (
        {"l": {"type": "array", "items": {"type": "object", "properties": {"a": {**S, "default": "d"}}}}},
        {"l": [{}, {"a": "x"}]},
        {"l": [{"a": "d"}, {"a": "x"}]},
    ),
    "in values": (
        {
            "m": {
                "type": "object",
                "additionalProperties": {"type": "object", "properties": {"a": {**S, "default": "d"}}},
            }
        },
        {"m": {"k": {}}},
        {"m": {"k": {"a": "d"}}},
    ),
    "null value of a map": (
        {"m": {"type": "object", "additionalProperties": S}},
        {"m": {"k": None}},
        {"m": {}},
    ),
    "null value of a map with a default": (
        {"m": {"type": "object", "additionalProperties": {**S, "default": "d"}}},
        {"m": {"k": None}},
        {"m": {"k": "d"}},
    ),
    "metadata of an embedded resource": (
        {
            "e": {
                "type": "object",
                "x-kubernetes-embedded-resource": True,
                "properties": {"metadata": {"type": "object"}, "spec": {"type": "object"}},
            }
        },
        {"e": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "b": 1}, "spec": {"c": 1}, "d": 1}},
        {"e": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {}}},
    ),
    "unknown fields": ({"a": S}, {"b": {"c": 1}}, {}),
    "kept fields": (
        {
            "o": {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": True,
                "properties": {"p": {"type": "object"}},
            }
        },
        {"o": {"z": {"y": 1}, "p": {"q": 1}}},
        {"o": {"z": {"y": 1}, "p": {}}},
    ),
}


@pytest.mark.parametrize(("fields", "given", "expected"), DEFAULTS.values(), ids=DEFAULTS)
def test_pruning_and_defaulting(fields: Json, given: Json, expected: Json) -> None:
    """Unknown fields and nulls go, then defaults come, at every depth."""
    schema = {"type": "object", "properties": fields}
    pruned, _ = decode(Type(schema, schema, custom=True), given)
    obj = dict(pruned)
    Structural(schema).default(obj)
    assert expected == obj


RATCHETED: dict[str, tuple[Json, Any, Any, list[str]]] = {
    "the same": ({"type": "integer", "minimum": 5}, 1, 1, []),
    "another": ({"type": "integer", "minimum": 5}, 1, 2, ["spec.x: Invalid value: 2: "]),
    "an item by its key": (
        listed("map", "k", required=["k"], properties={"k": S, "v": {"type": "integer", "minimum": 5}}),
        [{"k": "a", "v": 1}],
        [{"k": "b", "v": 2}, {"k": "a", "v": 1}],
        ["spec.x[0].v: Invalid value: 2: "],
    ),
    "an atomic list": (
        {"type": "array", "items": {"type": "integer", "minimum": 5}},
        [1],
        [1, 7],
        ["spec.x[0]: Invalid value: 1: "],
    ),
    "repeated as before": (
        {"type": "array", "items": S, "x-kubernetes-list-type": "set"},
        ["a", "a"],
        ["a", "a", "b"],
        [],
    ),
}


@pytest.mark.parametrize(("schema", "old", "new", "expected"), RATCHETED.values(), ids=RATCHETED)
def test_what_has_not_changed_passes(schema: Json, old: Any, new: Any, expected: list[str]) -> None:
    """An update is refused only for what it changes."""
    before, after = (
        {"metadata": {"resourceVersion": str(at)}, "spec": {"x": x}} for at, x in enumerate((old, new))
    )
    found = told(Structural(root(x=schema)).validate(after, before))
    assert expected == [one[: len(start)] for one, start in zip(found, expected, strict=True)]


def test_a_large_object_is_fast_enough_to_be_judged_in_one_walk() -> None:
    """What is valid is not walked a second time for messages."""
    fields = {f"f{at}": {"type": "integer", "minimum": 0} for at in range(50)}
    schema = Structural(root(**fields))
    assert schema.is_valid({"spec": dict.fromkeys(fields, 1)})
    assert not schema.is_valid({"spec": dict.fromkeys(fields, -1)})
