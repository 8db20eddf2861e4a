"""Image references are completed and refused as clients of registries do."""

import pytest

from minikube_py.runtime.reference import BadReference, Reference, parse

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("team/web", "docker.io/team/web:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("localhost/web:1", "localhost/web:1"),
        ("localhost:5000/web", "localhost:5000/web:latest"),
        ("registry.k8s.io/a/b/pause:3.10", "registry.k8s.io/a/b/pause:3.10"),
        (f"nginx@{DIGEST}", f"docker.io/library/nginx@{DIGEST}"),
        (f"ghcr.io/a/b:1@{DIGEST}", f"ghcr.io/a/b:1@{DIGEST}"),
        ("[::1]:5000/web:1", "[::1]:5000/web:1"),
        ("a__b/c-d.e", "docker.io/a__b/c-d.e:latest"),
    ],
)
def test_a_reference_is_completed(text: str, full: str) -> None:
    """Domain, library/ and tag are filled in."""
    assert str(parse(text)) == full


def test_the_parts_of_a_reference() -> None:
    """Each part is known by itself."""
    assert parse("ghcr.io/a/b:1") == Reference("ghcr.io", "a/b", "1", "")


MALFORMED = "invalid reference format"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", MALFORMED),
        (":", MALFORMED),
        ("web:", MALFORMED),
        ("Web", f"{MALFORMED}: repository name (library/Web) must be lowercase"),
        ("ghcr.io/Team/web:1", f"{MALFORMED}: repository name (Team/web) must be lowercase"),
        ("a//b", MALFORMED),
        ("/web", MALFORMED),
        ("web:1:2", MALFORMED),
        ("https://ghcr.io/web", MALFORMED),
        ("web@sha256:12", MALFORMED),
        ("web@sha256:" + "a" * 40, "invalid checksum digest length"),
        ("web@md5:" + "a" * 32, "unsupported digest algorithm"),
        ("web:-x", MALFORMED),
        ("web:" + "a" * 129, MALFORMED),
        ("a b", MALFORMED),
        ("web/", MALFORMED),
        ("../x", MALFORMED),
        ("x" * 256, "repository name must not be more than 255 characters"),
    ],
)
def test_what_is_no_reference_is_refused(text: str, words: str) -> None:
    """The reason is told in the words that clients of registries use."""
    with pytest.raises(BadReference) as refused:
        parse(text)
    assert str(refused.value) == words
