"""The Deployment controller's pure parts: how a rollout moves, its revisions, its status."""
