"""Devices: which ones there are, what a claim asks for, and which it gets (dynamic resource allocation)."""
