"""Kinds of the apiextensions.k8s.io/v1 API."""
