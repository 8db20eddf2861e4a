"""API machinery without I/O: kinds, schema, objects, selectors, patches, quantities, validation."""
