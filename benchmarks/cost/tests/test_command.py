from benchmarks.cost.command import calls_in

_METRICS = """\
# TYPE db_client_operation_duration_seconds histogram
db_client_operation_duration_seconds_bucket{le="0.005",db_operation_name="POST /{db}/_bulk_get"} 7.0
db_client_operation_duration_seconds_count{db_operation_name="POST /{db}/_bulk_get"} 7.0
db_client_operation_duration_seconds_sum{db_operation_name="POST /{db}/_bulk_get"} 0.1
db_client_operation_duration_seconds_count{db_operation_name="POST /{db}/_bulk_docs",error_type=""} 5.0
db_client_operation_duration_seconds_count{db_operation_name="POST /{db}/_bulk_docs",error_type="500"} 1.0
db_client_operation_duration_seconds_count{db_operation_name="POST /{db}/_design/{ddoc}/_view/{view}"} 2.0
db_client_operation_duration_seconds_count{db_operation_name="GET /{db}/{docid}"} 3.0
db_client_operation_duration_seconds_count{db_operation_name="GET /{db}"} 100.0
http_server_request_duration_seconds_count{http_route="/v1.0/fruits",http_request_method="PUT"} 50.0
"""


def test_calls_for_documents_are_counted_whatever_became_of_them() -> None:
    assert calls_in(_METRICS) == 18.0
