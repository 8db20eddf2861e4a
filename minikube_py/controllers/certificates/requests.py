"""Certificate requests as signers see them: decoded, and judged by what each of Kubernetes' signers signs.
Pure.

Source: "Certificates and Certificate Signing Requests", Kubernetes signers, of the documentation (v1.34).
"""

import base64
from collections.abc import Callable, Collection

from cryptography import x509
from cryptography.x509.oid import NameOID

from minikube_py.meta.objects import Obj, dig

SERVING = "kubernetes.io/kubelet-serving"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
CLIENT = "kubernetes.io/kube-apiserver-client"
LEGACY = "kubernetes.io/legacy-unknown"
NODE = "system:node:"
NODES = "system:nodes"
_NODE_USAGES = frozenset(("digital signature", "key encipherment"))
_OPTIONAL = frozenset(("digital signature", "key encipherment"))


def loaded(request: Obj) -> x509.CertificateSigningRequest:
    """The certificate request of a CertificateSigningRequest. Errors: ValueError."""
    return x509.load_pem_x509_csr(base64.b64decode(dig(request, "spec.request") or ""))


def _subject(asked: x509.CertificateSigningRequest, oid: x509.ObjectIdentifier) -> list[str]:
    return [str(found.value) for found in asked.subject.get_attributes_for_oid(oid)]


def common_name(asked: x509.CertificateSigningRequest) -> str:
    """The common name that is asked for; empty for none."""
    return next(iter(_subject(asked, NameOID.COMMON_NAME)), "")


def alternative_names(asked: x509.CertificateSigningRequest) -> x509.SubjectAlternativeName | None:
    """The further names that are asked for, or None."""
    try:
        return asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _kinds_of_names(asked: x509.CertificateSigningRequest) -> set[type[x509.GeneralName]]:
    return {type(name) for name in alternative_names(asked) or ()}


def kubelet_client_fault(asked: x509.CertificateSigningRequest, usages: Collection[str]) -> str:
    """Why this is no request for a kubelet's client certificate; empty where it is one."""
    if _subject(asked, NameOID.ORGANIZATION_NAME) != [NODES]:
        return "subject organization is not system:nodes"
    kinds = _kinds_of_names(asked)
    refused = {
        x509.DNSName: "DNS subjectAltNames are not allowed",
        x509.RFC822Name: "Email subjectAltNames are not allowed",
        x509.IPAddress: "IP subjectAltNames are not allowed",
        x509.UniformResourceIdentifier: "URI subjectAltNames are not allowed",
    }
    for kind, fault in refused.items():
        if kind in kinds:
            return fault
    if not common_name(asked).startswith(NODE):
        return "subject common name does not begin with system:node:"
    return _usage_fault(usages, "client auth")


def serving_fault(asked: x509.CertificateSigningRequest, usages: Collection[str]) -> str:
    """Why this is no request for a kubelet's serving certificate; empty where it is one."""
    if _subject(asked, NameOID.ORGANIZATION_NAME) != [NODES]:
        return "subject organization is not system:nodes"
    kinds = _kinds_of_names(asked)
    if not {x509.DNSName, x509.IPAddress} & kinds:
        return "DNS or IP subjectAltName is required"
    if x509.RFC822Name in kinds:
        return "Email subjectAltNames are not allowed"
    if x509.UniformResourceIdentifier in kinds:
        return "URI subjectAltNames are not allowed"
    if fault := _usage_fault(usages, "server auth"):
        return fault
    return "" if common_name(asked).startswith(NODE) else "subject common name does not begin with system:node:"


def _usage_fault(usages: Collection[str], auth: str) -> str:
    wanted = _NODE_USAGES | {auth}
    if set(usages) in (wanted, wanted - {"key encipherment"}):
        return ""
    return f"usages did not match [{' '.join(sorted(wanted))}]"


def client_fault(asked: x509.CertificateSigningRequest, usages: Collection[str]) -> str:
    """Why this is no request for a client certificate; empty where it is one."""
    for usage in usages:
        if usage != "client auth" and usage not in _OPTIONAL:
            return f"invalid usage for client certificate: {usage}"
    return "" if "client auth" in usages else "missing required usage for client certificate: client auth"


def _anything(asked: x509.CertificateSigningRequest, usages: Collection[str]) -> str:
    return ""


SIGNED: dict[str, Callable[[x509.CertificateSigningRequest, Collection[str]], str]] = {
    SERVING: serving_fault,
    KUBELET_CLIENT: kubelet_client_fault,
    CLIENT: client_fault,
    LEGACY: _anything,
}
"""The signers there are, and what each refuses."""
