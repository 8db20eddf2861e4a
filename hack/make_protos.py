"""Generate runtime/proto/*_pb2.py from the trimmed .proto files beside them (needs grpcio-tools).

The generated files are committed, so that users need protobuf only. Run again after a change of a .proto file.
"""

import importlib.resources
import sys
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "minikube_py" / "runtime" / "proto"


def main() -> int:
    """Write the modules; protoc's exit code. The root as include path gives descriptors unique file names."""
    bundled = importlib.resources.files("grpc_tools") / "_proto"
    arguments = ["protoc", f"-I{ROOT}", f"-I{bundled}", f"--python_out={ROOT}"]
    return int(protoc.main([*arguments, *(str(path) for path in sorted(FOLDER.glob("*.proto")))]))


if __name__ == "__main__":
    sys.exit(main())
