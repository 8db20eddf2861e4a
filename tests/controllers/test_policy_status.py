"""The type check of policies: what its warnings say, and that it reaches the status."""

from typing import Any

import pytest

from minikube_py.controllers.policies.typechecking import resolver, warnings
from minikube_py.kinds.admissionregistration.validatingadmissionpolicy import ValidatingAdmissionPolicy

FOO = {
    "spec": {
        "group": "example.com",
        "names": {"kind": "Foo", "plural": "foos"},
        "versions": [
            {
                "name": "v1",
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}},
                    }
                },
            }
        ],
    }
}


SIZE = [{"name": "size", "expression": "object.spec.size"}]


def policy(expression: str, group: str = "apps", resource: str = "deployments", **spec: Any) -> dict[str, Any]:
    """A policy of one expression on one resource."""
    rule = {
        "apiGroups": [group],
        "apiVersions": ["v1"],
        "resources": [resource],
        "operations": ["CREATE"],
    }
    return {
        "metadata": {"name": "p"},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": expression}],
            **spec,
        },
    }


@pytest.mark.parametrize(
    ("judged", "found"),
    [
        (policy("object.spec.replicas > 1"), []),
        (
            policy("object.replicas > 1"),
            [
                {
                    "fieldRef": "spec.validations[0].expression",
                    "warning": "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'replicas'\n"
                    " | object.replicas > 1\n"
                    " | ......^\n",
                }
            ],
        ),
        (policy("object.replicas > 1", resource="*"), []),
        (policy("object.replicas > 1", resource="deployments/scale"), []),
        (policy("object.spec.size > 1", "example.com", "foos"), []),
        (
            policy(
                "variables.size == 'a'",
                "example.com",
                "foos",
                variables=[{"name": "size", "expression": "object.spec.size"}],
            ),
            [
                {
                    "fieldRef": "spec.validations[0].expression",
                    "warning": "example.com/v1, Kind=Foo: ERROR: <input>:1:16: found no matching overload for "
                    "'_==_' applied to '(int, string)'\n"
                    " | variables.size == 'a'\n"
                    " | ...............^\n",
                }
            ],
        ),
    ],
    ids=["right", "wrong", "wildcard", "subresource", "custom", "variable"],
)
def test_warnings(judged: dict[str, Any], found: list[Any]) -> None:
    """Expressions are checked against the kinds that rules name, custom ones too."""
    assert warnings(judged, resolver([FOO])) == found


async def test_the_status_tells_of_the_check(world: Any) -> None:
    """The controller notes the generation that it has checked."""
    await world.create(ValidatingAdmissionPolicy, policy("object.replicas > 1"))
    await world.settle()
    status = world.the(ValidatingAdmissionPolicy, "p", "")["status"]
    assert status["observedGeneration"] == 1
    assert len(status["typeChecking"]["expressionWarnings"]) == 1
