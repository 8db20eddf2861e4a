"""Validation of CertificateSigningRequests: what is asked, and how far it may be taken."""

import base64
import binascii
from collections.abc import Iterable

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from minikube_py.meta.kind import Violation
from minikube_py.meta.names import dns1123_label, dns1123_subdomain
from minikube_py.meta.objects import Obj, dig
from minikube_py.meta.violations import duplicate, forbidden, invalid, not_supported, required, too_long

APPROVAL = "approval"
LEGACY_SIGNER = "kubernetes.io/legacy-unknown"
USAGES = (
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
)
_MIN_SECONDS = 600
DECIDED = ("Approved", "Denied")
_LASTING = (*DECIDED, "Failed")
_CONDITIONS, _CERTIFICATE = "status.conditions", "status.certificate"


def validate(request: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of a request. Its spec is never changed, so it is judged once."""
    if old is not None:
        return
    spec = request.get("spec") or {}
    if told := request_fault(spec.get("request") or ""):
        yield invalid("spec.request", spec.get("request") or "", told)
    yield from _usages(spec.get("usages") or [])
    signer = spec.get("signerName") or ""
    if signer == LEGACY_SIGNER:
        yield invalid("spec.signerName", signer, "the legacy signerName is not allowed via this API version")
    else:
        yield from signer_name(signer, "spec.signerName")
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < _MIN_SECONDS:
        told = "may not specify a duration less than 600 seconds (10 minutes)"
        yield invalid("spec.expirationSeconds", seconds, told)


def request_fault(encoded: str) -> str:
    """What is wrong with a base64 PEM certificate request; empty for nothing."""
    try:
        pem = base64.b64decode(encoded)
    except (ValueError, binascii.Error) as error:
        return str(error)
    if b"-----BEGIN CERTIFICATE REQUEST-----" not in pem:
        return "PEM block type must be CERTIFICATE REQUEST"
    try:
        if not x509.load_pem_x509_csr(pem).is_signature_valid:
            return "x509: the signature of the request is not valid"
    except (ValueError, InvalidSignature, UnsupportedAlgorithm) as error:
        return f"x509: malformed certificate request: {error}"
    return ""


def _usages(usages: list[str]) -> Iterable[Violation]:
    if not usages:
        yield required("spec.usages")
    for index, usage in enumerate(usages):
        if usage not in USAGES:
            yield not_supported(f"spec.usages[{index}]", usage, USAGES)
    for index, usage in enumerate(usages):
        if usage in usages[:index]:
            yield duplicate(f"spec.usages[{index}]", usage)


def signer_name(signer: str, path: str) -> Iterable[Violation]:
    """The refusals of a signer's name: a domain and a path, `example.com/signer-name`."""
    if not signer:
        yield required(path)
        return
    if signer.count("/") != 1:
        told = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        yield invalid(path, signer, told)
        return
    domain, _, rest = signer.partition("/")
    if len(domain) > 253:
        yield too_long(path, 253)
    for part, rule in ((domain, dns1123_label), (rest, dns1123_subdomain)):
        for label in part.split("."):
            if faults := rule(label):
                for reason in faults:
                    yield invalid(path, part, f'validating label "{label}": {reason}')
                break
        if part is domain and "." not in domain:
            yield invalid(path, domain, "should be a domain with at least two segments separated by dots")
    if len(signer) > 253 + 1 + 253 + 63 + 1:
        yield too_long(path, 253 + 1 + 253 + 63 + 1)


def validate_status(request: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of a write to the status: it neither approves nor denies, and sets a certificate once."""
    yield from _conditions(request)
    before = old or {}
    for type in _LASTING:
        yield from _kept(request, before, type)
    for type in DECIDED:
        if len(_of_type(request, type)) > len(_of_type(before, type)):
            yield forbidden(_CONDITIONS, f'updates may not add a condition of type "{type}"')
    certificate, known_one = dig(request, _CERTIFICATE, ""), dig(before, _CERTIFICATE, "")
    if certificate != known_one and known_one:
        yield forbidden(_CERTIFICATE, "updates may not modify existing certificate content")
    if certificate and (told := certificate_fault(certificate)):
        yield invalid(_CERTIFICATE, "<certificate data>", told)


def validate_approval(request: Obj, old: Obj | None) -> Iterable[Violation]:
    """The refusals of a write to the approval: what is decided stays."""
    yield from _conditions(request)
    for type in _LASTING:
        yield from _kept(request, old or {}, type)


def certificate_fault(encoded: str) -> str:
    """What is wrong with a base64 chain of PEM certificates; empty for nothing."""
    try:
        pem = base64.b64decode(encoded)
    except (ValueError, binascii.Error) as error:
        return str(error)
    if b"-----BEGIN " in pem and b"-----BEGIN CERTIFICATE-----" not in pem:
        return "only CERTIFICATE PEM blocks are allowed"
    try:
        x509.load_pem_x509_certificates(pem)
    except ValueError:
        return "must contain at least one CERTIFICATE PEM block"
    return ""


def _of_type(request: Obj, type: str) -> list[Obj]:
    return [found for found in dig(request, _CONDITIONS, ()) if found.get("type") == type]


def _kept(request: Obj, old: Obj, type: str) -> Iterable[Violation]:
    if len(_of_type(request, type)) < len(_of_type(old, type)):
        yield forbidden(_CONDITIONS, f'updates may not remove a condition of type "{type}"')


def _conditions(request: Obj) -> Iterable[Violation]:
    seen: list[str] = []
    for index, found in enumerate(dig(request, _CONDITIONS, ())):
        path, type, status = f"{_CONDITIONS}[{index}]", found.get("type") or "", found.get("status") or ""
        allowed = ("True",) if type in _LASTING else ("False", "True", "Unknown")
        if not type:
            yield required(f"{path}.type")
        if not status:
            yield required(f"{path}.status")
        elif status not in allowed:
            yield not_supported(f"{path}.status", status, allowed)
        if type in DECIDED and any(other in seen for other in DECIDED if other != type):
            yield invalid(f"{path}.type", type, "Approved and Denied conditions are mutually exclusive")
        if type in seen:
            yield duplicate(f"{path}.type", type)
        seen.append(type)
