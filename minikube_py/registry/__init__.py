"""The verbs on any kind over the store. The only room that sees the store."""
