"""Admission plugins, a file each, in one ordered list."""
