"""The admission of CertificateSigningRequests: who may approve and sign, and what may be asked for.

Approving and signing need, besides the right to the subresource, the verb `approve` or `sign` on the signer, by
its whole name or its domain (`example.com/*`).
"""

import base64
import binascii

from cryptography import x509
from cryptography.x509.oid import NameOID

from minikube_py.apiserver.admission.base import Plugin, forbid, object_of
from minikube_py.apiserver.authz import MASTERS
from minikube_py.apiserver.rbac import Attributes as Asked
from minikube_py.meta.objects import dig
from minikube_py.registry.base import Attributes

GROUP = "certificates.k8s.io"
REQUESTS = f"certificatesigningrequests.{GROUP}"
CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"
SIGNED = ("certificate", "conditions")


class _SignerPlugin(Plugin):
    """Asks whether the user has a verb on the signer that a request names."""

    operations = frozenset(("UPDATE",))

    def require(self, request: Attributes, verb: str) -> None:
        """Errors: Forbidden where the user may not `verb` for the request's signer."""
        signer = dig(request.old, "spec.signerName") or ""
        for name in (signer, f"{signer.partition('/')[0]}/*"):
            if self.authorizer.allows(request.context.user, Asked(verb, GROUP, "signers", "", "", name)):
                return
        raise forbid(request, f'user not permitted to {verb} requests with signerName "{signer}"')


class CertificateApproval(_SignerPlugin):
    """Approving needs the verb `approve`."""

    name = "CertificateApproval"
    resources = frozenset((f"{REQUESTS}/approval",))

    async def validate(self, request: Attributes) -> None:
        self.require(request, "approve")


class CertificateSigning(_SignerPlugin):
    """Issuing a certificate, or refusing to, needs the verb `sign`."""

    name = "CertificateSigning"
    resources = frozenset((f"{REQUESTS}/status",))

    async def validate(self, request: Attributes) -> None:
        new, old = object_of(request).get("status") or {}, (request.old or {}).get("status") or {}
        if any(new.get(field) != old.get(field) for field in SIGNED):
            self.require(request, "sign")


class CertificateSubjectRestriction(Plugin):
    """No client certificate makes its bearer a member of system:masters."""

    name = "CertificateSubjectRestriction"
    resources = frozenset((REQUESTS,))

    async def validate(self, request: Attributes) -> None:
        spec = object_of(request).get("spec") or {}
        if spec.get("signerName") != CLIENT_SIGNER:
            return
        try:
            asked = x509.load_pem_x509_csr(base64.b64decode(spec.get("request") or "", validate=True))
        except (ValueError, binascii.Error) as error:
            raise forbid(request, f"failed to parse CSR: {error}") from error
        groups = asked.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        if any(group.value == MASTERS for group in groups):
            raise forbid(request, f"use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed")
