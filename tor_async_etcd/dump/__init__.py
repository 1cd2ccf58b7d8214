"""The commands etcd-export and etcd-import."""
