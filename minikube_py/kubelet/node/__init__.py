"""The node in the API: its Node object, its Lease and its CSINode, and the plugins it registers."""
