"""Kinds of the events.k8s.io/v1 API."""
