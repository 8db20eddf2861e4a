"""The machine's side of a cluster: profile, PKI, containerd, CNI, preflight."""
