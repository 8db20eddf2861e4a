"""The pure parts of the controllers of storage: binding claims and volumes, and what released ones become."""
