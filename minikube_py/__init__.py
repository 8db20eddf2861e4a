"""minikube-py: a real Kubernetes cluster in one asyncio Python process."""

__version__ = "0.1.0"

KUBERNETES_VERSION = "v1.34.0"
"""The Kubernetes release whose behaviour and API the cluster serves."""
