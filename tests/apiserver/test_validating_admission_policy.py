"""ValidatingAdmissionPolicy through HTTP: verdicts, actions, variables, parameters, the authorizer."""

import json
from typing import Any

import pytest
from api_cluster import Client, Cluster, Kubectl
from policies import BINDINGS, CONFIG_MAPS, POLICIES, binding, check, config_map, in_force, policy, written

SAID = "ValidatingAdmissionPolicy 'rule' with binding 'bound' denied request: "


@pytest.mark.parametrize(
    ("validation", "code", "reason", "message"),
    [
        ({"expression": "false"}, 422, "Invalid", "failed expression: false"),
        ({"expression": "false", "message": "no"}, 422, "Invalid", "no"),
        ({"expression": "false", "message": "no", "reason": "Forbidden"}, 403, "Forbidden", "no"),
        ({"expression": "false", "reason": "Unauthorized"}, 401, "Unauthorized", "failed expression: false"),
        (
            {"expression": "false", "reason": "RequestEntityTooLarge"},
            413,
            "RequestEntityTooLarge",
            "failed expression: false",
        ),
        (
            {"expression": "false", "messageExpression": "'name ' + object.metadata.name", "message": "m"},
            422,
            "Invalid",
            "name c",
        ),
        (
            {"expression": "false", "messageExpression": "'x' + object.nothing", "message": "m"},
            422,
            "Invalid",
            "m",
        ),
        (
            {"expression": "object.spec.x == 1"},
            422,
            "Invalid",
            "expression 'object.spec.x == 1' resulted in error: no such key: spec",
        ),
    ],
    ids=["default", "message", "forbidden", "unauthorized", "large", "expression", "fallback", "error"],
)
async def test_denials(admin: Client, validation: dict[str, Any], code: int, reason: str, message: str) -> None:
    """A denial has the code of its reason, and the message that the policy says."""
    await in_force(admin, policy(validations=[validation]))
    answer = await written(admin, config_map())
    assert (answer.code, answer["reason"]) == (code, reason)
    assert answer["message"] == f'configmaps "c" is forbidden: {SAID}{message}'
    assert answer["details"]["causes"] == [{"message": SAID + message}]


async def test_changes_take_effect_at_once(admin: Client) -> None:
    """A binding, a new expression and a deletion count from the next write on."""
    assert (await admin.post(POLICIES, policy(validations=check("false")))).code == 201
    assert (await written(admin, config_map("a"))).code == 201
    assert (await admin.post(BINDINGS, binding())).code == 201
    assert (await written(admin, config_map("b"))).code == 422
    patch = {"spec": {"validations": check("object.metadata.name == 'b'")}}
    type = "application/merge-patch+json"
    assert (await admin.call("PATCH", f"{POLICIES}/rule", patch, type=type)).code == 200
    assert (await written(admin, config_map("b"))).code == 201
    assert (await written(admin, config_map("d"))).code == 422
    await admin.call("DELETE", f"{BINDINGS}/bound")
    assert (await written(admin, config_map("d"))).code == 201


async def test_warn_and_audit(admin: Client, cluster: Cluster) -> None:
    """Warn and Audit let a write through: one warns, the other annotates the audit event."""
    seen: list[dict[str, str]] = []
    await in_force(
        admin,
        policy(
            validations=check("false", message="no"),
            auditAnnotations=[{"key": "name", "valueExpression": "'n=' + object.metadata.name"}],
        ),
        binding("rule", "Warn", "Audit"),
    )
    inner = cluster.registry.admission

    class Watching:
        async def mutate(self, request: Any) -> None:
            await inner.mutate(request)

        async def validate(self, request: Any) -> None:
            await inner.validate(request)
            seen.append(request.context.audit)

    cluster.registry.admission = Watching()
    answer = await written(admin, config_map())
    told = "Validation failed for ValidatingAdmissionPolicy 'rule' with binding 'bound': no"
    assert (answer.code, answer.headers.getall("Warning")) == (201, [f'299 - "{told}"'])
    assert seen[0]["rule/name"] == "n=c"
    assert json.loads(seen[0]["validation.policy.admission.k8s.io/validation_failure"]) == [
        {
            "message": "no",
            "policy": "rule",
            "binding": "bound",
            "expressionIndex": 0,
            "validationActions": ["Warn", "Audit"],
        }
    ]


async def test_variables_are_composed_and_lazy(admin: Client) -> None:
    """A variable sees those before it; one that fails counts only where it is used."""
    variables = [
        {"name": "data", "expression": "object.data"},
        {"name": "count", "expression": "variables.data.size()"},
        {"name": "broken", "expression": "object.nothing"},
    ]
    rules = check("variables.count < 2 || variables.broken == 1", messageExpression="string(variables.count)")
    await in_force(admin, policy(variables=variables, validations=rules))
    assert (await written(admin, config_map(data={"a": "1"}))).code == 201
    answer = await written(admin, config_map("d", {"a": "1", "b": "2"}))
    fault = 'composited variable "broken" fails to evaluate: no such key: nothing'
    assert answer["message"].endswith(f"resulted in error: {fault}")


@pytest.mark.parametrize(
    ("ref", "code"),
    [
        ({"name": "limits", "namespace": "default", "parameterNotFoundAction": "Deny"}, 422),
        ({"name": "limits", "parameterNotFoundAction": "Deny"}, 422),
        ({"selector": {"matchLabels": {"a": "b"}}, "parameterNotFoundAction": "Deny"}, 422),
        ({"name": "other", "parameterNotFoundAction": "Allow"}, 201),
    ],
    ids=["named", "own namespace", "selected", "missing"],
)
async def test_params(admin: Client, ref: dict[str, Any], code: int) -> None:
    """A policy is evaluated with each object that the binding's paramRef finds."""
    assert (await written(admin, config_map("limits", {"max": "1"}, a="b"))).code == 201
    made = policy(
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        validations=check("object.data.size() <= int(params.data.max)"),
    )
    await in_force(admin, made, binding(paramRef=ref))
    assert (await written(admin, config_map(data={"a": "1", "b": "2"}))).code == code
    assert (await written(admin, config_map("few", {"a": "1"}))).code == 201


@pytest.mark.parametrize(
    ("kind", "ref", "message"),
    [
        (
            "ConfigMap",
            {"name": "other", "parameterNotFoundAction": "Deny"},
            "no params found for policy binding with `Deny` parameterNotFoundAction",
        ),
        (
            "Unknown",
            {"name": "other", "parameterNotFoundAction": "Allow"},
            "paramKind kind `v1, Kind=Unknown` not known",
        ),
        (
            "Node",
            {"name": "other", "namespace": "x", "parameterNotFoundAction": "Allow"},
            "paramRef.namespace must not be provided for a cluster-scoped `paramKind`",
        ),
    ],
)
async def test_params_that_cannot_be_had(admin: Client, kind: str, ref: dict[str, Any], message: str) -> None:
    """A binding that cannot be used refuses what it matches, and says why."""
    made = policy(paramKind={"apiVersion": "v1", "kind": kind}, validations=check("params != null"))
    await in_force(admin, made, binding(paramRef=ref))
    answer = await written(admin, config_map())
    told = f"{SAID}failed to configure binding: {message}"
    assert (answer.code, answer["message"]) == (422, f'configmaps "c" is forbidden: {told}')


async def test_authorizer(cluster: Cluster, admin: Client) -> None:
    """Expressions ask what the request's user, or a ServiceAccount, may do."""
    ask = "authorizer.group('').resource('secrets').namespace('default').check('get').allowed()"
    account = (
        "authorizer.serviceAccount('default', 'default').group('').resource('pods').check('list').allowed()"
    )
    own = "authorizer.requestResource.check('create').allowed()"
    rules = [{"expression": f"{ask} && {own}"}, {"expression": f"!{account}"}]
    await in_force(admin, policy(validations=rules))
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "maker"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}],
    }
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    assert (await admin.post(f"{rbac}/clusterroles", role)).code == 201
    bound = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "maker"},
        "subjects": [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "maker"},
    }
    assert (await admin.post(f"{rbac}/clusterrolebindings", bound)).code == 201
    assert (await written(admin, config_map("a"))).code == 201
    assert (await written(cluster.client("jane"), config_map("b"))).code == 422


@pytest.mark.parametrize(("failure", "code"), [("Fail", 422), ("Ignore", 201)])
async def test_failure_policy(admin: Client, failure: str, code: int) -> None:
    """An expression that cannot be evaluated refuses or is ignored."""
    await in_force(admin, policy(failurePolicy=failure, validations=check("object.nothing == 1")))
    assert (await written(admin, config_map())).code == code


async def test_delete_and_namespaces(admin: Client) -> None:
    """On DELETE object is null; namespaceObject is the namespace that the object is in."""
    made = policy(validations=check("object == null && oldObject.metadata.name != 'kept'"))
    made["spec"]["matchConstraints"]["resourceRules"][0]["operations"] = ["DELETE"]
    await in_force(admin, made)
    named = policy(
        "named", validations=check("namespaceObject.metadata.name == 'default' && request.name == 'kept'")
    )
    await in_force(admin, named, binding("named", name="named"))
    assert (await written(admin, config_map("kept"))).code == 201
    assert (await admin.call("DELETE", f"{CONFIG_MAPS}/kept")).code == 422


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        (
            {"validations": check("object.x +")},
            "spec.validations[0].expression",
            "Syntax error: mismatched input '<EOF>'",
        ),
        (
            {"validations": check("nothing == 1")},
            "spec.validations[0].expression",
            "ERROR: <input>:1:1: undeclared reference to 'nothing' (in container '')\n | nothing == 1\n | ^",
        ),
        ({"validations": check("object.x")}, "spec.validations[0].expression", "must evaluate to bool"),
        (
            {"validations": check("true", messageExpression="1")},
            "spec.validations[0].messageExpression",
            "must evaluate to string",
        ),
        (
            {"validations": check("variables.x"), "variables": [{"name": "y", "expression": "1"}]},
            "spec.validations[0].expression",
            "undefined field 'x'",
        ),
    ],
)
async def test_expressions_are_checked(admin: Client, spec: dict[str, Any], field: str, message: str) -> None:
    """A policy whose expressions do not compile is refused, with the compiler's words."""
    answer = await admin.post(POLICIES, policy(**spec))
    assert answer.code == 422
    cause = answer["details"]["causes"][0]
    assert (cause["field"], message in cause["message"]) == (field, True)


async def test_what_kubectl_shows(kubectl: Kubectl) -> None:
    """kubectl makes the policy of the documentation, and shows its denial."""
    manifest = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: demo-policy.example.com
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - apiGroups: [apps]
      apiVersions: [v1]
      operations: [CREATE, UPDATE]
      resources: [deployments]
  validations:
  - expression: object.spec.replicas <= 5
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: demo-binding-test.example.com
spec:
  policyName: demo-policy.example.com
  validationActions: [Deny]
  matchResources:
    namespaceSelector:
      matchLabels:
        kubernetes.io/metadata.name: default
"""
    made = await kubectl("apply", "-f", "-", input=manifest)
    assert made.stdout.count("created") == 2
    assert (await kubectl("create", "deployment", "web", "--image=nginx", "--replicas=5")).code == 0
    refused = await kubectl("create", "deployment", "big", "--image=nginx", "--replicas=6", check=False)
    by = "ValidatingAdmissionPolicy 'demo-policy.example.com' with binding 'demo-binding-test.example.com'"
    assert f"{by} denied request: failed expression: object.spec.replicas <= 5" in refused.stderr
