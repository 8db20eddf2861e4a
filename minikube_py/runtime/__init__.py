"""The container runtime behind a Protocol: containerd by gRPC, or simulated. The only room that sees grpc."""

import os

# Read by grpc when it is imported: without it every subprocess may log that fork handlers are skipped.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
