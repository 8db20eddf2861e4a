"""CEL as Kubernetes v1.34 speaks it: compile an expression once, evaluate it on JSON values many times.

    program = compile("self.replicas <= self.max", {"self": type_of(kind)})   # CompileError
    program.evaluate({"self": obj})                                            # EvaluationError

`compile(expression, variables, *, returns="bool")` checks the expression against the types of its variables:

* `None` (or `DYN`): dynamically typed, any JSON value (`object`, `oldObject` and `params` of admission).
* a `meta.schema.Type`: the value is JSON of that schema; date-time and duration strings become timestamps and
  durations, `byte` bytes, set and map lists compare without order, field names are escaped (`__dot__`, ...).
* a `CelType` of `types` or `environment`: `REQUEST`, `NAMESPACE`, `AUTHORIZER`, `RESOURCE_CHECK`,
  `optional_of(a schema.Type or CelType)` (for oldSelf with optionalOldSelf; its values are `Present(json)` and
  `ABSENT`), `object_of({"x": type of variable x})` for `variables` (`Program.type` is such a type).

`environment.ADMISSION` has all of admission's variables with their types (`object`, `oldObject`, `request`,
`params`, `namespaceObject`, `authorizer`, `authorizer.requestResource`; the last is one key with a dot in it),
`environment.MATCH_CONDITIONS` those of a webhook's matchConditions. Their values: plain JSON, but
`Authorizer(decide)` and `request_resource(authorizer, request)` of `authorizers`.

`returns` is one of bool, string, int, any, or a tuple of these. What a program returns is JSON, too (timestamps
and durations as text), but for values of no JSON form, which are given as they are.

* `CompileError.message` is what follows `Invalid value: "...": ` in upstream's refusals:
  `compilation failed: ERROR: <input>:1:6: undefined field 'x'\n | self.x\n | ....^`, or `must evaluate to bool`
  (then it is a `WrongResult`; CRDs word it `cel expression must evaluate to a bool`).
* `EvaluationError.message` is cel-go's: `no such key: x`, `no such overload: ...`, `division by zero`.
  `CostExceeded` is one: `operation cancelled: actual cost limit exceeded`.
* `Program.evaluate(values, limit=CALL_LIMIT)`: values by variable; a callable stands for a value that is made
  when it is first used (variables of a policy). `Program.cost` is what the last evaluation cost, in Kubernetes'
  units, to be taken off a shared budget (`BUDGET` for an object, `MATCH_BUDGET` for match conditions).
* `Program.references`: the names of the variables that it uses (`oldSelf`: a transition rule).
* `Program.type`: the type of what it returns; `str(program.type)`, as messages show it.
* `Program.max_cost`: the estimate of its greatest cost, from maxItems, maxLength, maxProperties of the schemas
  (unbounded where there are none); `estimates.max_elements(schema.Type)` is the greatest number of elements of
  one list or map, and `estimates.ESTIMATE_LIMIT`, `estimates.TOTAL_LIMIT` what CRDs refuse above.

Guarantees: no I/O, no clock; values are never changed; a program may be evaluated any number of times (in
threads too, but then `cost` is of no use). `Program.evaluate` is synchronous, and 60,000 units take some 20 ms:
`await program.evaluate_aside(values, limit)` runs what takes longer in a thread.
The parts of the language are loaded when the first name of this module is looked up: a cluster without
expressions never needs them, and they would take a fiftieth of its start.
Limits: no protobuf messages, enums or containers.
Source: the CEL language definition; "Common Expression Language in Kubernetes".
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minikube_py.meta.cel.api import *  # noqa: F403


def __getattr__(name: str) -> Any:
    """A name of the module (PEP 562), by whose first use everything is loaded. Errors: AttributeError."""
    if name.startswith("__") or find_spec(f"{__name__}.{name}") is not None:  # the import statement goes on
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.api"), name)
