"""The way to backends: a session for requests that are passed on, and what went wrong in the words that
Kubernetes' clients show people."""

import socket
import ssl

import aiohttp

from minikube_py.errors import ApiError

_UNKNOWN_AUTHORITY = "x509: certificate signed by unknown authority"
_VERIFICATION = {
    7: _UNKNOWN_AUTHORITY,
    10: "x509: certificate has expired or is not yet valid",
    9: "x509: certificate has expired or is not yet valid",
    18: _UNKNOWN_AUTHORITY,
    19: _UNKNOWN_AUTHORITY,
    20: _UNKNOWN_AUTHORITY,
    21: _UNKNOWN_AUTHORITY,
}
"""OpenSSL's verification results (X509_V_ERR_*) as Go names them."""


_PASSED_ON = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")
"""Headers that are the client's own to send or to leave out."""


def passing_session() -> aiohttp.ClientSession:
    """A session whose requests and answers are passed on as they are: no cookies, no decompression, no limit
    but 30 s to connect."""
    return aiohttp.ClientSession(
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=30),
        connector=aiohttp.TCPConnector(limit=0),
        skip_auto_headers=_PASSED_ON,
    )


def words(error: BaseException, server_name: str = "") -> str:
    """Why a request failed: of an aiohttp error, an OSError, a TimeoutError or an ApiError."""
    if isinstance(error, ApiError):
        return error.message
    if isinstance(error, TimeoutError | aiohttp.ServerTimeoutError):
        return "context deadline exceeded"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _verification(error.certificate_error, server_name or error.host)
    if isinstance(error, aiohttp.ClientConnectorError):
        return dial_words(error.os_error, error.host, error.port, server_name)
    if isinstance(error, ssl.SSLCertVerificationError):
        return _verification(error, server_name)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "EOF"
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return "read: connection reset by peer"
    return str(error) or type(error).__name__


def dial_words(error: OSError, host: str, port: int | None, server_name: str = "") -> str:
    """Why no connection came about."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return _verification(error, server_name or host)
    if isinstance(error, ssl.SSLError):
        if error.reason == "WRONG_VERSION_NUMBER":
            return "http: server gave HTTP response to HTTPS client"
        return f"remote error: tls: {(error.reason or 'handshake failure').lower().replace('_', ' ')}"
    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {host}: no such host"
    if isinstance(error, ConnectionRefusedError):
        return f"dial tcp {where}: connect: connection refused"
    if isinstance(error, TimeoutError):
        return f"dial tcp {where}: i/o timeout"
    return f"dial tcp {where}: connect: {(error.strerror or str(error)).lower()}"


def _verification(error: BaseException, name: str) -> str:
    code = getattr(error, "verify_code", 0)
    if code in (62, 64):
        why = f"x509: certificate is not valid for the name {name}"
    else:
        why = _VERIFICATION.get(code) or f"x509: {getattr(error, 'verify_message', '') or error}"
    return f"tls: failed to verify certificate: {why}"
