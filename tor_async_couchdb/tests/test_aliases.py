"""The paths of the original: each offers the real thing under its old name."""

import importlib

import pytest

ALIASES = [
    *((f"clparserutil.{name}", f"installer.option_types.{name}") for name in
      ("UserPassword", "boolean", "logging_level", "scheme_host_port", "user_colon_password")),
    *((f"retry_strategy.{name}", f"retries.strategy.{name}") for name in ("RetryStrategy", "retry")),
    *((f"retry_strategy.{name}", f"retries.pauses.{name}") for name in
      ("Pause", "decorrelated_jitter", "equal_jitter", "exponential", "fixed", "full_jitter", "immediately")),
    *((f"tamper.{name}", f"protection.signing.{name}") for name in
      ("Signer", "TamperingSigner", "new_key_set", "sign", "verify")),
    ("tamper.SIGNATURE_PROPERTY_NAME", "model.model.SIGNATURE_PROPERTY_NAME"),
    ("model.Model", "model.model.Model"),
    ("model.Document", "model.model.Document"),
    ("installer.CommandLineParser", "installer.command_line.CommandLineParser"),
    ("installer.main", "installer.command_line.main"),
]  # fmt: skip


def attribute(path: str) -> object:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(f"tor_async_couchdb.{module}"), name)


@pytest.mark.parametrize(("alias", "original"), ALIASES, ids=[alias for alias, _ in ALIASES])
def test_alias_is_the_original(alias: str, original: str) -> None:
    assert attribute(alias) is attribute(original)


@pytest.mark.parametrize("module", ["clparserutil", "retry_strategy", "tamper"])
def test_each_name_that_an_alias_module_offers_is_tested(module: str) -> None:
    offered = importlib.import_module(f"tor_async_couchdb.{module}").__all__
    tested = [alias.rpartition(".")[2] for alias, _ in ALIASES if alias.startswith(f"{module}.")]
    assert sorted(offered) == sorted(tested)
