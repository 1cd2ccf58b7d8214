"""HTTP to etcd's JSON gateway: connections, endpoints, retries, authentication, encoding."""
