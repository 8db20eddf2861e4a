"""What `meta.cel` offers, as its documentation tells; that is where it is to be had."""

from minikube_py.meta.cel.authorizers import Account, Authorizer, Decide, Decision, request_resource
from minikube_py.meta.cel.environment import ADMISSION, MATCH_CONDITIONS, NAMESPACE, REQUEST
from minikube_py.meta.cel.errors import CompileError, CostExceeded, EvaluationError, WrongResult
from minikube_py.meta.cel.program import BUDGET, CALL_LIMIT, MATCH_BUDGET, Program, Variables, compile
from minikube_py.meta.cel.schemas import object_of, optional_of
from minikube_py.meta.cel.types import AUTHORIZER, DYN, RESOURCE_CHECK, CelType
from minikube_py.meta.cel.values import ABSENT, Lazy, Present

__all__ = [
    "ABSENT",
    "ADMISSION",
    "AUTHORIZER",
    "BUDGET",
    "CALL_LIMIT",
    "DYN",
    "MATCH_BUDGET",
    "MATCH_CONDITIONS",
    "NAMESPACE",
    "REQUEST",
    "RESOURCE_CHECK",
    "Account",
    "Authorizer",
    "CelType",
    "CompileError",
    "CostExceeded",
    "Decide",
    "Decision",
    "EvaluationError",
    "Lazy",
    "Present",
    "Program",
    "Variables",
    "WrongResult",
    "compile",
    "object_of",
    "optional_of",
    "request_resource",
]
