"""Kinds of the storage.k8s.io/v1 API."""
