"""Which pods an autoscaler's target has, and why they cannot be told. Pure."""

from collections.abc import Iterable, Mapping

from minikube_py.controllers.ownership import selector_of
from minikube_py.meta.kind import Kind
from minikube_py.meta.objects import Key, Obj, dig, labels_of
from minikube_py.meta.selectors import Selector, parse_labels


class NotSelected(Exception):
    """The pods cannot be told. `event` and `reason` are those of the event and of the condition, `told` is what
    the condition says, where that is not the message."""

    def __init__(self, event: str, reason: str, message: str, told: str = "") -> None:
        super().__init__(message)
        self.event, self.reason, self.told = event, reason, told or message


def selector_and_text(kind: Kind, target: Obj) -> tuple[Selector, str]:
    """The selector of the target's pods, and the same as text. Errors: NotSelected."""
    try:
        if not kind.scale.selector:
            found = selector_of(target)
        elif text := dig(target, kind.scale.selector):
            found = parse_labels(text)
        else:
            missing = "the HPA target's scale is missing a selector"
            raise NotSelected("SelectorRequired", "InvalidSelector", "selector is required", missing)
    except ValueError as error:
        why = f"couldn't convert selector into a corresponding internal selector object: {error}"
        raise NotSelected("InvalidSelector", "InvalidSelector", why) from error
    return found, str(found)


def check_alone(own: Key, selectors: Mapping[Key, Selector], pods: Iterable[Obj]) -> None:
    """Refuse where another autoscaler's selector matches some of `pods`: `selectors` are those of all.
    Errors: NotSelected."""
    others = {key: found for key, found in selectors.items() if key.namespace == own.namespace and key != own}
    if not others:
        return
    kinds = {frozenset(labels_of(pod).items()) for pod in pods}
    rivals = [key for key, found in others.items() if any(found.matches(dict(labels)) for labels in kinds)]
    if rivals:
        listed = " ".join(sorted(map(str, [own, *rivals])))
        why = f"pods by selector {selectors[own]} are controlled by multiple HPAs: [{listed}]"
        raise NotSelected("AmbiguousSelector", "AmbiguousSelector", why)
