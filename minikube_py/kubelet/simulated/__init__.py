"""Simulated nodes: kubelets without machine and runtime, so that a cluster is large where a laptop is small."""
