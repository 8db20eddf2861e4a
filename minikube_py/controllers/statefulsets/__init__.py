"""The StatefulSet controller's pure parts: what a pod and its claims look like, the next steps, the status."""
