"""The contract of a running service, from the outside.

Run `nosetests tests.py` or `pytest tests.py` while a service listens at $SERVICE_URL, or else at
http://127.0.0.1:8445. The tests need no empty database: they make their own fruits and delete them.
"""

# ruff: noqa: PT009 - unittest's assertions say what they saw under pynose too, which rewrites no assert.

import base64
import http.client
import json
import os
import re
import threading
import unittest
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar
from urllib.parse import parse_qs, urljoin, urlsplit

import requests
from prometheus_client import parser as prometheus_text
from prometheus_client.openmetrics import parser as openmetrics_text

SERVICE_URL = os.environ.get("SERVICE_URL", "http://127.0.0.1:8445").rstrip("/")
FRUITS_URL = f"{SERVICE_URL}/v1.0/fruits"
# What clients send to make a fruit, or to change one. Each body differs from the next in all its properties.
BODIES: list[dict[str, Any]] = [{"color": color} for color in ("red", "blue", "pink", "black", "white")]
FIRST, SECOND, *_ = BODIES
# By property: values that are refused.
WRONG_VALUES: dict[str, tuple[object, ...]] = {"color": (1, 1.5, True, None, [], ["red"], {}, "")}
# Properties that may be any text but the empty one.
TEXTS: tuple[str, ...] = ("color",)
# Properties that clients send and never see again.
HIDDEN: set[str] = set()
VIEWS = {"fruit_by_fruit_id", "fruit_by_color", "fruit_by_email_hash", "conflicts"}
TIMEOUT_S = 40.0
FRUIT_ID = re.compile(r"[0-9a-f]{32}")
TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}\+00:00")
MAX_BODY_BYTES = 64 * 1024
ABSENT_FRUIT_ID = "0" * 32
HEADERS = (
    *("Accept", "Authorization", "Client-Id", "Cookie", "Idempotency-Key", "If-Match", "If-None-Match"),
    *("Last-Event-ID", "Origin", "TE", "traceparent", "X-Forwarded-For", "X-Request-Id"),
)
PROMETHEUS_ACCEPTS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)


class Client(requests.Session):
    """A client that does what a service may ask of it.

    Each change has an Idempotency-Key of its own. A service that answers 428 wants to know which version a
    change is for: the client reads that, and sends the change again with its ETag.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False

    def request(  # type: ignore[override]  # it has no need of the names of all of its options
        self, method: Any, url: Any, **options: Any
    ) -> requests.Response:
        """The answer; `data` may be a function that makes the body, for each time that it is sent."""
        headers = {"Idempotency-Key": f'"{uuid.uuid4()}"'} | (options.pop("headers", None) or {})
        response = self._send(method, url, headers=headers, **options)
        if response.status_code != 428:
            return response
        etag = self._send("GET", url, timeout=TIMEOUT_S).headers.get("ETag", "*")
        return self._send(method, url, headers=headers | {"If-Match": etag}, **options)

    def _send(self, method: Any, url: Any, *, data: Any = None, **options: Any) -> requests.Response:
        return super().request(method, url, data=data() if callable(data) else data, **options)


class ServiceTestCase(unittest.TestCase):
    """What all classes here need: a client, and the look of a problem document."""

    session: ClassVar[Client]

    @classmethod
    def setUpClass(cls) -> None:
        cls.session = Client()
        cls.addClassCleanup(cls.session.close)

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        return self.session.request(method, url, timeout=TIMEOUT_S, allow_redirects=False, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.request("GET", f"{SERVICE_URL}{path}", **options)

    def assert_problem(self, response: requests.Response, status: int) -> None:
        """The answer is a problem document (RFC 9457) that a person can act on."""
        self.assertEqual(response.status_code, status, response.text)
        self.assertEqual(media_type(response), "application/problem+json")
        problem = response.json()
        self.assertEqual(problem["status"], status)
        for member in ("type", "title", "detail"):
            self.assertIsInstance(problem[member], str)
            self.assertTrue(problem[member].strip(), f"{member} is empty")

    def assert_not_allowed(self, response: requests.Response, allowed: set[str]) -> None:
        """The answer is a 405 that names at least the methods that the resource is for (RFC 9110, 15.5.6)."""
        self.assert_problem(response, 405)
        self.assertLessEqual(allowed, methods(response))
        self.assertNotIn(response.request.method, methods(response))


def seen_of(body: dict[str, Any]) -> dict[str, Any]:
    """What a client that sent the body sees of it again."""
    return {name: value for name, value in body.items() if name not in HIDDEN}


def media_type(response: requests.Response) -> str:
    return response.headers["Content-Type"].partition(";")[0].strip().lower()


def methods(response: requests.Response) -> set[str]:
    return {method.strip() for method in response.headers["Allow"].split(",")}


class TestHead(ServiceTestCase):
    """HEAD answers as GET does, without the body (RFC 9110, section 9.3.2)."""

    def test_head_is_get_without_the_body(self) -> None:
        paths = [f"{prefix}/{name}" for prefix in ("", "/v1.0") for name in ("_health", "_version", "_noop")]
        for path in (*paths, "/_metrics", "/_health?quick=false", "/_health?quick=x", "/_nothing"):
            with self.subTest(path=path):
                expected = self.get(path)
                response = self.request("HEAD", f"{SERVICE_URL}{path}")
                self.assertEqual(response.status_code, expected.status_code)
                self.assertEqual(media_type(response), media_type(expected))
                self.assertEqual(response.content, b"")


class FruitTestCase(ServiceTestCase):
    """Skips itself on a service that isn't about fruits."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        if cls.session.get(f"{FRUITS_URL}?limit=1", timeout=TIMEOUT_S).status_code == 404:
            raise unittest.SkipTest(f"{SERVICE_URL} has no /v1.0/fruits")

    def create(self, body: dict[str, Any] = FIRST) -> dict[str, Any]:
        """A new fruit that is deleted after the test."""
        response = self.request("POST", FRUITS_URL, json=body)
        self.assertEqual(response.status_code, 201, response.text)
        fruit: dict[str, Any] = response.json()
        self.addCleanup(self.delete, fruit["fruit_id"])
        return fruit

    def read(self, fruit_id: str) -> requests.Response:
        return self.request("GET", f"{FRUITS_URL}/{fruit_id}")

    def update(self, fruit_id: str, body: dict[str, Any]) -> requests.Response:
        return self.request("PUT", f"{FRUITS_URL}/{fruit_id}", json=body)

    def delete(self, fruit_id: str) -> requests.Response:
        return self.request("DELETE", f"{FRUITS_URL}/{fruit_id}")

    def assert_fruit(self, fruit: dict[str, Any], body: dict[str, Any], change_count: int) -> None:
        seen = seen_of(body)
        self.assertEqual(set(fruit), {"fruit_id", *seen, "created_on", "updated_on", "change_count"})
        self.assertRegex(fruit["fruit_id"], rf"\A{FRUIT_ID.pattern}\Z")
        self.assertEqual(fruit, fruit | seen)
        self.assertIs(type(fruit["change_count"]), int)
        self.assertEqual(fruit["change_count"], change_count)
        for member in ("created_on", "updated_on"):
            self.assertRegex(fruit[member], rf"\A{TIMESTAMP.pattern}\Z")
        self.assertGreaterEqual(fruit["updated_on"], fruit["created_on"])


class TestFruit(FruitTestCase):
    """One fruit's life."""

    def test_created_fruit_is_answered_with_its_location(self) -> None:
        response = self.request("POST", FRUITS_URL, json=FIRST)
        self.assertEqual(response.status_code, 201, response.text)
        fruit = response.json()
        self.addCleanup(self.delete, fruit["fruit_id"])
        self.assertEqual(media_type(response), "application/json")
        self.assert_fruit(fruit, FIRST, fruit["change_count"])
        located = self.request("GET", urljoin(FRUITS_URL, response.headers["Location"]))
        self.assertEqual(located.status_code, 200, located.text)
        self.assertEqual(located.json(), fruit)

    def test_fruits_have_ids_of_their_own(self) -> None:
        fruit_ids = {self.create()["fruit_id"] for _ in range(5)}
        self.assertEqual(len(fruit_ids), 5)

    def test_fruit_reads_as_it_was_created(self) -> None:
        fruit = self.create(SECOND)
        response = self.read(fruit["fruit_id"])
        self.assertEqual(response.status_code, 200, response.text)
        self.assertEqual(media_type(response), "application/json")
        self.assertEqual(response.json(), fruit)

    def test_text_reads_as_it_was_sent(self) -> None:
        for name in TEXTS:
            with self.subTest(name=name):
                body = FIRST | {name: "vert d'eau 🍏 \"\\\u0000"}
                fruit = self.read(self.create(body)["fruit_id"]).json()
                self.assertEqual(fruit, fruit | seen_of(body))

    def test_texts_that_look_alike_stay_apart(self) -> None:
        spellings = ("Jos\u00e9", "Jose\u0301", "Karl", "Karl\u00ad", "K\uff41rl", " Karl", "karl")
        for name in TEXTS:
            fruits = {spelling: self.create(FIRST | {name: spelling}) for spelling in spellings}
            for spelling, fruit in fruits.items():
                with self.subTest(name=name, spelling=ascii(spelling)):
                    self.assertEqual(self.read(fruit["fruit_id"]).json()[name], spelling)

    def test_update_changes_all_properties_and_counts(self) -> None:
        fruit = self.create()
        response = self.update(fruit["fruit_id"], SECOND)
        self.assertEqual(response.status_code, 200, response.text)
        self.assertEqual(media_type(response), "application/json")
        updated = response.json()
        self.assert_fruit(updated, SECOND, fruit["change_count"] + 1)
        self.assertEqual(updated["fruit_id"], fruit["fruit_id"])
        self.assertEqual(updated["created_on"], fruit["created_on"])
        self.assertEqual(self.read(fruit["fruit_id"]).json(), updated)

    def test_update_to_the_same_values_counts_too(self) -> None:
        fruit = self.create()
        for changes in (1, 2, 3):
            updated = self.update(fruit["fruit_id"], FIRST).json()
            self.assert_fruit(updated, FIRST, fruit["change_count"] + changes)

    def test_updated_on_never_goes_back(self) -> None:
        fruit = self.create()
        updated_on = fruit["updated_on"]
        for body in BODIES[1:]:
            updated = self.update(fruit["fruit_id"], body).json()
            self.assertGreater(updated["updated_on"], updated_on)
            updated_on = updated["updated_on"]

    def test_head_of_a_fruit_and_of_the_list_is_get_without_the_body(self) -> None:
        fruit_id = self.create()["fruit_id"]
        for path, status in (
            (f"/{fruit_id}", 200),
            ("", 200),
            ("?limit=1", 200),
            (f"/{ABSENT_FRUIT_ID}", 404),
        ):
            with self.subTest(path=path):
                response = self.request("HEAD", f"{FRUITS_URL}{path}")
                self.assertEqual(response.status_code, status)
                self.assertEqual(response.content, b"")
        length = self.request("HEAD", f"{FRUITS_URL}/{fruit_id}").headers["Content-Length"]
        self.assertEqual(int(length), len(self.read(fruit_id).content))

    def test_deleted_fruit_is_gone(self) -> None:
        fruit_id = self.create()["fruit_id"]
        response = self.delete(fruit_id)
        self.assertEqual(response.status_code, 200, response.text)
        self.assertEqual(response.content, b"")
        self.assert_problem(self.read(fruit_id), 404)
        self.assert_problem(self.update(fruit_id, SECOND), 404)
        self.assert_problem(self.delete(fruit_id), 404)

    def test_fruit_that_never_was_is_not_found(self) -> None:
        self.assert_problem(self.read(ABSENT_FRUIT_ID), 404)
        self.assert_problem(self.update(ABSENT_FRUIT_ID, SECOND), 404)
        self.assert_problem(self.delete(ABSENT_FRUIT_ID), 404)

    def test_odd_ids_are_not_found(self) -> None:
        fruit_id = self.create()["fruit_id"]
        odd_ids = (
            "x",
            "..",
            "%2e%2e",
            "%2F",
            "a%2Fb",
            "%00",
            "%C3%BC",
            "%F0%9F%8D%8F",
            "_design",
            "_all_docs",
            "A" * 32,
        )
        for odd_id in (*odd_ids, f"{fruit_id}0", f"{fruit_id}%0A", f"%20{fruit_id}", f"{fruit_id}/"):
            for method in ("GET", "PUT", "DELETE"):
                with self.subTest(method=method, odd_id=odd_id):
                    status, content_type = raw_request(method, f"/v1.0/fruits/{odd_id}", body_of(FIRST))
                    self.assertEqual(status, 404)
                    self.assertEqual(content_type, "application/problem+json")
        self.assertEqual(self.read(fruit_id).status_code, 200)

    def test_upper_case_spelling_of_an_id_is_not_found(self) -> None:
        fruit_id = next(
            fruit["fruit_id"] for fruit in iter(self.create, None) if not fruit["fruit_id"].isdigit()
        )
        self.assert_problem(self.read(fruit_id.upper()), 404)


def body_of(properties: dict[str, Any], size_bytes: int = 0) -> bytes:
    """The properties as JSON, with one text, or else the space behind them, made longer up to a size."""
    missing = size_bytes - len(json.dumps(properties))
    if TEXTS:
        properties = properties | {TEXTS[0]: properties[TEXTS[0]] + "r" * missing}
    return json.dumps(properties).ljust(size_bytes).encode()


def raw_request(method: str, path: str, body: bytes) -> tuple[int, str]:
    """Status and media type of the answer to a path that requests would tidy up before it sends it."""
    connection = http.client.HTTPConnection(urlsplit(SERVICE_URL).netloc, timeout=TIMEOUT_S)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.headers.get_content_type()
    finally:
        connection.close()


class TestBadRequests(FruitTestCase):
    """What a fruit service refuses, on POST and on PUT alike."""

    def setUp(self) -> None:
        self.fruit = self.create()

    def send_both(self, data: Any, content_type: str | None = "application/json") -> list[requests.Response]:
        """The answers to POST and PUT. `data` may be a function that makes the body."""
        urls = (("POST", FRUITS_URL), ("PUT", f"{FRUITS_URL}/{self.fruit['fruit_id']}"))
        headers = {"Content-Type": content_type} if content_type else {}
        return [self.request(method, url, data=data, headers=headers) for method, url in urls]

    def assert_both_refused(
        self, data: Any, status: int, content_type: str | None = "application/json"
    ) -> None:
        for response in self.send_both(data, content_type):
            with self.subTest(method=response.request.method):
                self.assert_problem(response, status)
        self.assertEqual(self.read(self.fruit["fruit_id"]).json(), self.fruit)

    def test_malformed_json_is_refused(self) -> None:
        for body in (
            b"{",
            body_of(FIRST)[:-1],
            body_of(FIRST) + b"}",
            b'{"a":b}',
            b"red",
            b'{"a":"\xff"}',
            b"[" * 9999,
        ):
            with self.subTest(body=body[:20]):
                self.assert_both_refused(body, 400)

    def test_empty_body_is_refused(self) -> None:
        self.assert_both_refused(b"", 400)

    def test_json_that_is_no_object_is_refused(self) -> None:
        for document in ([], ["red"], [FIRST], "red", 1, True, None):
            with self.subTest(document=document):
                self.assert_both_refused(json.dumps(document), 400)

    def test_missing_property_is_refused(self) -> None:
        for name in FIRST:
            with self.subTest(name=name):
                others = {other: value for other, value in FIRST.items() if other != name}
                self.assert_both_refused(json.dumps(others), 400)

    def test_wrong_value_is_refused(self) -> None:
        for name, values in WRONG_VALUES.items():
            for value in values:
                with self.subTest(name=name, value=value):
                    self.assert_both_refused(json.dumps(FIRST | {name: value}), 400)

    def test_value_that_is_no_json_is_refused(self) -> None:
        values = (b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b"[" * 9999)
        texts = (b'"\\ud800"', b'"\\x41"', b'"\xed\xa0\x80"', b'"\n"')
        for name in FIRST:
            for value in values + texts:
                with self.subTest(name=name, value=value[:20]):
                    body = json.dumps(FIRST | {name: "VALUE"}).encode().replace(b'"VALUE"', value)
                    self.assert_both_refused(body, 400)

    def test_unknown_property_is_refused_by_name(self) -> None:
        for name in ("no_property", "fruit_id", "change_count", "_id", next(iter(FIRST)).upper()):
            with self.subTest(name=name):
                body = json.dumps(FIRST | {name: "1"})
                self.assert_both_refused(body, 400)
                for response in self.send_both(body):
                    self.assertIn(name, response.json()["detail"])

    def test_other_media_type_is_refused(self) -> None:
        for content_type in (
            "text/plain",
            "application/xml",
            "application/x-www-form-urlencoded",
            "application/jsonx",
            None,
        ):
            with self.subTest(content_type=content_type):
                self.assert_both_refused(body_of(FIRST), 415, content_type)

    def test_json_media_type_may_name_its_charset(self) -> None:
        for content_type in (
            "application/json; charset=utf-8",
            "application/json;charset=UTF-8",
            "Application/JSON",
            "application/json;",
        ):
            with self.subTest(content_type=content_type):
                created, updated = self.send_both(body_of(FIRST), content_type)
                self.assertEqual(created.status_code, 201, created.text)
                self.addCleanup(self.delete, created.json()["fruit_id"])
                self.assertEqual(updated.status_code, 200, updated.text)

    def test_body_over_the_limit_is_refused(self) -> None:
        body = body_of(FIRST, MAX_BODY_BYTES + 1)
        self.assert_both_refused(body, 413)

    def test_chunked_body_over_the_limit_is_refused(self) -> None:
        body = body_of(FIRST, MAX_BODY_BYTES + 1)
        self.assert_both_refused(
            lambda: (body[start : start + 8192] for start in range(0, len(body), 8192)), 413
        )

    def test_chunked_body_within_the_limit_is_taken(self) -> None:
        created, updated = self.send_both(lambda: iter([body_of(SECOND)[:5], body_of(SECOND)[5:]]))
        self.assertEqual(created.status_code, 201, created.text)
        self.addCleanup(self.delete, created.json()["fruit_id"])
        self.assertEqual(updated.status_code, 200, updated.text)
        self.assert_fruit(updated.json(), SECOND, self.fruit["change_count"] + 1)

    def test_body_of_exactly_the_limit_is_taken(self) -> None:
        body = body_of(FIRST, MAX_BODY_BYTES)
        self.assertEqual(len(body), MAX_BODY_BYTES)
        created, updated = self.send_both(body)
        self.assertEqual(created.status_code, 201, created.text[:500])
        self.addCleanup(self.delete, created.json()["fruit_id"])
        self.assertEqual(updated.status_code, 200, updated.text[:500])
        fruit = self.read(self.fruit["fruit_id"]).json()
        self.assertEqual(fruit, fruit | seen_of(json.loads(body)))

    def test_other_methods_are_not_allowed(self) -> None:
        fruit_url = f"{FRUITS_URL}/{self.fruit['fruit_id']}"
        for method, url, allowed in (
            ("PUT", FRUITS_URL, {"GET", "POST"}),
            ("DELETE", FRUITS_URL, {"GET", "POST"}),
            ("PATCH", FRUITS_URL, {"GET", "POST"}),
            ("POST", fruit_url, {"GET", "PUT", "DELETE"}),
            ("PATCH", fruit_url, {"GET", "PUT", "DELETE"}),
        ):
            with self.subTest(method=method, url=url):
                self.assert_not_allowed(self.request(method, url, json=FIRST), allowed)

    def test_options_is_either_supported_or_not_allowed(self) -> None:
        for url in (FRUITS_URL, f"{FRUITS_URL}/{self.fruit['fruit_id']}"):
            with self.subTest(url=url):
                response = self.request("OPTIONS", url)
                self.assertIn(response.status_code, (200, 204, 405))
                if response.status_code == 405:
                    self.assertLessEqual({"GET", "HEAD"}, methods(response))


class TestFruits(FruitTestCase):
    """The list of all fruits. Others may come and go meanwhile; the test's own may not."""

    def pages(self, limit: int) -> list[list[dict[str, Any]]]:
        """All pages of the list, by their links."""
        pages = []
        url: str | None = f"{FRUITS_URL}?limit={limit}"
        while url is not None:
            response = self.request("GET", url)
            self.assertEqual(response.status_code, 200, response.text)
            pages.append(response.json())
            link = response.links.get("next")
            url = urljoin(url, link["url"]) if link else None
        return pages

    def test_list_has_every_fruit_as_it_is(self) -> None:
        fruits = [self.create(body) for body in (FIRST, FIRST, SECOND)]
        response = self.request("GET", FRUITS_URL)
        self.assertEqual(response.status_code, 200, response.text)
        self.assertEqual(media_type(response), "application/json")
        self.assertNotIn("next", response.links)
        listed = {fruit["fruit_id"]: fruit for fruit in response.json()}
        self.assertEqual(len(listed), len(response.json()), "a fruit is listed twice")
        for fruit in fruits:
            self.assertEqual(listed[fruit["fruit_id"]], fruit)

    def test_deleted_fruit_is_not_listed(self) -> None:
        fruit_id = self.create()["fruit_id"]
        self.delete(fruit_id)
        self.assertNotIn(fruit_id, [fruit["fruit_id"] for fruit in self.request("GET", FRUITS_URL).json()])

    def test_pages_together_are_the_list(self) -> None:
        own = {self.create()["fruit_id"] for _ in range(7)}
        for limit in (1, 2, 3, 7, 1000):
            with self.subTest(limit=limit):
                pages = self.pages(limit)
                fruit_ids = [fruit["fruit_id"] for page in pages for fruit in page]
                self.assertEqual(len(fruit_ids), len(set(fruit_ids)), "a fruit is on two pages")
                self.assertLessEqual(own, set(fruit_ids))
                # A fruit that is deleted meanwhile, or that can't be read, leaves a gap in its page.
                self.assertTrue(all(len(page) <= limit for page in pages), "a page is too long")

    def test_fruit_that_is_deleted_between_two_pages_costs_no_other(self) -> None:
        own = [self.create()["fruit_id"] for _ in range(6)]
        first = self.request("GET", f"{FRUITS_URL}?limit=2")
        seen = [fruit["fruit_id"] for fruit in first.json()]
        gone = next(fruit_id for fruit_id in own if fruit_id not in seen)
        self.delete(gone)
        url: str | None = urljoin(FRUITS_URL, first.links["next"]["url"])
        while url is not None:
            response = self.request("GET", url)
            seen += [fruit["fruit_id"] for fruit in response.json()]
            url = urljoin(url, response.links["next"]["url"]) if "next" in response.links else None
        self.assertEqual(len(seen), len(set(seen)))
        self.assertLessEqual({*own} - {gone}, {*seen})

    def test_bad_limit_is_refused(self) -> None:
        for limit in ("0", "-1", "x", "", "1.5", "1e3", "9" * 30, "9" * 5000):
            with self.subTest(limit=limit[:50]):
                self.assert_problem(self.request("GET", FRUITS_URL, params={"limit": limit}), 400)

    def test_start_that_no_link_has_is_refused(self) -> None:
        for start in ("", "8", "x", ABSENT_FRUIT_ID, "WyJhIl0=", "bm8gSlNPTg==", "x" * 9000):
            for limit in ({}, {"limit": "2"}):
                with self.subTest(start=start[:50], limit=limit):
                    response = self.request("GET", FRUITS_URL, params={"start": start, **limit})
                    self.assert_problem(response, 400)

    def test_page_may_start_at_any_key_and_any_document(self) -> None:
        texts = ("", "a" * 20_000, "\u20ac" * 3000)
        keys: tuple[Any, ...] = (*texts, 0, -1.5, 2**53, True, None, [], ["a", 1], {"a": []})
        for key in keys:
            for document_id in ("a/b?c#d", "a" * 9_000):
                cursor = base64.urlsafe_b64encode(json.dumps([key, document_id]).encode()).decode()
                with self.subTest(key=ascii(key)[:50], document_id=document_id[:50]):
                    response = self.request("GET", FRUITS_URL, params={"start": cursor, "limit": "1"})
                    self.assertIn(response.status_code, (200, 400), response.text)

    def test_page_starts_where_its_link_says_also_without_a_limit(self) -> None:
        own = {self.create()["fruit_id"] for _ in range(3)}
        first = self.request("GET", f"{FRUITS_URL}?limit=1")
        query = parse_qs(urlsplit(first.links["next"]["url"]).query)
        rest = self.request("GET", FRUITS_URL, params={"start": query["start"][0]})
        self.assertEqual(rest.status_code, 200, rest.text)
        seen = [fruit["fruit_id"] for response in (first, rest) for fruit in response.json()]
        self.assertEqual(len(seen), len(set(seen)))
        self.assertLessEqual(own, set(seen))


class TestLengths(FruitTestCase):
    """What a client sends may be of any length: at the worst the request is refused."""

    def assert_no_failure(self, method: str, url: str, **options: Any) -> None:
        response = self.request(method, url, **options)
        self.assertLess(response.status_code, 500, response.text)
        if response.status_code >= 400:
            self.assert_problem(response, response.status_code)

    def test_header_of_any_length_is_answered(self) -> None:
        fruit_url = f"{FRUITS_URL}/{self.create()['fruit_id']}"
        for name in HEADERS:
            for value in ("9" * 20_000, '"x",' * 5_000):
                with self.subTest(name=name, value=value[:10]):
                    headers = {name: value, "Connection": "close"}
                    self.assert_no_failure("GET", f"{FRUITS_URL}?limit=1", headers=headers)
                    self.assert_no_failure("GET", fruit_url, headers=headers)
                    self.assert_no_failure("PUT", fruit_url, headers=headers, json=FIRST)

    def test_url_of_any_length_is_answered(self) -> None:
        for size in (9000, 30_000):
            long = "9" * size
            for path in (f"?limit={long}", f"?start={long}", f"?no_parameter={long}", f"/{long}"):
                for method in ("GET", "HEAD"):
                    with self.subTest(method=method, path=path[:20], size=size):
                        response = self.request(method, f"{FRUITS_URL}{path}")
                        self.assertLess(response.status_code, 500)
            self.assert_no_failure("GET", f"{SERVICE_URL}/_health?quick={long}")
            self.assert_no_failure("GET", f"{SERVICE_URL}/readyz?exclude={long}")


class TestConflicts(FruitTestCase):
    """Writers who want the same fruit at the same time."""

    threads = 8
    updates_a_thread = 5

    def in_parallel(
        self, work: Callable[[requests.Session], list[requests.Response]]
    ) -> list[requests.Response]:
        """The answers to what all threads did at once, each with a connection of its own."""
        barrier = threading.Barrier(self.threads, timeout=TIMEOUT_S)

        def run(_: int) -> list[requests.Response]:
            with Client() as session:
                barrier.wait()
                return work(session)

        with ThreadPoolExecutor(self.threads) as pool:
            return [response for responses in pool.map(run, range(self.threads)) for response in responses]

    def test_no_acknowledged_update_is_lost_or_applied_twice(self) -> None:
        fruit = self.create()
        url = f"{FRUITS_URL}/{fruit['fruit_id']}"

        def update(session: requests.Session) -> list[requests.Response]:
            return [session.put(url, json=SECOND, timeout=TIMEOUT_S) for _ in range(self.updates_a_thread)]

        responses = self.in_parallel(update)
        acknowledged = [response for response in responses if response.status_code == 200]
        refused = [response for response in responses if response.status_code != 200]
        self.assertTrue(acknowledged)
        for response in refused:
            if response.status_code == 412:  # the service knows which version the client has seen
                self.assert_problem(response, 412)
                self.assertTrue(response.headers["ETag"])
            else:
                self.assert_problem(response, 409)
                self.assertGreaterEqual(int(response.headers["Conflict-Count"]), 1)
        counts = sorted(response.json()["change_count"] - fruit["change_count"] for response in acknowledged)
        self.assertEqual(counts, list(range(1, len(acknowledged) + 1)))
        self.assertEqual(
            self.read(fruit["fruit_id"]).json()["change_count"], fruit["change_count"] + len(acknowledged)
        )

    def test_one_of_many_deletes_wins(self) -> None:
        fruit_id = self.create()["fruit_id"]
        url = f"{FRUITS_URL}/{fruit_id}"
        responses = self.in_parallel(lambda session: [session.delete(url, timeout=TIMEOUT_S)])
        statuses = [response.status_code for response in responses]
        self.assertEqual(statuses.count(200), 1, statuses)
        self.assertLessEqual({*statuses}, {200, 404, 409, 412})
        self.assert_problem(self.read(fruit_id), 404)

    def test_fruits_that_are_created_at_once_are_all_there(self) -> None:
        responses = self.in_parallel(
            lambda session: [session.post(FRUITS_URL, json=FIRST, timeout=TIMEOUT_S)]
        )
        self.assertEqual({response.status_code for response in responses}, {201})
        fruits = [response.json() for response in responses]
        for fruit in fruits:
            self.addCleanup(self.delete, fruit["fruit_id"])
        self.assertEqual(len({fruit["fruit_id"] for fruit in fruits}), self.threads)
        for fruit in fruits:
            self.assertEqual(self.read(fruit["fruit_id"]).json(), fruit)


class TestHealth(ServiceTestCase):
    """`/_health`, quick and thorough."""

    def test_health_is_green_by_all_its_names(self) -> None:
        for path in ("/_health", "/v1.0/_health"):
            for query in ("", "?quick=true", "?quick=false"):
                with self.subTest(path=path, query=query):
                    response = self.get(f"{path}{query}")
                    self.assertEqual(response.status_code, 200, response.text)
                    self.assertEqual(media_type(response), "application/json")
                    href = f"{SERVICE_URL}{path}{query}"
                    self.assertEqual(response.json(), {"status": "green", "links": {"self": {"href": href}}})
                    self.assertEqual(response.headers["Location"], href)

    def test_quick_has_many_spellings(self) -> None:
        for spelling in ("true", "t", "yes", "y", "1", "false", "f", "no", "n", "0"):
            for quick in (spelling, spelling.upper(), spelling.capitalize()):
                with self.subTest(quick=quick):
                    self.assertEqual(self.get("/v1.0/_health", params={"quick": quick}).status_code, 200)

    def test_other_spelling_of_quick_is_refused(self) -> None:
        for quick in ("", "dave", "2", "-1", "truee", "on", "null"):
            with self.subTest(quick=quick):
                self.assert_problem(self.get("/v1.0/_health", params={"quick": quick}), 400)


class TestProbes(ServiceTestCase):
    """`/livez` and `/readyz`, as Kubernetes asks for them."""

    def test_service_is_alive_and_ready(self) -> None:
        for name in ("livez", "readyz"):
            with self.subTest(probe=name):
                self.assertEqual(self.get(f"/{name}").text, "ok\n")
                verbose = self.get(f"/{name}?verbose")
                self.assertEqual(verbose.status_code, 200)
                *checks, last = verbose.text.splitlines()
                self.assertTrue(checks)
                self.assertTrue(all(check.startswith("[+]") for check in checks))
                self.assertEqual(last, f"{name} check passed")


class TestRequestID(ServiceTestCase):
    """`X-Request-Id`: taken from the request, or made."""

    def test_request_has_an_id(self) -> None:
        for given, is_taken in (("a-1", True), ("a b", False), ("x" * 129, False), (None, False)):
            with self.subTest(given=given):
                headers = {} if given is None else {"X-Request-Id": given}
                response = self.get("/_nothing", headers=headers)
                request_id = response.headers["X-Request-Id"]
                self.assertEqual(request_id == given, is_taken)
                self.assertEqual(response.json()["request_id"], request_id)


class TestMetrics(ServiceTestCase):
    """`/_metrics`: JSON to curl, text to Prometheus."""

    def test_metrics_are_json_unless_asked_for_otherwise(self) -> None:
        for path in ("/_metrics", "/v1.0/_metrics"):
            for accept in ("*/*", "application/json", None):
                with self.subTest(path=path, accept=accept):
                    response = self.get(path, headers={"Accept": accept})
                    self.assertEqual(response.status_code, 200, response.text)
                    self.assertEqual(media_type(response), "application/json")
                    self.assert_metrics(response.json(), f"{SERVICE_URL}{path}")

    def test_format_of_metrics_is_negotiated(self) -> None:
        for accept, expected in (
            ("application/json, text/plain, */*", "application/json"),
            ("text/plain, application/json", "application/json"),
            ("text/plain;q=0, */*", "application/json"),
            ("text/*;q=0.9, application/json;q=0.8", "text/plain"),
            ("application/json;q=0.1, text/plain;version=0.0.4;q=0.2", "text/plain"),
            (PROMETHEUS_ACCEPTS, "application/openmetrics-text"),
        ):
            with self.subTest(accept=accept):
                response = self.get("/_metrics", headers={"Accept": accept})
                self.assertEqual(response.status_code, 200, response.text)
                self.assertEqual(media_type(response), expected)

    def assert_metrics(self, metrics: dict[str, Any], href: str) -> None:
        sizes = {"dataSize", "diskSize", "fragmentation"}
        self.assertEqual(set(metrics), {"links", "database"})
        self.assertEqual(metrics["links"], {"self": {"href": href}})
        database = metrics["database"]
        self.assertEqual(set(database), {"docCount", "views", *sizes})
        self.assertLessEqual(VIEWS, set(database["views"]))
        self.assertIs(type(database["docCount"]), int)
        for measured in (database, *database["views"].values()):
            self.assertLessEqual(sizes, set(measured))
            for size in sizes:
                self.assertIs(type(measured[size]), int)
                self.assertGreaterEqual(measured[size], 0)
            self.assertLessEqual(measured["fragmentation"], 100)
        for view in database["views"].values():
            self.assertEqual(set(view), sizes)

    def test_prometheus_gets_its_text_format(self) -> None:
        response = self.get("/_metrics", headers={"Accept": "text/plain"})
        self.assertEqual(response.status_code, 200, response.text)
        self.assertEqual(media_type(response), "text/plain")
        families = list(prometheus_text.text_string_to_metric_families(response.text))
        self.assertTrue(any(family.samples for family in families))

    def test_openmetrics_is_spoken_too(self) -> None:
        accept = "application/openmetrics-text; version=1.0.0"
        response = self.get("/_metrics", headers={"Accept": accept})
        self.assertEqual(response.status_code, 200, response.text)
        self.assertEqual(media_type(response), "application/openmetrics-text")
        families = list(openmetrics_text.text_string_to_metric_families(response.text))  # type: ignore[no-untyped-call]  # untyped there
        self.assertTrue(any(family.samples for family in families))

    def test_requests_are_counted(self) -> None:
        before = self.total_of_all_counts()
        for _ in range(20):
            self.assertEqual(self.get("/v1.0/_noop").status_code, 200)
        self.assertGreaterEqual(self.total_of_all_counts() - before, 20)

    def total_of_all_counts(self) -> float:
        text = self.get("/_metrics", headers={"Accept": "text/plain"}).text
        families = prometheus_text.text_string_to_metric_families(text)
        samples = [sample for family in families for sample in family.samples]
        return sum(sample.value for sample in samples if sample.name.endswith(("_total", "_count")))


class TestGuidelines(ServiceTestCase):
    """The rest of what every service answers."""

    def test_version_is_told(self) -> None:
        for path in ("/_version", "/v1.0/_version"):
            with self.subTest(path=path):
                response = self.get(path)
                self.assertEqual(response.status_code, 200, response.text)
                self.assertEqual(media_type(response), "application/json")
                self.assertEqual(set(response.json()), {"version", "links"})
                self.assertIsInstance(response.json()["version"], str)
                self.assertTrue(response.json()["version"])
                self.assertEqual(response.json()["links"], {"self": {"href": f"{SERVICE_URL}{path}"}})

    def test_noop_does_nothing(self) -> None:
        for path in ("/_noop", "/v1.0/_noop"):
            with self.subTest(path=path):
                response = self.get(path)
                self.assertEqual(response.status_code, 200, response.text)
                self.assertEqual(media_type(response), "application/json")
                self.assertEqual(response.json(), {"links": {"self": {"href": f"{SERVICE_URL}{path}"}}})

    def test_unknown_path_is_a_problem(self) -> None:
        for path in ("/", "/v1.0", "/v1.0/", "/v2.0/fruits", "/_nothing", "/v1.0/_health/x", "/favicon.ico"):
            with self.subTest(path=path):
                self.assert_problem(self.get(path), 404)

    def test_connection_that_is_not_said_to_close_stays_open(self) -> None:
        for method, path in (
            ("GET", "/_nothing"),
            ("POST", "/_nothing"),
            ("PUT", "/_noop"),
            ("GET", "/_health?quick=x"),
        ):
            with self.subTest(method=method, path=path):
                connection = http.client.HTTPConnection(urlsplit(SERVICE_URL).netloc, timeout=TIMEOUT_S)
                self.addCleanup(connection.close)
                connection.request(method, path, b"{}" if method != "GET" else None)
                response = connection.getresponse()
                response.read()
                if response.will_close:
                    continue
                connection.auto_open = 0
                connection.request("GET", "/_noop")
                self.assertEqual(connection.getresponse().status, 200)

    def test_endpoints_are_read_only(self) -> None:
        for name in ("_health", "_metrics", "_version", "_noop"):
            for path in (f"/{name}", f"/v1.0/{name}"):
                for method in ("POST", "PUT", "PATCH", "DELETE"):
                    with self.subTest(method=method, path=path):
                        self.assert_not_allowed(self.request(method, f"{SERVICE_URL}{path}"), {"GET"})
