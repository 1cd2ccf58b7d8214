from benchmarks.cost.command import calls_in

_METRICS = """\
# TYPE couchdb_call_duration_seconds histogram
couchdb_call_duration_seconds_bucket{le="0.005",operation="bulk_get",status="200"} 7.0
couchdb_call_duration_seconds_count{operation="bulk_get",status="200"} 7.0
couchdb_call_duration_seconds_sum{operation="bulk_get",status="200"} 0.1
couchdb_call_duration_seconds_count{operation="bulk_docs",status="201"} 5.0
couchdb_call_duration_seconds_count{operation="bulk_docs",status="0"} 1.0
couchdb_call_duration_seconds_count{operation="look_up",status="200"} 2.0
couchdb_call_duration_seconds_count{operation="fetch",status="200"} 3.0
couchdb_call_duration_seconds_count{operation="information",status="200"} 100.0
http_request_duration_seconds_count{handler="FruitHandler",method="PUT",status="200"} 50.0
"""


def test_calls_for_documents_are_counted_whatever_became_of_them() -> None:
    assert calls_in(_METRICS) == 18.0
