"""What a service can use etcd for: elections, and the records of a witness."""
