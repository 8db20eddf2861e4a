"""Pushing an exported image to a registry: the OCI distribution specification over the standard library's HTTP.

Blobs that the registry has are not sent again, the manifest goes last. Credentials are given by HTTP Basic, or
for a token where the registry names who gives them. Blocking: call it in a thread.
"""

import base64
import http.client
import json
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from minikube_py.runtime.archive import Blob
from minikube_py.runtime.base import Credentials
from minikube_py.runtime.export import ExportedImage, blob_file
from minikube_py.runtime.reference import Reference

TIMEOUT = 60.0  # seconds without an answer
SHOWN = 2000  # bytes of a refusal
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


class PushFailed(Exception):
    """A registry did not take the image; the message holds its words."""


class NotReached(PushFailed):
    """The registry cannot be reached in this way: connection refused, no TLS, a bad certificate."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A registry's answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


class Push:
    """Pushes to one repository of the registry at `url`; `verify`: its certificate must be good."""

    def __init__(
        self, url: str, repository: str, credentials: Credentials | None, *, verify: bool = True
    ) -> None:
        self._url, self._repository, self._credentials = url, repository, credentials
        self._context = ssl.create_default_context()
        if not verify:
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE
        self._authorization = ""

    def push(self, image: ExportedImage, target: Reference, folder: Path) -> str:
        """Push the image as `target`; the digest of its manifest. Errors: PushFailed, OSError."""
        self._expect(self._ask("GET", f"{self._url}/v2/"), (200, 404))
        for blob in dict.fromkeys((*image.layers, image.config)):
            self._push_blob(blob, folder)
        place = f"{self._base}/manifests/{target.digest or target.tag}"
        data = blob_file(folder, image.manifest).read_bytes()
        answer = self._ask("PUT", place, data, {"Content-Type": image.manifest.media_type})
        self._expect(answer, (200, 201, 202))
        return image.manifest.digest

    @property
    def _base(self) -> str:
        return f"{self._url}/v2/{self._repository}"

    def _push_blob(self, blob: Blob, folder: Path) -> None:
        if self._ask("HEAD", f"{self._base}/blobs/{blob.digest}").status == 200:
            return
        begun = self._ask("POST", f"{self._base}/blobs/uploads/", b"")
        self._expect(begun, (202,))
        location = urljoin(self._url, begun.headers.get("Location", ""))
        mark = "&" if "?" in location else "?"
        place = f"{location}{mark}{urlencode({'digest': blob.digest})}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)}
        self._expect(self._ask("PUT", place, blob_file(folder, blob), headers), (201, 204))

    def _ask(
        self, method: str, url: str, body: bytes | Path | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """An answer; once more with credentials where the registry demands them."""
        answer = self._send(method, url, body, headers)
        if answer.status == 401 and self._authorize(answer.headers.get("WWW-Authenticate", "")):
            answer = self._send(method, url, body, headers)
        return answer

    def _send(self, method: str, url: str, body: bytes | Path | None, headers: dict[str, str] | None) -> Answer:
        sent = {"User-Agent": "minikube-py", **(headers or {})}
        if self._authorization and urlsplit(url).netloc == urlsplit(self._url).netloc:
            sent["Authorization"] = self._authorization
        return self._exchange(method, url, body, sent)

    def _exchange(self, method: str, url: str, body: bytes | Path | None, headers: dict[str, str]) -> Answer:
        connection = self._connection(url)
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            if isinstance(body, Path):
                with body.open("rb") as file:
                    connection.request(method, path, file, headers)
            else:
                connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        except (OSError, http.client.HTTPException) as error:
            raise NotReached(f'{method} "{url}": {error or type(error).__name__}') from error
        finally:
            connection.close()

    def _connection(self, url: str) -> http.client.HTTPConnection:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme == "https":
            return http.client.HTTPSConnection(host, parts.port, timeout=TIMEOUT, context=self._context)
        return http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT)

    def _authorize(self, challenge: str) -> bool:
        """Take the credentials that a challenge asks for; whether there are any."""
        scheme, _, rest = challenge.partition(" ")
        basic = _basic(self._credentials)
        if scheme.lower() == "basic" and basic:
            self._authorization = basic
            return True
        if scheme.lower() != "bearer":
            return False
        asked = dict(_PARAMETER.findall(rest))
        query = {"service": asked.get("service", ""), "scope": f"repository:{self._repository}:pull,push"}
        headers = {"Authorization": basic} if basic else {}
        answer = self._exchange("GET", f"{asked.get('realm', '')}?{urlencode(query)}", None, headers)
        self._expect(answer, (200,))
        given: dict[str, Any] = json.loads(answer.body)
        self._authorization = f"Bearer {given.get('token') or given.get('access_token', '')}"
        return True

    def _expect(self, answer: Answer, codes: tuple[int, ...]) -> None:
        if answer.status not in codes:
            raise PushFailed(f"{self._url} answered {answer.status}: {_words(answer.body)}")


def _basic(credentials: Credentials | None) -> str:
    if credentials is None or not credentials.username:
        return ""
    return "Basic " + base64.b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()


def _words(body: bytes) -> str:
    """The errors of a registry's answer in words."""
    try:
        errors = json.loads(body)["errors"]
        return "; ".join(f"{error.get('code')}: {error.get('message')}" for error in errors)
    except (ValueError, KeyError, TypeError, AttributeError):
        return body[:SHOWN].decode(errors="replace").strip()
