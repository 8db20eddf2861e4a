"""Container logs in CRI's format: read and followed, and rotated by size."""
