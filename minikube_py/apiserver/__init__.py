"""kube-apiserver: HTTPS over the registry."""
