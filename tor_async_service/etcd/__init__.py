"""What a service does with etcd: election, witness."""
