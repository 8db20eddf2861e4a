"""Kinds of the policy/v1 API."""
