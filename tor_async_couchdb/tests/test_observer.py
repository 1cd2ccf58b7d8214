from tor_async_couchdb.errors import TamperedError
from tor_async_couchdb.observer import Observer


def test_observer_that_counts_nothing_may_be_told_everything() -> None:
    Observer().request_finished("fetch", 200, 0.1)
    Observer().request_finished("fetch", None, 0.1)
    Observer().tampering_detected(TamperedError("a"))
    Observer().document_left_out(TamperedError("a"))
