"""Kinds of the rbac.authorization.k8s.io/v1 API."""
