"""Kinds of the node.k8s.io/v1 API."""
