"""CEL: the language and its standard functions, by tables, and against cel-cpp."""

from typing import Any

import pytest
from cel_expr_python import cel as oracle  # type: ignore[import-untyped]

from minikube_py.meta import cel

TRUE = [
    "1 + 2 * 3 == 7",
    "-7 / 2 == -3 && -7 % 2 == -1 && 7 % -2 == 1",
    "0x1F == 31 && 12u == 12u && 1e3 == 1000.0",
    "'a' + 'b' == 'ab' && b'a' + b'b' == b'ab'",
    r"'\u00e9' == 'é' && '\x41' == 'A' && r'\d' == '\\d' && '''a'b''' == 'a\'b'",
    "size('é') == 1 && 'é'.size() == 1 && b'é'.size() == 2",
    "[1, 2] + [3] == [1, 2, 3] && 2 in [1, 2] && !(3 in [1, 2])",
    "{'a': 1}.a == 1 && {'a': 1}['a'] == 1 && 'a' in {'a': 1}",
    "{1: 'x'}[1] == 'x' && has({'a': 1}.a) && !has({'a': 1}.b)",
    "true || 1 / 0 == 1",
    "1 / 0 == 1 || true",
    "!(false && 1 / 0 == 1) && !(1 / 0 == 1 && false)",
    "(true ? 1 : 2) == 1",
    "[1, 2, 3].all(x, x > 0) && [1, 2].exists(x, x == 2) && [1, 2].exists_one(x, x == 1)",
    "[0, 1].exists(x, 1 / x == 1)",
    "![0, 1].all(x, 1 / x == 2)",
    "[1, 2, 3].map(x, x * 2) == [2, 4, 6] && [1, 2, 3].map(x, x > 1, x * 2) == [4, 6]",
    "[1, 2, 3].filter(x, x > 1) == [2, 3] && {'a': 1}.map(k, k) == ['a']",
    "[[1], [2]].all(x, x.all(y, y > 0))",
    "type(1) == int && type('a') == string && type([1]) == list && type({}) == map",
    "type(1u) == uint && type(null) == null_type && type(type(1)) == type",
    "int('12') == 12 && int(1.9) == 1 && int(-1.9) == -1 && double('1.5') == 1.5 && uint(3) == 3u",
    "string(1) == '1' && string(1.5) == '1.5' && string(true) == 'true' && bool('true')",
    "bytes('a') == b'a' && string(b'a') == 'a'",
    "'a' < 'b' && false < true && b'a' < b'b'",
    "timestamp('2024-02-29T12:30:45.5Z').getDate() == 29",
    "timestamp('2024-02-29T12:30:45.5Z').getMonth() == 1",
    "timestamp('2024-02-29T12:30:45.5Z').getDayOfWeek() == 4",
    "timestamp('2024-02-29T12:30:45.5Z').getDayOfYear() == 59",
    "timestamp('2024-02-29T12:30:45.5Z').getMilliseconds() == 500",
    "timestamp('2024-02-29T12:30:45Z').getHours('+02:00') == 14",
    "timestamp('2024-02-29T12:30:45Z') + duration('24h') == timestamp('2024-03-01T12:30:45Z')",
    "timestamp('2024-01-02T00:00:00Z') - timestamp('2024-01-01T00:00:00Z') == duration('86400s')",
    "string(duration('90m')) == '5400s' && string(timestamp('2024-01-01T00:00:00Z')) == '2024-01-01T00:00:00Z'",
    "int(timestamp('1970-01-01T00:01:00Z')) == 60",
    "'hello'.contains('ell') && 'hello'.startsWith('he') && 'hello'.endsWith('lo')",
    "'hello'.matches('^h.*o$') && matches('hello', 'l+')",
    "optional.of(1).hasValue() && !optional.none().hasValue() && {'a': 1}.?a.orValue(2) == 1",
    "{'a': 1}.?b.orValue(2) == 2 && [1][?0].value() == 1 && {'a': {'b': 1}}.?a.?b.hasValue()",
    "optional.of(2).optMap(x, x * 2).value() == 4 && optional.none().or(optional.of(1)).value() == 1",
    "[?{'a': 1}.?a, ?{'a': 1}.?b] == [1] && {?'x': {'a': 1}.?a} == {'x': 1}",
    "dyn([1])[0] == 1",
]


GO = [
    "1 < 2u && 1.5 > 1 && dyn(1) == 1.0 && dyn(1u) == 1",
    "duration('1h30m').getMinutes() == 90 && duration('-1.5s').getMilliseconds() == -1500",
]
"""What holds in cel-go, as Kubernetes sets it up."""


@pytest.mark.parametrize("expression", TRUE + GO)
def test_what_holds(expression: str) -> None:
    """What the language defines holds."""
    assert cel.compile(expression, {}).evaluate({}) is True


@pytest.mark.parametrize("expression", TRUE)
def test_what_holds_elsewhere(expression: str) -> None:
    """The table of what holds is true for another implementation of CEL, too."""
    config = oracle.NewEnvConfigFromYaml("name: all\nextensions:\n- name: optional\n- name: strings\n")
    if "getHours('+" in expression or "uint(3)" in expression:
        config = oracle.NewEnvConfigFromYaml("name: all\nextensions:\n- name: optional\n")
    assert oracle.NewEnv(config=config).compile(expression).eval().plain_value() is True


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("1 / 0 == 1", "division by zero"),
        ("1 % 0 == 1", "modulus by zero"),
        ("9223372036854775807 + 1 == 0", "integer overflow"),
        ("-9223372036854775808 - 1 == 0", "integer overflow"),
        ("0u - 1u == 0u", "unsigned integer overflow"),
        ("{'a': 1}.b == 1", "no such key: b"),
        ("{'a': 1}['b'] == 1", "no such key: b"),
        ("[1][1] == 1", "index out of bounds: 1"),
        ("dyn('a') + 1 == 2", "no such overload"),
        ("dyn(1).startsWith('a')", "no such overload: startsWith(int, string)"),
        ("dyn('a') ? true : false", "no such overload"),
        ("dyn(null).a == 1", "no such key: a"),
        ("[0].all(x, 1 / x == 1)", "division by zero"),
        ("int('a') == 1", 'strconv.ParseInt: parsing "a": invalid syntax'),
        ("duration(dyn('x')) == duration('1s')", 'time: invalid duration "x"'),
        ("optional.none().value() == 1", "optional.none() dereference"),
        ("{'a': 1, 'a': 2}.size() == 1", "Failed with repeated key [a]"),
        ("x == 1", "no such attribute(s): x"),
    ],
)
def test_what_fails(expression: str, message: str) -> None:
    """An evaluation that fails says so in cel-go's words."""
    with pytest.raises(cel.EvaluationError) as caught:
        cel.compile(expression, {"x": None}).evaluate({})
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("x", "1:1: undeclared reference to 'x' (in container '')\n | x\n | ^"),
        ("1 + foo(1)", "1:8: undeclared reference to 'foo' (in container '')\n | 1 + foo(1)\n | .......^"),
        ("1 + 'a'", "1:3: found no matching overload for '_+_' applied to '(int, string)'\n | 1 + 'a'\n | ..^"),
        ("'a'.size(1)", "found no matching overload for 'size' applied to 'string.(int)'"),
        ("1.size", "1:2: type 'int' does not support field selection"),
        ("[1, 'a']", "1:5: expected type 'int' but found 'string'\n | [1, 'a']\n | ....^"),
        ("1.5.foo", "1:4: type 'double' does not support field selection"),
        ("true ? 1 : 'a'", "found no matching overload for '_?_:_' applied to '(bool, int, string)'"),
        ("(1).all(x, true)", "expression of type 'int' cannot be range of a comprehension"),
        ("[1].all(1, true)", "1:9: argument must be a simple name"),
        ("has(1)", "1:5: invalid argument to has() macro"),
        ("'abc'.matches('[')", "1:15: invalid matches argument"),
        ("duration('x')", "1:10: invalid duration argument"),
        ("1 +", "1:4: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!'"),
        ("1 2", "1:3: Syntax error: extraneous input '2' expecting <EOF>"),
        ("'abc", "1:1: Syntax error: token recognition error at: ''abc'"),
        ("é", "1:1: Syntax error: token recognition error at: 'é'"),
        ("let == 1", "1:1: reserved identifier: let"),
        ("Foo{a: 1}", "undeclared reference to 'Foo' (in container '')"),
        ("9223372036854775808", "invalid int literal"),
        ("(" * 300 + "1" + ")" * 300, "expression recursion limit exceeded: 250"),
    ],
)
def test_what_does_not_compile(expression: str, message: str) -> None:
    """A fault is told with its place and in cel-go's words."""
    with pytest.raises(cel.CompileError) as caught:
        cel.compile(expression, {}, returns="any")
    assert caught.value.message.startswith("compilation failed: ERROR: <input>:")
    assert message in caught.value.message


def test_every_fault_is_told() -> None:
    """Several faults are told one after the other."""
    with pytest.raises(cel.CompileError) as caught:
        cel.compile("x && y", {})
    assert caught.value.message == (
        "compilation failed: ERROR: <input>:1:1: undeclared reference to 'x' (in container '')\n"
        " | x && y\n"
        " | ^\n"
        "ERROR: <input>:1:6: undeclared reference to 'y' (in container '')\n"
        " | x && y\n"
        " | .....^"
    )


@pytest.mark.parametrize(
    ("returns", "message"),
    [
        ("bool", "must evaluate to bool"),
        (("string", "null_type"), "must evaluate to one of [string null_type]"),
    ],
)
def test_results_of_the_wrong_type(returns: Any, message: str) -> None:
    """An expression gives what it must; dyn is not bool."""
    with pytest.raises(cel.WrongResult) as caught:
        cel.compile("dyn(true)", {}, returns=returns)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("expression", "cost"),
    [
        ("1 + 1 == 2", 2),
        ("self.a == 1", 3),
        ("has(self.a)", 1),
        ("self.s.startsWith('a')", 3),
        ("self.s.matches('a')", 3),
        ("[1, 2].all(x, x > 0)", 21),
        ("[1, 2].exists(x, x > 3)", 23),
        ("[1, 2].map(x, x).size() == 2", 49),
    ],
)
def test_costs(expression: str, cost: int) -> None:
    """Steps cost what Kubernetes counts."""
    program = cel.compile(expression, {"self": None})
    program.evaluate({"self": {"a": 1, "s": "a"}})
    assert program.cost == cost


def test_a_limit_ends_an_evaluation() -> None:
    """An evaluation that costs too much ends, and nothing absorbs that."""
    lists = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"
    program = cel.compile(f"{lists}.exists(a, {lists}.all(b, a + b > 0 || true)) || true", {})
    with pytest.raises(cel.CostExceeded, match="operation cancelled: actual cost limit exceeded"):
        program.evaluate({}, limit=50)


async def test_what_takes_long_runs_aside() -> None:
    """A long evaluation goes to a thread, and gives the same."""
    numbers = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"
    inner = "a + b + c + d > 0"
    for name in "dcba":
        inner = f"{numbers}.all({name}, {inner})"
    assert await cel.compile(inner, {}).evaluate_aside({}) is True


def test_lazy_values_are_made_once() -> None:
    """A field of a Lazy is made when it is first asked for, and kept."""
    made = []
    variables = cel.object_of({"x": cel.compile("1", {}, returns="any").type})

    def make() -> int:
        made.append(1)
        return 1

    program = cel.compile(
        "variables.x + variables.x == 2 && (true || variables.x == 3)", {"variables": variables}
    )
    assert program.evaluate({"variables": cel.Lazy({"x": make})}) is True
    assert made == [1]
