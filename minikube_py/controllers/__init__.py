"""kube-controller-manager: a file per controller."""
