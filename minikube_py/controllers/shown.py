"""Values as the texts of Kubernetes' events and conditions show them. Pure."""

from minikube_py.meta.objects import Obj


def shown_selector(selector: Obj) -> str:
    """A label selector as Kubernetes' events write it."""
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    terms = "".join(
        f"LabelSelectorRequirement{{Key:{term.get('key')},Operator:{term.get('operator')},"
        f"Values:[{' '.join(term.get('values') or ())}],}},"
        for term in selector.get("matchExpressions") or ()
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{terms}}},}}"
    )
