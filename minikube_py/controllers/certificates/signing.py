"""Signing: a certificate for an approved request, by the cluster's authority. Slow (it is done in a thread)."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from minikube_py.controllers.certificates.requests import alternative_names

LIFETIME = timedelta(days=365)
"""The longest that a certificate is valid, and how long where the request does not say."""
SHORTEST = timedelta(minutes=10)
BACKDATE = timedelta(minutes=5)  # for those whose clock is behind
SHORT = timedelta(hours=8)  # one asked for so short a time has that time from now on
_KEY_USAGES = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "data encipherment": "data_encipherment",
    "key agreement": "key_agreement",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
_EXTENDED = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec end system": ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "microsoft sgc": ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": ObjectIdentifier("2.16.840.1.113730.4.1"),
}


@dataclass(frozen=True, slots=True)
class Validity:
    """From when until when."""

    begin: datetime
    end: datetime


def validity(seconds: int | None, now: datetime, last: datetime) -> Validity:
    """When a certificate is valid for which `seconds` were asked; never beyond `last`, the authority's end."""
    wanted = LIFETIME if seconds is None else min(LIFETIME, max(SHORTEST, timedelta(seconds=seconds)))
    begin = now - BACKDATE
    end = now + wanted if wanted <= SHORT else begin + wanted
    return Validity(begin, min(end, last))


def sign(
    asked: x509.CertificateSigningRequest,
    usages: Collection[str],
    seconds: int | None,
    authority: tuple[bytes, bytes],
    now: datetime,
) -> bytes:
    """The certificate (PEM) that the `authority` (its certificate and key, PEM) gives. Errors: ValueError."""
    certificate = x509.load_pem_x509_certificate(authority[0])
    key = serialization.load_pem_private_key(authority[1], None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
        raise ValueError("the authority's key cannot sign certificates")
    if now >= certificate.not_valid_after_utc:
        raise ValueError(f"the signer has expired: NotAfter={certificate.not_valid_after_utc}")
    times = validity(seconds, now, certificate.not_valid_after_utc)
    public = asked.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(asked.subject)
        .issuer_name(certificate.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(times.begin)
        .not_valid_after(times.end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    key_usage = _key_usage(usages)
    if key_usage is not None:
        builder = builder.add_extension(key_usage, critical=True)
    if extended := [_EXTENDED[usage] for usage in usages if usage in _EXTENDED]:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(dict.fromkeys(extended))), critical=False)
    names = alternative_names(asked)
    if names is not None and list(names):
        builder = builder.add_extension(names, critical=False)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM)


def _key_usage(usages: Collection[str]) -> x509.KeyUsage | None:
    """The basic usages, or None where there are none: an extension without any would be no valid one."""
    chosen = {_KEY_USAGES[usage] for usage in usages if usage in _KEY_USAGES}
    if not chosen & {"key_agreement"}:
        chosen -= {"encipher_only", "decipher_only"}  # they mean nothing without it
    if not chosen:
        return None
    return x509.KeyUsage(**{field: field in chosen for field in sorted(set(_KEY_USAGES.values()))})
