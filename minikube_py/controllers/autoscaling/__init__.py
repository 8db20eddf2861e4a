"""The HorizontalPodAutoscaler's pure parts: replicas from measurements, and how fast they may change."""
