"""The page over a longer time, in other sizes, by keyboard alone, and as a screen reader meets it."""

import contextlib
import re
import time
from collections.abc import Iterator
from typing import Any

import psutil  # type: ignore[import-untyped]  # it has no types
import pytest
from playwright.sync_api import Page, expect

from tor_async_couchdb.testing.couchdb import CouchDBServer
from watch import packages
from watch.tests import provoked
from watch.tests.browser import AXE
from watch.tests.conftest import Open
from watch.tests.fake_run import CRUD, FakeRun
from watch.tests.masters_database import masters_of
from watch.tests.visit import TALL

pytestmark = pytest.mark.long

_SIZES = [(1280, 900), (390, 844)]
_WARM_UP_S, _WATCHED_S = 45.0, 75.0
_MAX_GROWTH = 1.25
_HASH = "a" * 32


@pytest.fixture
def loaded_run(page_run: FakeRun, couchdb: CouchDBServer) -> Iterator[FakeRun]:
    """A run that fills all panels."""
    page_run.services["leader"].leader = {"leader": "host:1", "is_me": True, "count": 1, "term": 7}
    provoked.put_load(page_run)
    with masters_of(page_run, couchdb) as masters:
        for name in ("east", "west"):
            masters.insert(name, f"1-{_HASH}")
        yield page_run


def fill(page: Page, run: FakeRun) -> None:
    """Returns once all panels show something."""
    for sample in CRUD:
        run.wait_until_followed(sample)
    provoked.send_requests(run, int(time.monotonic() * 1000))
    expect(page.locator("#lane-cards figure")).to_have_count(len(CRUD))
    expect(page.locator("#trees figure")).to_have_count(2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_serious(open_page: Open, loaded_run: FakeRun, width: int, scheme: str) -> None:
    packages.install_packages(packages.TESTS_FOLDER)
    page = open_page(width, TALL[1] * 2, scheme).page
    fill(page, loaded_run)
    page.get_by_role("switch", name="unavailable").click()
    expect(page.locator("#faults-on")).to_have_text("unavailable")
    # The page lets in no code from elsewhere; the test's own is evaluated by the browser itself.
    page.evaluate(AXE.read_text())
    found: dict[str, Any] = page.evaluate("axe.run(document)")
    serious = [
        f"{violation['id']}: {violation['help']}: {[node['html'] for node in violation['nodes'][:3]]}"
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
    ]
    page.get_by_role("button", name="End all faults").click()
    assert serious == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), _SIZES)
def test_nothing_is_wider_than_the_window(
    open_page: Open, loaded_run: FakeRun, width: int, height: int, scheme: str
) -> None:
    page = open_page(width, TALL[1] * 2, scheme).page
    fill(page, loaded_run)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = page.evaluate(
        "[...document.querySelectorAll('section')].filter((one) => one.scrollWidth > one.clientWidth + 1)"
        ".map((one) => one.id)"
    )
    assert wide == []


def test_dark_is_dark(open_page: Open) -> None:
    colors = [
        open_page(scheme=scheme).page.evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    ]
    light, dark = (sum(map(int, re.findall(r"\d+", color)[:3])) for color in colors)
    assert light > 600
    assert dark < 150


def test_a_fault_is_switched_by_keyboard_alone(open_page: Open, page_run: FakeRun) -> None:
    page = open_page().page
    expect(page.get_by_role("switch").first).to_be_attached()
    focused = "document.activeElement.getAttribute('aria-label')"
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate(focused) == "database slow":
            break
    assert page.evaluate(focused) == "database slow"
    page.keyboard.press("Space")
    expect(page.get_by_role("switch", name="database slow")).to_have_attribute("aria-checked", "true")
    assert page_run.faults["database-slow"]["is_on"]
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page_run.wait_until(lambda: page_run.faults["database-slow"]["current_grade"] != 300)
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    page_run.wait_until(lambda: not page_run.faults["database-slow"]["is_on"])


def test_time_is_moved_by_keyboard_alone(open_page: Open) -> None:
    page = open_page().page
    slider = page.get_by_label("Moment")
    expect(slider).not_to_have_attribute("max", re.compile("^[0-3]$"))
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#time-shown")).to_contain_text("s ago")
    page.get_by_role("button", name="Go on").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#time-shown")).to_contain_text("live")


def test_everything_that_can_be_used_has_a_name(open_page: Open, loaded_run: FakeRun) -> None:
    page = open_page(*TALL).page
    fill(page, loaded_run)
    nameless = page.evaluate(
        "[...document.querySelectorAll('button, a, input, select, canvas, [role=switch]')].filter((one) => "
        "!(one.getAttribute('aria-label') || one.textContent.trim() || one.labels?.length || "
        "one.closest('[aria-hidden=true]'))).map((one) => one.outerHTML)"
    )
    assert nameless == []


def test_every_switch_switches_on_and_off(open_page: Open, page_run: FakeRun) -> None:
    page = open_page(*TALL).page
    expect(page.get_by_role("switch")).to_have_count(len(page_run.faults))
    for name, fault in page_run.faults.items():
        switch = page.get_by_role("switch", name=name.replace("-", " "))
        switch.click()
        expect(switch).to_have_attribute("aria-checked", "true")
        assert fault["is_on"]
        expect(page.locator("#faults-on")).to_have_text(name.replace("-", " "))
        switch.click()
        expect(switch).to_have_attribute("aria-checked", "false")
        assert not fault["is_on"]


def test_a_reload_keeps_the_last_minutes(open_page: Open, page_run: FakeRun) -> None:
    page = open_page(*TALL).page
    provoked.put_load(page_run)
    expect(page.locator("#rungs .lost").first).to_be_visible()
    slider = page.get_by_label("Moment")
    expect(slider).to_have_attribute("max", re.compile(r"^\d{2,}$"))
    page.reload()
    expect(slider).to_have_attribute("max", re.compile(r"^\d{2,}$"))
    expect(page.locator("#rungs .lost").first).to_have_text("lost: 0")


def test_two_browsers_see_the_same(open_page: Open, page_run: FakeRun) -> None:
    one, two = open_page(*TALL).page, open_page(*TALL).page
    one.get_by_role("switch", name="database slow").click()
    for page in (one, two):
        expect(page.locator("#faults-on")).to_have_text("database slow")
    two.get_by_role("button", name="End all faults").click()
    for page in (one, two):
        expect(page.locator("#faults-on")).to_be_empty()


def test_a_service_that_is_started_again_is_followed_again(open_page: Open, page_run: FakeRun) -> None:
    page = open_page(*TALL).page
    page_run.wait_until_followed("crud/retry")
    service = page_run.services["crud/retry"]
    row = page.locator('#service-list li[data-service="crud/retry"]')
    row.get_by_role("button", name="Kill").click()
    expect(row.locator(".badge")).to_have_text("ended")
    page_run.wait_until(lambda: not service.listeners)
    row.get_by_role("button", name="Restart").click()
    page_run.wait_until_followed("crud/retry")
    page_run.emit("crud/retry", [])
    expect(row.locator(".badge")).to_have_text("green")


def test_memory_of_page_and_service_stays_flat(open_page: Open, loaded_run: FakeRun) -> None:
    """A shortened long run: five times as many moments a second as usual, beyond all that is kept."""
    page = open_page(*TALL).page
    fill(page, loaded_run)
    service = next(
        process
        for process in psutil.process_iter(["cmdline"])
        if "watch.service" in (process.info["cmdline"] or []) and _is_child(process)
    )
    client = page.context.new_cdp_session(page)

    def run_for(seconds: float) -> tuple[float, float]:
        deadline_s, number = time.monotonic() + seconds, int(time.monotonic() * 1000)
        while time.monotonic() < deadline_s:
            number += 10
            provoked.send_requests(loaded_run, number)
            loaded_run.services["crud/retry"].answer(200, count=5, conflicts=2)
            time.sleep(0.1)
        client.send("HeapProfiler.collectGarbage")
        heap_bytes = page.evaluate("performance.memory.usedJSHeapSize")
        return float(heap_bytes), float(service.memory_info().rss)

    heap_before, rss_before = run_for(_WARM_UP_S)
    heap_after, rss_after = run_for(_WATCHED_S)
    assert heap_after < heap_before * _MAX_GROWTH
    assert rss_after < rss_before * _MAX_GROWTH


def _is_child(process: Any) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.ppid() == psutil.Process().pid)
    return False
