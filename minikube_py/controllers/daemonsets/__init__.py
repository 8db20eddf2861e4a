"""The DaemonSet controller's pure parts: placement, rollout, revisions, status."""
