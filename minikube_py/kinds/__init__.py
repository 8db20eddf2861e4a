"""One file per resource kind, in a folder per API group."""
