"""Container management: cgroups by quality of service, what the node has to give, resizes in place."""
