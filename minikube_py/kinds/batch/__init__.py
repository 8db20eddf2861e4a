"""Kinds of the batch/v1 API."""
