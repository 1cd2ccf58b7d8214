from benchmarks.etcd import command


def test_every_second_round_goes_backwards_through_the_same_measurements() -> None:
    forwards, backwards = list(command.turns(backwards=False)), list(command.turns(backwards=True))
    assert forwards != backwards
    assert sorted(forwards) == sorted(backwards)


def test_clients_of_one_measurement_follow_each_other() -> None:
    clients = [
        client for client, what, count in command.turns(backwards=False) if (what, count) == ("put", 32)
    ]
    assert clients == ["gateway", "ours", "coalescing", "aetcd", "etcd3gw"]
