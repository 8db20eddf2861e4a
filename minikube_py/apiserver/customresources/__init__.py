"""Custom resources: the kinds that CustomResourceDefinitions define, from their creation to their end."""
