"""The container runtime behind a Protocol: containerd by gRPC, or simulated. The only room that sees grpc."""
