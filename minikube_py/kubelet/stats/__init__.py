"""What the node, its pods and their containers use, as the Summary, as metrics, and for evictions."""
