import pytest

from benchmarks.measuring.fruits import check_changes
from suite.errors import SuiteError


@pytest.mark.parametrize("growth", [90, 95, 100])
def test_changes_between_those_acknowledged_and_those_sent_are_right(growth: int) -> None:
    check_changes("basic", growth, at_least=90, at_most=100)


@pytest.mark.parametrize("growth", [89, 101])
def test_changes_that_are_missing_or_that_nobody_sent_are_an_error(growth: int) -> None:
    with pytest.raises(SuiteError, match=f"basic: 90 changes were acknowledged .* grew by {growth}"):
        check_changes("basic", growth, at_least=90, at_most=100)
