import pytest

from tor_async_service.app.application import ServiceApplication
from tor_async_service.conventions import known_method, route_of
from tor_async_service.http.handler import ServiceHandler


class FruitHandler(ServiceHandler):
    async def put(self, fruit_id: str, part: str) -> None: ...


@pytest.mark.parametrize(
    ("pattern", "route"),
    [
        (r"/v1\.0/fruits", "/v1.0/fruits"),
        (r"/v1\.0/fruits/([0-9a-f]{32})", "/v1.0/fruits/{fruit_id}"),
        (r"/v1\.0/fruits/([0-9a-f]{32})/parts/([^/]+)$", "/v1.0/fruits/{fruit_id}/parts/{part}"),
        (r"/fruits/(?P<name>\w+)/(.*)", "/fruits/{name}/{fruit_id}"),
        (r"/a/(.)/(.)/(.)", "/a/{fruit_id}/{part}/{value}"),
        (r"(?:/v1\.0)?/_health", "/_health"),
    ],
)
def test_route_is_the_path_with_the_names_of_the_handlers_arguments(pattern: str, route: str) -> None:
    assert route_of(pattern, FruitHandler) == route


def test_handler_without_a_verb_has_no_names_for_arguments() -> None:
    assert route_of("/things/(.*)", ServiceHandler) == "/things/{value}"


@pytest.mark.parametrize(
    ("method", "known"), [("GET", "GET"), ("PATCH", "PATCH"), ("get", "_OTHER"), ("BREW", "_OTHER")]
)
def test_method_that_http_does_not_have_is_another(method: str, known: str) -> None:
    assert known_method(method) == known


def test_routes_of_an_application_have_templates(app: ServiceApplication) -> None:
    rules = app.default_router.rules[0].target.rules
    assert [rule.target_kwargs["route"] for rule in rules][-2:] == ["/things", "/things/{key}"]
