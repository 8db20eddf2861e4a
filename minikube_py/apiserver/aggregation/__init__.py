"""kube-aggregator: other API servers behind Services, served under this server's address.

`Aggregator` (in `aggregator`) is all that the rest of the API server sees.
"""
