"""The group resource.k8s.io: devices, and who claims them."""
