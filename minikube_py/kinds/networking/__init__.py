"""Kinds of the networking.k8s.io/v1 API."""
