"""Kinds of the v1 API."""
