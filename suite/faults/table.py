"""All faults, a row each: what people see, and the metric that moves."""

from suite.faults.fault import Fault, Grade
from suite.faults.link import Link, late, one_in, percent
from suite.faults.masters import MastersLink
from suite.faults.processes import Clock, Killed, Leaders
from suite.faults.stage import Stage
from tor_async_couchdb.testing.fault_proxy import answered, cut_after
from tor_async_etcd.testing import EtcdServer

_RETRY_AFTER = {"Retry-After": "1"}
_NO_ANSWER = 'db_client_operation_duration_seconds_count{db_response_status_code=""}'
_SECONDS_AWAY = Grade(5, 1, 60, "s")
_ONLY_ONE_GRADE = Grade(1, 1, 1, "link")


def faults_on(stage: Stage) -> list[Fault]:
    """The faults that can be played on this stage."""
    faults = _of_services(stage)
    if stage.link is not None:
        faults += _of_the_link(stage.link)
    if stage.couchdb.stand_in is not None:
        faults += _of_the_database(stage)
    if stage.masters is not None:
        faults += _of_the_masters(stage, stage.masters)
    if stage.etcd is not None:
        faults += _of_the_leader(stage, stage.etcd)
    return faults


def _of_the_link(link: Link) -> list[Fault]:
    def refuse(_: float) -> None:
        link.refuse()

    return [
        Fault(
            "database-slow",
            "Every request to the database takes longer: p50 and p99 rise, and more writes lose their race.",
            "db_client_operation_duration_seconds_sum",
            Grade(300, 10, 5000, "ms"),
            lambda ms: link.put("slow", late(ms / 1000)),
            lambda: link.remove("slow"),
        ),
        Fault(
            "answers-cut",
            "The connection breaks after a write was applied: the service looks whether it was, and neither "
            "loses nor repeats it.",
            _NO_ANSWER,
            Grade(5, 1, 100, "writes per cut"),
            lambda count: link.put("cut", one_in(round(count), cut_after, "_bulk_docs")),
            lambda: link.remove("cut"),
        ),
        Fault(
            "too-many-requests",
            "The database answers 429 with Retry-After: requests fail with 503 and say when to come back.",
            'db_client_operation_duration_seconds_count{db_response_status_code="429"}',
            Grade(30, 1, 100, "%"),
            lambda share: link.put("429", percent(share, answered(429, headers=_RETRY_AFTER))),
            lambda: link.remove("429"),
        ),
        Fault(
            "unavailable",
            "A gateway answers 503 with Retry-After: reads are tried again, within the retry budget.",
            'db_client_operation_duration_seconds_count{db_response_status_code="503"}',
            Grade(30, 1, 100, "%"),
            lambda share: link.put("503", percent(share, answered(503, headers=_RETRY_AFTER))),
            lambda: link.remove("503"),
        ),
        Fault(
            "connections-refused",
            "No service reaches the database: each answers 503 at once, and is well again as soon as it can.",
            _NO_ANSWER,
            _SECONDS_AWAY,
            refuse,
            link.accept,
            ends_by_itself=True,
        ),
    ]


def _of_the_database(stage: Stage) -> list[Fault]:
    def kill(_: float) -> None:
        stage.keeper.kill()

    return [
        Fault(
            "database-killed",
            "The database is killed (-9) and started again: requests fail with 503 for a while, and what was "
            "acknowledged is there.",
            _NO_ANSWER,
            _SECONDS_AWAY,
            kill,
            stage.keeper.start,
            ends_by_itself=True,
        )
    ]


def _of_the_masters(stage: Stage, link: MastersLink) -> list[Fault]:
    def cut(_: float) -> None:
        link.cut()

    faults = [
        Fault(
            "masters-cut",
            "The masters no longer replicate, and both take changes: fruits fork, and merge when this ends.",
            "replication_conflicts_found_total",
            _ONLY_ONE_GRADE,
            cut,
            link.join,
        )
    ]
    if link.can_be_slow:
        faults.append(
            Fault(
                "masters-slow",
                "Changes reach the other master late: more fruits are changed on both sides and conflict.",
                "replication_conflicts_found_total",
                Grade(500, 10, 5000, "ms"),
                lambda ms: link.delay(ms / 1000),
                lambda: link.delay(0),
            )
        )
    clock = Clock(stage.supervisor, stage.supervisor.of(link.sample)[-1].label)
    faults.append(
        Fault(
            "clock-ahead",
            "The clock of one master is fast: in a conflict its colors win, even if they were set earlier.",
            "replication_values_superseded_total",
            Grade(3600, 1, 86400, "s"),
            clock.set_ahead,
            clock.set_right,
        )
    )
    return faults


def _of_the_leader(stage: Stage, etcd: EtcdServer) -> list[Fault]:
    killed = Leaders(stage.supervisor)
    suspended = Leaders(stage.supervisor)

    def kill_etcd(_: float) -> None:
        etcd.kill()

    def start_etcd() -> None:
        etcd.start()
        etcd.wait_until_ready()

    return [
        Fault(
            "leader-killed",
            "The leader is killed: within about five seconds another process leads, in a higher term.",
            "leader_term",
            Grade(1, 1, 2, "processes"),
            killed.kill,
            killed.restart,
        ),
        Fault(
            "leader-suspended",
            "The leader stands still for longer than its lease: another leads, and etcd refuses what the old "
            "one writes when it wakes up.",
            "leader_term",
            Grade(10, 6, 60, "s"),
            suspended.suspend,
            suspended.resume,
            ends_by_itself=True,
        ),
        Fault(
            "etcd-away",
            "etcd is killed: nobody leads until it is back, and the health check says why.",
            "leader_term",
            Grade(10, 1, 60, "s"),
            kill_etcd,
            start_etcd,
            ends_by_itself=True,
        ),
    ]


def _of_services(stage: Stage) -> list[Fault]:
    labels = [label for label, service in stage.supervisor.services.items() if service.sample.is_under_load]
    if not labels:
        return []
    killed = Killed(stage.supervisor, labels)
    return [
        Fault(
            "service-killed",
            "Services under load are killed: their clients get no connection until they are started again.",
            "process_start_time_seconds",
            Grade(1, 1, len(labels), "services"),
            killed.kill,
            killed.restart,
        )
    ]
