"""The kubelet's HTTPS API: logs, exec, attach, port-forward, statistics and metrics."""
