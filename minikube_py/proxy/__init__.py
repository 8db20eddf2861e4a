"""kube-proxy: Services forwarded by nftables."""
