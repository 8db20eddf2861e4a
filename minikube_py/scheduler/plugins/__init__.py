"""Scheduler plugins, a file each."""
