"""Admission: what may change or refuse a write after it is authorized, a file for each plugin.

A new plugin is a file here and a line in `chain.PLUGINS`, whose order is the order in which they run.
"""
