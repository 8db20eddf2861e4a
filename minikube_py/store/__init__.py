"""etcd's place: a durable, watchable, revisioned key-value store."""
