"""Validation of webhook configurations."""

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from minikube_py.kinds.admissionregistration.expressions import validate_match_conditions
from minikube_py.kinds.admissionregistration.matching import FAILURE_POLICIES, MATCH_POLICIES, validate_rule
from minikube_py.kinds.selectors import validate_label_selector
from minikube_py.meta.kind import Violation
from minikube_py.meta.names import dns1035_label, dns1123_subdomain, port_number
from minikube_py.meta.objects import Obj
from minikube_py.meta.violations import duplicate, invalid, not_supported, required

REVIEWS = ("v1", "v1beta1")
_SIDE_EFFECTS = ("None", "NoneOnDryRun")
_REINVOCATIONS = ("IfNeeded", "Never")
_MAX_TIMEOUT = 30
_FORM = "; desired format: https://host[/path]"


def validate_webhooks(configuration: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of a MutatingWebhookConfiguration or a ValidatingWebhookConfiguration."""
    seen: set[str] = set()
    before = {hook.get("name"): hook for hook in (old or {}).get("webhooks") or ()}
    for index, webhook in enumerate(configuration.get("webhooks") or ()):
        path, name = f"webhooks[{index}]", webhook.get("name") or ""
        yield from _webhook(webhook, path)
        same = before.get(name, {}).get("matchConditions") == webhook.get("matchConditions")
        if not (old is not None and same):  # what compiled once is not compiled again
            conditions = webhook.get("matchConditions") or []
            yield from validate_match_conditions(conditions, f"{path}.matchConditions") if conditions else ()
        yield from review_versions(
            webhook.get("admissionReviewVersions") or [], f"{path}.admissionReviewVersions"
        )
        if name and name in seen:
            yield duplicate(f"{path}.name", name)
        seen.add(name)


def _webhook(webhook: Obj, path: str) -> Iterable[Violation]:
    yield from qualified(webhook.get("name") or "", f"{path}.name")
    for index, rule in enumerate(webhook.get("rules") or ()):
        yield from validate_rule(rule, f"{path}.rules[{index}]")
    for field, allowed in (
        ("failurePolicy", FAILURE_POLICIES),
        ("matchPolicy", MATCH_POLICIES),
        ("sideEffects", _SIDE_EFFECTS),
        ("reinvocationPolicy", _REINVOCATIONS),
    ):
        value = webhook.get(field)
        if value is None and field == "sideEffects":
            yield required(f"{path}.{field}", f"must specify one of {', '.join(allowed)}")
        elif value is not None and value not in allowed:
            yield not_supported(f"{path}.{field}", value, allowed)
    timeout = webhook.get("timeoutSeconds")
    if timeout is not None and not 1 <= timeout <= _MAX_TIMEOUT:
        told = "the timeout value must be between 1 and 30 seconds"
        yield invalid(f"{path}.timeoutSeconds", timeout, told)
    for field in ("namespaceSelector", "objectSelector"):
        yield from validate_label_selector(webhook.get(field), f"{path}.{field}")
    yield from client_config(webhook.get("clientConfig") or {}, f"{path}.clientConfig")


def qualified(name: str, path: str) -> Iterable[Violation]:
    """The refusals of a name that must be a domain of at least three segments."""
    if not name:
        yield required(path)
    elif faults := dns1123_subdomain(name):
        yield invalid(path, name, ",".join(faults))
    elif name.count(".") < 2:
        yield invalid(path, name, "should be a domain with at least three segments separated by dots")


def review_versions(versions: Sequence[str], path: str) -> Iterable[Violation]:
    """The refusals of the versions of AdmissionReviews (or ConversionReviews) that a webhook understands."""
    if not versions:
        yield required(path, f"must specify one of {', '.join(REVIEWS)}")
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            yield invalid(f"{path}[{index}]", version, "duplicate version")
            continue
        for reason in dns1035_label(version):
            yield invalid(f"{path}[{index}]", version, reason)
    if not set(versions) & set(REVIEWS):
        yield invalid(path, list(versions), f"must include at least one of {', '.join(REVIEWS)}")


def client_config(config: Obj, path: str) -> Iterable[Violation]:
    """The refusals of how a webhook is reached."""
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        yield required(path, "exactly one of url or service is required")
    elif url is not None:
        yield from _url(url, f"{path}.url")
    elif service is not None:
        yield from _service(service, f"{path}.service")


def _url(url: str, path: str) -> Iterable[Violation]:
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError as error:
        yield required(path, f"url must be a valid URL: {error}{_FORM}")
        return
    if parts.scheme != "https":
        yield invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{_FORM}")
    if not host:
        yield invalid(path, host, f"host must be specified{_FORM}")
    if "@" in parts.netloc:
        yield invalid(path, parts.netloc.rpartition("@")[0], "user information is not permitted in the URL")
    if parts.fragment:
        yield invalid(path, parts.fragment, "fragments are not permitted in the URL")
    if parts.query:
        yield invalid(path, parts.query, "query parameters are not permitted in the URL")


def _service(service: Obj, path: str) -> Iterable[Violation]:
    if not service.get("name"):
        yield required(f"{path}.name", "service name is required")
    if not service.get("namespace"):
        yield required(f"{path}.namespace", "service namespace is required")
    port, at = service.get("port", 443), service.get("path") or ""
    if faults := port_number(port):
        yield invalid(f"{path}.port", port, f"port is not valid: {','.join(faults)}")
    if at in ("", "/"):
        return
    if at == "//":
        yield invalid(f"{path}.path", at, "segment[0] may not be empty")
        return
    if not at.startswith("/"):
        yield invalid(f"{path}.path", at, "must start with a '/'")
    for index, step in enumerate(at[1:].removesuffix("/").split("/")):
        if not step:
            yield invalid(f"{path}.path", at, f"segment[{index}] may not be empty")
            continue
        for reason in dns1123_subdomain(step):
            yield invalid(f"{path}.path", at, f"segment[{index}]: {reason}")
