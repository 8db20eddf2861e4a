"""Volume plugins, a file each."""
