"""CEL: Kubernetes' libraries, schemas as types, estimates, the authorizer."""

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from minikube_py.meta import cel
from minikube_py.meta.cel import estimates
from minikube_py.meta.cel.authorizers import Account, Decision
from minikube_py.meta.kind import Kind
from minikube_py.meta.schema import Type, schema_for, type_of

LIBRARIES = [
    "[1, 2, 3].isSorted() && !['b', 'a'].isSorted() && [1, 2].sum() == 3 && [1.5, 0.5].sum() == 2.0",
    "[1, 3, 2].max() == 3 && ['b', 'a'].min() == 'a' && [duration('1s')].sum() == duration('1s')",
    "[1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2 && ['a'].indexOf('b') == -1",
    "[1, 2, 3, 4].slice(1, 3) == [2, 3] && [1, 1, 2].distinct() == [1, 2] && [1, 2].reverse() == [2, 1]",
    "[[1, 2], [3]].flatten() == [1, 2, 3] && [3, 1].sort() == [1, 3] && lists.range(3) == [0, 1, 2]",
    "['bb', 'a'].sortBy(s, s.size()) == ['a', 'bb']",
    "'abc 123'.find('[0-9]+') == '123' && 'abc'.find('[0-9]') == ''",
    "'123 abc 456'.findAll('[0-9]+') == ['123', '456'] && '1 2 3'.findAll('[0-9]', 2) == ['1', '2']",
    "url('https://example.com:80/path?a=1&a=2').getHost() == 'example.com:80'",
    "url('https://[::1]:80/').getHostname() == '::1' && url('/a b').getEscapedPath() == '/a%20b'",
    "url('https://example.com/?a=1&a=2').getQuery() == {'a': ['1', '2']}",
    "url('http://a').getScheme() == 'http'",
    "isURL('https://a') && !isURL('a') && isURL('/path') && !isURL('../relative') && !isURL('http://a b/')",
    "quantity('1.5Gi').isGreaterThan(quantity('1Gi')) && quantity('50k').asInteger() == 50000",
    "quantity('1').add(quantity('500m')).compareTo(quantity('1500m')) == 0 && isQuantity('1Ki')",
    "!isQuantity('1.3.4') && quantity('-1').sign() == -1 && quantity('5').sub(2) == quantity('3')",
    "!quantity('500m').isInteger() && quantity('500m').asApproximateFloat() == 0.5",
    "ip('192.168.0.1').family() == 4 && ip('::1').isLoopback() && isIP('::') && !isIP('1.2.3.04')",
    "ip('fe80::1').isLinkLocalUnicast() && ip('0.0.0.0').isUnspecified() && ip('8.8.8.8').isGlobalUnicast()",
    "ip.isCanonical('2001:db8::1') && !ip.isCanonical('2001:DB8::1') && string(ip('::1')) == '::1'",
    "cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))",
    "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8')",
    "cidr('10.1.2.3/8').prefixLength() == 8 && cidr('10.1.2.3/8').ip() == ip('10.1.2.3')",
    "!isCIDR('10.0.0.0')",
    "!format.dns1123Label().validate('a-b').hasValue() && format.dns1123Label().validate('A').hasValue()",
    "format.named('uuid').value().validate('x').value() == ['does not match the UUID format']",
    "!format.named('none').hasValue() && !format.date().validate('2024-01-01').hasValue()",
    "!format.labelValue().validate('a_b').hasValue() && format.qualifiedName().validate('/').hasValue()",
    "semver('1.2.3-alpha.1').isLessThan(semver('1.2.3')) && semver('1.10.0').compareTo(semver('1.9.9')) == 1",
    "semver('v1.2', true).minor() == 2 && isSemver('1.0.0') && !isSemver('1.0') && !isSemver('01.0.0')",
    "sets.contains([1, 2, 3], [2, 3]) && sets.equivalent([1, 1], [1]) && !sets.intersects([1], [2])",
    "'%s is %d, %.1f'.format(['a', 1, 2.25]) == 'a is 1, 2.2' && '%x %b %o'.format([255, 5, 8]) == 'ff 101 10'",
    "'hello'.charAt(1) == 'e' && 'hello'.indexOf('l') == 2 && 'hello'.lastIndexOf('l') == 3",
    "'hello'.substring(1, 3) == 'el' && 'a,b'.split(',') == ['a', 'b'] && ['a', 'b'].join('-') == 'a-b'",
    "'aXb'.lowerAscii() == 'axb' && 'a'.upperAscii() == 'A' && ' a '.trim() == 'a'",
    "'aa'.replace('a', 'b', 1) == 'ba'",
    "'%.40f'.format([0.5]).size() == 42 && '%e'.format([1234.5]) == '1.234500e+03'",
    "{'a': 1, 'b': 2}.all(k, v, k != '' && v > 0) && [1, 2].exists(i, v, i == 1 && v == 2)",
    "[1, 2].transformList(i, v, i + v) == [1, 3] && {'a': 1}.transformMap(k, v, v + 1) == {'a': 2}",
    "{'a': 'b'}.transformMapEntry(k, v, {v: k}) == {'b': 'a'} && [1, 2].existsOne(i, v, v == 2)",
    "math.greatest(1, 5, 3) == 5 && math.least([4, 2]) == 2 && math.ceil(1.2) == 2.0 && math.abs(-1) == 1",
]
"""What Kubernetes' documentation says of its libraries."""


@pytest.mark.parametrize("expression", LIBRARIES)
def test_libraries(expression: str) -> None:
    """The functions of the libraries do what Kubernetes documents."""
    assert cel.compile(expression, {}).evaluate({}) is True


TEXT = {"type": "string"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "minReplicas": {"type": "integer"},
        "replicas": {"type": "integer"},
        "maxReplicas": {"type": "integer"},
        "stateCounts": {"type": "object", "additionalProperties": {"type": "integer"}},
        "list1": {"type": "array", "items": TEXT},
        "list2": {"type": "array", "items": TEXT},
        "envars": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "properties": {"name": TEXT, "value": TEXT}},
        },
        "created": {"type": "string", "format": "date-time"},
        "expired": {"type": "string", "format": "date-time"},
        "ttl": {"type": "string", "format": "duration"},
        "day": {"type": "string", "format": "date"},
        "data": {"type": "string", "format": "byte"},
        "health": TEXT,
        "percent": {"x-kubernetes-int-or-string": True},
        "set1": {"type": "array", "x-kubernetes-list-type": "set", "items": TEXT},
        "set2": {"type": "array", "x-kubernetes-list-type": "set", "items": TEXT},
        "ratio": {"type": "number"},
        "nested": {
            "type": "object",
            "properties": {"x": TEXT, "nullable": {"type": "string", "nullable": True}},
        },
        "a.b/c-d": TEXT,
        "namespace": TEXT,
        "__x": TEXT,
        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "anything": {"x-kubernetes-preserve-unknown-fields": True},
        "embedded": {"type": "object", "x-kubernetes-embedded-resource": True},
    },
}
CUSTOM = Kind("Foo", "example.com/v1", "foos", schema=SCHEMA)
OBJECT = {
    "apiVersion": "example.com/v1",
    "kind": "Foo",
    "metadata": {"name": "foo", "labels": {"a": "b"}},
    "minReplicas": 1,
    "replicas": 2,
    "maxReplicas": 3,
    "stateCounts": {"Available": 1},
    "list1": ["a"],
    "list2": [],
    "envars": [{"name": "MY_ENV", "value": "abc"}, {"name": "B", "value": "1"}],
    "created": "2024-01-01T00:00:00Z",
    "expired": "2024-01-02T00:00:00Z",
    "ttl": "1h",
    "day": "2024-01-01",
    "data": "YWJj",
    "health": "ok",
    "percent": "99%",
    "set1": ["a", "b"],
    "set2": ["b", "a"],
    "ratio": 1,
    "nested": {"x": "y", "nullable": None},
    "a.b/c-d": "1",
    "namespace": "2",
    "__x": "3",
    "open": {"a": 1},
    "embedded": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}},
}


@pytest.mark.parametrize(
    "rule",
    [
        "self.minReplicas <= self.replicas && self.replicas <= self.maxReplicas",
        "'Available' in self.stateCounts",
        "(self.list1.size() == 0) != (self.list2.size() == 0)",
        "self.envars.filter(e, e.name == 'MY_ENV').all(e, e.value.matches('^[a-zA-Z]*$'))",
        "has(self.expired) && self.created + self.ttl < self.expired",
        "self.health.startsWith('ok')",
        "self.envars.exists(w, w.name == 'B' && w.value < '2')",
        "type(self.percent) == string ? self.percent == '99%' : self.percent == 42",
        "self.metadata.name == 'foo'",
        "self.set1 == self.set2 && self.set1.all(x, x in self.set2)",
        "(self.set1 + self.set2).size() == 2",
        "self.envars + self.envars == self.envars",
        "self.day == timestamp('2024-01-01T00:00:00Z') && self.data == b'abc' && self.ratio == 1.0",
        "self.a__dot__b__slash__c__dash__d == '1' && self.__namespace__ == '2' && self.__underscores__x == '3'",
        "self.nested == oldSelf.nested && self.embedded.metadata.name == 'p'",
        "has(self.nested.nullable) && dyn(self.nested.nullable) == null",
        "self.stateCounts.all(k, self.stateCounts[k] > 0) && self.?health.hasValue()",
        "quantity(self.health == 'ok' ? '1' : '2') == quantity('1')",
    ],
)
def test_rules_on_a_schema(rule: str) -> None:
    """Rules see a custom resource as its schema says: timestamps, sets, maps, escaped names."""
    kind = type_of(CUSTOM)
    assert cel.compile(rule, {"self": kind, "oldSelf": kind}).evaluate({"self": OBJECT, "oldSelf": OBJECT})


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("self.nope", "1:5: undefined field 'nope'\n | self.nope\n | ....^"),
        ("self.metadata.labels.a == 'b'", "undefined field 'labels'"),
        ("self.open.a == 1", "undefined field 'a'"),
        ("self.anything == 1", "undefined field 'anything'"),
        ("self.replicas == 'a'", "found no matching overload for '_==_' applied to '(int, string)'"),
        ("self.list1.all(x, x > 1)", "found no matching overload for '_>_' applied to '(string, int)'"),
        ("self.stateCounts.a.b", "type 'int' does not support field selection"),
        ("self['replicas'] == 1", "found no matching overload for '_[_]' applied to '(object, string)'"),
        ("self.created == '2024'", "applied to '(timestamp, string)'"),
    ],
)
def test_rules_are_checked_against_the_schema(rule: str, message: str) -> None:
    """A rule that does not fit the schema does not compile."""
    with pytest.raises(cel.CompileError) as caught:
        cel.compile(rule, {"self": type_of(CUSTOM)})
    assert message in caught.value.message


def test_an_optional_old_self() -> None:
    """oldSelf may be optional: absent at creation."""
    kind = type_of(CUSTOM)
    program = cel.compile(
        "!oldSelf.hasValue() || oldSelf.value().replicas < self.replicas",
        {"self": kind, "oldSelf": cel.optional_of(kind)},
    )
    assert program.evaluate({"self": OBJECT, "oldSelf": cel.ABSENT}) is True
    assert program.evaluate({"self": OBJECT, "oldSelf": cel.Present(OBJECT)}) is False
    assert program.references == {"self", "oldSelf"}


def test_built_in_kinds_are_types() -> None:
    """An expression on a built-in kind is checked against Kubernetes' schema."""
    kind = schema_for("apps/v1", "Deployment")
    program = cel.compile("object.spec.replicas <= 5 && object.metadata.labels['a'] == 'b'", {"object": kind})
    assert program.evaluate({"object": {"spec": {"replicas": 1}, "metadata": {"labels": {"a": "b"}}}}) is True
    with pytest.raises(cel.CompileError, match="undefined field 'replica'"):
        cel.compile("object.spec.replica <= 5", {"object": kind})


def _property(schema: dict[str, Any]) -> Type:
    return type_of(Kind("X", "x.io/v1", "xs", schema={"type": "object", "properties": {"x": schema}}))


@pytest.mark.parametrize(
    ("schema", "rule", "above"),
    [
        ({"type": "array", "items": TEXT}, "self.x.all(a, self.x.all(b, a == b))", True),
        (
            {"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 10}},
            "self.x.all(a, self.x.all(b, a == b))",
            False,
        ),
        ({"type": "string"}, "self.x.contains(self.x)", True),
        ({"type": "string", "maxLength": 100}, "self.x.contains(self.x)", False),
        ({"type": "string", "enum": ["a", "b"]}, "self.x.contains(self.x)", False),
        ({"type": "array", "items": {"type": "integer"}}, "self.x.all(a, a > 0)", False),
    ],
)
def test_estimates(schema: dict[str, Any], rule: str, above: bool) -> None:
    """Nested loops and searches over what has no limits cost more than a rule may."""
    program = cel.compile(rule, {"self": _property(schema)})
    assert (program.max_cost > estimates.ESTIMATE_LIMIT) == above


@pytest.mark.parametrize(
    ("schema", "count"),
    [
        ({"type": "array", "maxItems": 7, "items": TEXT}, 7),
        ({"type": "array", "items": TEXT}, 1048575),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, 449389),
        ({"type": "string", "maxLength": 5}, 20),
        ({"type": "string"}, 3145726),
    ],
)
def test_most_elements(schema: dict[str, Any], count: int) -> None:
    """How many elements fit, said by the schema or by the size of a request."""
    assert estimates.max_elements(_property(schema).fields["x"]) == count


def _decide(asked: Mapping[str, str], account: Account) -> Decision:
    if account is not None:
        return Decision(account == ("ns", "account"))
    if "path" in asked:
        return Decision(asked == {"path": "/healthz", "verb": "get"}, "by path")
    return Decision(asked["verb"] == "create" and asked["resource"] == "pods", "by verb")


@pytest.mark.parametrize(
    "expression",
    [
        "authorizer.path('/healthz').check('get').allowed()",
        "authorizer.path('/healthz').check('get').reason() == 'by path'",
        "authorizer.group('').resource('pods').check('create').allowed()",
        "!authorizer.group('').resource('pods').subresource('log').namespace('a').name('b').check('x').allowed()",
        "authorizer.requestResource.check('create').allowed()",
        "!authorizer.requestResource.check('delete').errored()",
        "authorizer.serviceAccount('ns', 'account').group('').resource('x').check('y').allowed()",
    ],
)
def test_authorizer(expression: str) -> None:
    """Expressions may ask what the user, or a ServiceAccount, may do."""
    authorizer = cel.Authorizer(_decide)
    request = {"requestResource": {"group": "", "version": "v1", "resource": "pods"}, "namespace": "n"}
    values = {
        "authorizer": authorizer,
        "authorizer.requestResource": cel.request_resource(authorizer, request),
    }
    assert cel.compile(expression, cel.ADMISSION).evaluate(values) is True


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("authorizer.path(' ').check('get').allowed()", "path must not be empty"),
        ("authorizer.group('').resource('').check('get').allowed()", "resource must not be empty"),
    ],
)
def test_authorizer_refuses(expression: str, message: str) -> None:
    """What asks for nothing is an error."""
    with pytest.raises(cel.EvaluationError, match=message):
        cel.compile(expression, cel.ADMISSION).evaluate({"authorizer": cel.Authorizer(_decide)})


def test_the_language_is_loaded_by_its_first_use() -> None:
    """What only may come to expressions does not load what evaluates them."""
    users = "minikube_py.meta.structural, minikube_py.kinds.admissionregistration.policyvalidation"
    shown = "print('minikube_py.meta.cel' in sys.modules, 'minikube_py.meta.cel.api' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", f"import sys, {users}; {shown}"], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["True", "False"]
