"""Probes and lifecycle hooks, and the actions that both are made of."""
