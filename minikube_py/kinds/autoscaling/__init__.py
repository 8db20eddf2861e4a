"""Kinds of the autoscaling/v1 and v2 APIs."""
