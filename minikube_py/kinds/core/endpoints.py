"""Endpoints."""

from minikube_py.meta.kind import Kind

Endpoints = Kind(
    "Endpoints",
    "v1",
    "endpoints",
    short_names=("ep",),
)
