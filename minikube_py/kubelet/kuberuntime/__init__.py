"""From a PodSpec to the runtime and back: what it is told of sandboxes and containers, start and end."""
