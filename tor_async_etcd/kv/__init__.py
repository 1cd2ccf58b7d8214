"""Keys and values: the client, transactions, leases, watches and large reads."""
