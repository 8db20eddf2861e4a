"""The pod spec, shared by Pod and by every kind with a pod template: defaults, validation, updates, QoS."""
