"""tor_async_etcd beside other clients."""
