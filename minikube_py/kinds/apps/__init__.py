"""Kinds of the apps/v1 API."""
