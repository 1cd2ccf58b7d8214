from benchmarks.measuring.rounds import alternated
from benchmarks.services.measure import PEER, ROWS


def test_the_order_turns_from_round_to_round() -> None:
    assert [alternated(["a", "b", "c"], i) for i in range(3)] == [
        ["a", "b", "c"],
        ["c", "b", "a"],
        ["a", "b", "c"],
    ]


def test_the_peer_is_measured_in_every_row() -> None:
    assert all(PEER in row.contenders for row in ROWS)
