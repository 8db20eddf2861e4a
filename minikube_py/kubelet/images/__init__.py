"""Images on the node: pulled by policy with credentials and backoff, and collected when the disk fills up."""
