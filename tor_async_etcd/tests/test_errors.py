from __future__ import annotations

import inspect
import re

from tor_async_etcd import errors


def test_tree_in_the_documentation_is_the_tree() -> None:
    documented: dict[str, str] = {}
    branch = ["EtcdError"]
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"([│ ]*)[├└]── (\w+)", line):
            depth = len(found[1]) // 4 + 1
            branch[depth:] = [found[2]]
            documented[found[2]] = branch[depth - 1]
    actual = {
        name: error.__bases__[0].__name__
        for name, error in inspect.getmembers(errors, inspect.isclass)
        if issubclass(error, errors.EtcdError) and error is not errors.EtcdError
    }
    assert documented == actual
