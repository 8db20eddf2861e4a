"""What every cluster has from its first moment: default roles and bindings, namespaces, priority classes, the
`kubernetes` Service. Pure data in these modules; `apply` puts it into the registry.
"""
