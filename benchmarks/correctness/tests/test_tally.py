from benchmarks.correctness.tally import Tally


def test_lost_and_doubled_changes_are_seen() -> None:
    tally = Tally(acknowledged=10, unknown=2, change_count=9)
    assert (tally.lost, tally.doubled) == (1, 0)
    tally = Tally(acknowledged=10, unknown=2, change_count=13)
    assert (tally.lost, tally.doubled) == (0, 1)
    tally = Tally(acknowledged=2, change_count=2)
    tally.answers.update([1, 1])
    assert tally.lost == 1
