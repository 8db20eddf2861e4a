"""An in-process cluster for pytest, and object builders."""
