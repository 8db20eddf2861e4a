"""The Job controller's pure parts: indexes, pod failure policy, counting, and what to do next."""
