"""Keeping the node from running out of memory, disk and process ids: thresholds, ranking, evictions."""
