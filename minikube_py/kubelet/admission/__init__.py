"""May a pod that is bound to this node run here? The predicates, and the gate that applies them in order."""
