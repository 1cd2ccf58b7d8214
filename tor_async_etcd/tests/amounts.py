"""How much the tests try: little each time, more when it's asked for.

ETCD_EXAMPLES=1000 ETCD_KILLS=20 python -m pytest tor_async_etcd
"""

from __future__ import annotations

import os

from hypothesis import settings

EXAMPLES = int(os.environ.get("ETCD_EXAMPLES", "30"))
KILLS = int(os.environ.get("ETCD_KILLS", "3"))

examples = settings(max_examples=EXAMPLES, deadline=None)
