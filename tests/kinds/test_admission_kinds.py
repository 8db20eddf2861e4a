"""Webhook configurations, ValidatingAdmissionPolicies and their bindings: defaults, refusals, columns."""

from typing import Any

import pytest
from kind_objects import created, meta, refusals, row, updated

from minikube_py.kinds.admissionregistration.mutatingwebhookconfiguration import MutatingWebhookConfiguration
from minikube_py.kinds.admissionregistration.validatingadmissionpolicy import ValidatingAdmissionPolicy
from minikube_py.kinds.admissionregistration.validatingadmissionpolicybinding import (
    ValidatingAdmissionPolicyBinding,
)
from minikube_py.kinds.admissionregistration.validatingwebhookconfiguration import (
    ValidatingWebhookConfiguration,
)
from minikube_py.meta.objects import Obj

RULE = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}


def webhook(**more: Any) -> Obj:
    return {
        "name": "a.example.com",
        "clientConfig": {"service": {"namespace": "default", "name": "hook"}},
        "rules": [RULE],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **more,
    }


def configuration(*webhooks: Obj) -> Obj:
    return {"metadata": meta(), "webhooks": list(webhooks)}


def test_webhook_defaults() -> None:
    """What a webhook leaves open is filled in; changes of webhooks count as generations."""
    stored = created(MutatingWebhookConfiguration, configuration(webhook()))
    (found,) = stored["webhooks"]
    assert found == webhook(
        clientConfig={"service": {"namespace": "default", "name": "hook", "port": 443}},
        rules=[RULE | {"scope": "*"}],
        failurePolicy="Fail",
        matchPolicy="Equivalent",
        namespaceSelector={},
        objectSelector={},
        timeoutSeconds=10,
        reinvocationPolicy="Never",
    )
    assert row(MutatingWebhookConfiguration, stored) == {"Name": "web", "Webhooks": 1, "Age": "60s"}
    changed = updated(MutatingWebhookConfiguration, configuration(webhook(timeoutSeconds=5)), stored)
    same = updated(MutatingWebhookConfiguration, configuration(webhook()), stored)
    assert [one["metadata"]["generation"] for one in (stored, same, changed)] == [1, 1, 2]


def url(text: str) -> Obj:
    return webhook(clientConfig={"url": text})


def rule(**more: Any) -> Obj:
    return webhook(rules=[RULE | more])


HOOK = "webhooks[0]"
FORM = "; desired format: https://host[/path]"


@pytest.mark.parametrize(
    ("hook", "expected"),
    [
        (webhook(), []),
        (
            webhook(name="short"),
            [
                f'{HOOK}.name: Invalid value: "short": '
                "should be a domain with at least three segments separated by dots"
            ],
        ),
        (
            webhook(sideEffects=None),
            [f"{HOOK}.sideEffects: Required value: must specify one of None, NoneOnDryRun"],
        ),
        (
            webhook(sideEffects="Some"),
            [f'{HOOK}.sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"'],
        ),
        (
            webhook(timeoutSeconds=31),
            [f"{HOOK}.timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds"],
        ),
        (
            webhook(admissionReviewVersions=[]),
            [f"{HOOK}.admissionReviewVersions: Required value: must specify one of v1, v1beta1"],
        ),
        (
            webhook(admissionReviewVersions=["v2"]),
            [
                f'{HOOK}.admissionReviewVersions: Invalid value: ["v2"]: '
                "must include at least one of v1, v1beta1"
            ],
        ),
        (
            webhook(clientConfig={}),
            [f"{HOOK}.clientConfig: Required value: exactly one of url or service is required"],
        ),
        (
            url("http://example.com"),
            [f"{HOOK}.clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme{FORM}"],
        ),
        (
            url("https://me@example.com/?a=b#c"),
            [
                f'{HOOK}.clientConfig.url: Invalid value: "me": user information is not permitted in the URL',
                f'{HOOK}.clientConfig.url: Invalid value: "c": fragments are not permitted in the URL',
                f'{HOOK}.clientConfig.url: Invalid value: "a=b": query parameters are not permitted in the URL',
            ],
        ),
        (
            webhook(clientConfig={"service": {"namespace": "a", "name": "b", "path": "x//y", "port": 0}}),
            [
                f"{HOOK}.clientConfig.service.port: Invalid value: 0: "
                "port is not valid: must be between 1 and 65535, inclusive",
                f"{HOOK}.clientConfig.service.path: Invalid value: \"x//y\": must start with a '/'",
                f'{HOOK}.clientConfig.service.path: Invalid value: "x//y": segment[0] may not be empty',
                f'{HOOK}.clientConfig.service.path: Invalid value: "x//y": segment[1] may not be empty',
            ],
        ),
        (
            rule(operations=["*", "CREATE"]),
            [
                f'{HOOK}.rules[0].operations: Invalid value: ["*","CREATE"]: '
                "if '*' is present, must not specify other operations"
            ],
        ),
        (
            rule(resources=["pods/*", "pods/status", "*/*"]),
            [
                f'{HOOK}.rules[0].resources[1]: Invalid value: "pods/status": '
                "if 'pods/*' is present, must not specify pods/status",
                f'{HOOK}.rules[0].resources: Invalid value: ["pods/*","pods/status","*/*"]: '
                "if '*/*' is present, must not specify other resources",
            ],
        ),
        (
            rule(scope="Everywhere", apiVersions=[""]),
            [
                f"{HOOK}.rules[0].apiVersions[0]: Required value",
                f'{HOOK}.rules[0].scope: Unsupported value: "Everywhere": '
                'supported values: "*", "Cluster", "Namespaced"',
            ],
        ),
        (
            webhook(matchConditions=[{"name": "a", "expression": "true"}, {"name": "a", "expression": " "}]),
            [
                f"{HOOK}.matchConditions[1].expression: Required value",
                f'{HOOK}.matchConditions[1].name: Duplicate value: "a"',
            ],
        ),
    ],
)
def test_webhook_refusals(hook: Obj, expected: list[str]) -> None:
    """Webhooks are judged with upstream's words."""
    assert refusals(ValidatingWebhookConfiguration, configuration(hook)) == expected


def test_webhooks_have_names_of_their_own() -> None:
    """Two webhooks of one name are one too many."""
    assert refusals(ValidatingWebhookConfiguration, configuration(webhook(), webhook())) == [
        'webhooks[1].name: Duplicate value: "a.example.com"'
    ]


def test_conditions_must_compile() -> None:
    """An expression that is none is refused with what CEL says of it."""
    hook = webhook(matchConditions=[{"name": "a", "expression": "request.nothing == 1"}])
    (told,) = refusals(ValidatingWebhookConfiguration, configuration(hook))
    assert told.startswith(f'{HOOK}.matchConditions[0].expression: Invalid value: "request.nothing == 1": comp')
    assert "undefined field 'nothing'" in told


def policy(**spec: Any) -> Obj:
    validations = [{"expression": "object.spec.replicas <= 5"}]
    return {
        "metadata": meta(),
        "spec": {"matchConstraints": {"resourceRules": [RULE]}, "validations": validations, **spec},
    }


NOTHING = "validations or auditAnnotations must contain at least one item"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (policy(), []),
        (policy(matchConstraints=None), ["spec.matchConstraints: Required value"]),
        (policy(matchConstraints={}), ["spec.matchConstraints.resourceRules: Required value"]),
        (
            policy(validations=[]),
            [
                f"spec.validations: Required value: {NOTHING}",
                f"spec.auditAnnotations: Required value: {NOTHING}",
            ],
        ),
        (
            policy(validations=[{"expression": ""}]),
            ["spec.validations[0].expression: Required value: expression is not specified"],
        ),
        (
            policy(validations=[{"expression": "true", "message": "a\nb", "reason": "Because"}]),
            [
                'spec.validations[0].message: Invalid value: "a\\nb": message must not contain line breaks',
                'spec.validations[0].reason: Unsupported value: "Because": supported values: '
                '"Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"',
            ],
        ),
        (
            policy(variables=[{"name": "a-b", "expression": "1"}]),
            ['spec.variables[0].name: Invalid value: "a-b": name is not a valid CEL identifier'],
        ),
        (
            policy(
                variables=[{"name": "most", "expression": "5"}],
                validations=[{"expression": "object.spec.replicas <= variables.most"}],
            ),
            [],
        ),
        (
            policy(paramKind={"apiVersion": "", "kind": "A_B"}),
            [
                "spec.paramKind.apiVersion: Required value",
                'spec.paramKind.kind: Invalid value: "A_B": may have mixed case, but should otherwise match: '
                "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
                "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "
                "regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
            ],
        ),
        (
            policy(
                auditAnnotations=[{"key": "a", "valueExpression": "'x'"}, {"key": "a", "valueExpression": ""}]
            ),
            [
                "spec.auditAnnotations[1].valueExpression: Required value: valueExpression is not specified",
                'spec.auditAnnotations[1].key: Duplicate value: "a"',
            ],
        ),
    ],
)
def test_policy_refusals(found: Obj, expected: list[str]) -> None:
    """Policies are judged with upstream's words."""
    assert refusals(ValidatingAdmissionPolicy, found) == expected


@pytest.mark.parametrize(
    ("expression", "told"),
    [("params.x == 1", "undeclared reference to 'params'"), ("1 + 1", "must evaluate to bool")],
)
def test_policy_expressions_must_compile(expression: str, told: str) -> None:
    """Only what is there may be named, and a validation is true or false."""
    (found,) = refusals(ValidatingAdmissionPolicy, policy(validations=[{"expression": expression}]))
    assert told in found


def binding(**spec: Any) -> Obj:
    return {"metadata": meta(), "spec": {"policyName": "p", "validationActions": ["Deny"], **spec}}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (binding(), []),
        (binding(policyName=""), ["spec.policyName: Required value"]),
        (binding(validationActions=[]), ["spec.validationActions: Required value"]),
        (
            binding(validationActions=["Deny", "Warn", "Deny"]),
            [
                'spec.validationActions[2]: Duplicate value: "Deny"',
                'spec.validationActions: Invalid value: ["Deny","Warn","Deny"]: must not contain both Deny '
                "and Warn (repeating the same validation failure information in the API response and headers "
                "serves no purpose)",
            ],
        ),
        (
            binding(paramRef={"name": "a", "selector": {}}),
            [
                "spec.paramRef.name: Forbidden: name and selector are mutually exclusive",
                "spec.paramRef.selector: Forbidden: name and selector are mutually exclusive",
                "spec.paramRef.parameterNotFoundAction: Required value",
            ],
        ),
        (
            binding(paramRef={"parameterNotFoundAction": "Allow"}),
            ["spec.paramRef: Required value: one of name or selector must be specified"],
        ),
    ],
)
def test_binding_refusals(found: Obj, expected: list[str]) -> None:
    """Bindings are judged with upstream's words."""
    assert refusals(ValidatingAdmissionPolicyBinding, found) == expected


@pytest.mark.parametrize(
    ("ref", "shown"),
    [
        (None, "<unset>"),
        ({"name": "a"}, "*/a"),
        ({"name": "a", "namespace": "n"}, "n/a"),
        ({"selector": {"matchLabels": {"x": "y"}}}, "x=y"),
    ],
)
def test_admission_columns(ref: Obj | None, shown: str) -> None:
    """kubectl shows what parameters a binding and a policy have."""
    found = row(ValidatingAdmissionPolicyBinding, binding(**({"paramRef": ref} if ref else {})))
    assert (found["PolicyName"], found["ParamRef"]) == ("p", shown)
    kind = {"apiVersion": "example.com/v1", "kind": "Limit"}
    assert row(ValidatingAdmissionPolicy, policy(paramKind=kind))["ParamKind"] == "example.com/v1/Limit"
    assert row(ValidatingAdmissionPolicy, policy())["ParamKind"] == "<unset>"
