"""The typed maps under the name that users of txaioetcd know; see `tor_async_etcd.maps.pmap`."""

from tor_async_etcd.maps.pmap import *  # noqa: F403 - all the names that it offers
from tor_async_etcd.maps.pmap import __all__ as __all__
