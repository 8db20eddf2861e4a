"""metrics.k8s.io: the CPU and memory that nodes and pods use now, as `kubectl top` and autoscalers read it."""
