"""What both kinds of webhook configurations share: defaults, generations, columns."""

from datetime import datetime

from minikube_py.kinds.columns import AGE, NAME
from minikube_py.kinds.strategy import if_absent, section
from minikube_py.meta.kind import Column
from minikube_py.meta.objects import Obj

TIMEOUT = 10
"""Seconds that a webhook may take, unless it says otherwise."""


def default_webhooks(configuration: Obj) -> None:
    """Fill in the defaults of each webhook."""
    for webhook in configuration.get("webhooks") or ():
        if_absent(webhook, "failurePolicy", "Fail")
        if_absent(webhook, "matchPolicy", "Equivalent")
        if_absent(webhook, "namespaceSelector", {})
        if_absent(webhook, "objectSelector", {})
        if_absent(webhook, "timeoutSeconds", TIMEOUT)
        default_rules(webhook.get("rules") or ())
        if (service := (webhook.get("clientConfig") or {}).get("service")) is not None:
            if_absent(service, "port", 443)


def default_rules(rules: list[Obj] | tuple[Obj, ...]) -> None:
    """Rules are about both scopes unless they say otherwise."""
    for rule in rules:
        if_absent(rule, "scope", "*")


def prepare_webhooks(configuration: Obj, old: Obj | None) -> None:
    """metadata.generation: 1 at creation, one more whenever the webhooks change."""
    metadata = section(configuration, "metadata")
    if old is None:
        metadata["generation"] = 1
        return
    generation = (old.get("metadata") or {}).get("generation") or 0
    changed = (configuration.get("webhooks") or []) != (old.get("webhooks") or [])
    metadata["generation"] = generation + changed


def _count(configuration: Obj, now: datetime) -> int:
    return len(configuration.get("webhooks") or ())


COLUMNS = (
    NAME,
    Column("Webhooks", _count, "integer", description="How many webhooks it names"),
    AGE,
)
