"""The page in a browser: each panel shows what happens in a run that the test provokes."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tor_async_couchdb.testing.couchdb import CouchDBServer
from watch.tests import provoked
from watch.tests.fake_run import CRUD, FakeRun
from watch.tests.masters_database import masters_of
from watch.tests.visit import TALL, Visit, visited

_NOTHING = re.compile("^(0|\N{EN DASH})$")
HASHES = [letter * 32 for letter in "abcdef"]


@pytest.fixture(scope="module")
def run(page_run: FakeRun) -> FakeRun:
    return page_run


@pytest.fixture(scope="module")
def visit(browser: Browser, url: str) -> Iterator[Visit]:
    with visited(browser, url, *TALL) as visit:
        yield visit


@pytest.fixture(scope="module")
def page(visit: Visit) -> Page:
    return visit.page


def test_page_loads_everything_from_its_own_service(visit: Visit, url: str) -> None:
    expect(visit.page.locator("#connection")).to_have_text("live")
    expect(visit.page).to_have_title(re.compile("Watch"))
    assert visit.hosts == {urlsplit(url).netloc}
    assert visit.errors == []


def test_ladder_shows_samples_side_by_side_with_their_books(page: Page, run: FakeRun) -> None:
    cards = page.locator("#rungs article")
    expect(cards.first).to_have_attribute("data-sample", "crud/basic")
    provoked.put_load(run)
    basic = page.locator('#rungs article[data-sample="crud/basic"]')
    expect(basic.locator("dd.refusal")).not_to_have_text(_NOTHING)
    expect(basic.locator("dd.success")).not_to_have_text(_NOTHING)
    expect(basic.locator(".lost")).to_have_text("lost: 0")
    expect(page.locator('[data-sample="crud/retry"] dd.conflict')).not_to_have_text(_NOTHING)
    expect(basic.locator(".chart canvas")).to_be_visible()
    order = [card.get_attribute("data-sample") for card in cards.all()][: len(CRUD)]
    assert order == [*CRUD]


def test_a_lost_change_is_seen(page: Page, run: FakeRun) -> None:
    run.books["crud/basic"]["lost"] = 3
    lost = page.locator('#rungs article[data-sample="crud/basic"] .lost')
    expect(lost).to_have_text("lost: 3")
    expect(lost).to_have_class(re.compile("some"))
    run.books["crud/basic"]["lost"] = 0


def test_lanes_cut_requests_into_their_tries(page: Page, run: FakeRun) -> None:
    for sample in CRUD:
        run.wait_until_followed(sample)
    provoked.send_requests(run, 1)

    def lane(sample: str) -> str:
        figure = page.locator(f'#lane-cards figure[data-sample="{sample}"]')
        expect(figure.locator("figcaption")).to_contain_text("fruit 012345")
        label = figure.locator("canvas").get_attribute("aria-label")
        assert label is not None
        return label

    assert re.search(r"1 try, 1 lost, answered 409 after 32 ms", lane("crud/basic"))
    assert re.search(r"3 tries, 2 lost, answered 200 after 75 ms", lane("crud/retry"))
    assert re.search(r"2 tries, 1 lost, answered 200 after 110 ms", lane("crud/exp_backoff"))
    assert re.search(r"1 try, 0 lost, answered 200 after 19 ms", lane("crud/group_commit"))
    assert re.search(r"1 try, 0 lost, answered 412 after 18 ms", lane("crud/conditional"))
    assert re.search(r"1 try, 0 lost, answered 200 after 11 ms", lane("crud/idempotent"))
    assert re.search(r"1 try, 0 lost, answered 200 after 21 ms", lane("crud/append_only"))
    assert re.search(r"3 tries, 2 lost, answered 200 after 100 ms", lane("crud/migration"))
    repeats = page.locator('#lane-cards figure[data-sample="crud/idempotent"] figcaption')
    expect(repeats).to_contain_text("1 try each, 0 of 4 refused, 4 answered again")
    backoff = page.locator('#lane-cards figure[data-sample="crud/exp_backoff"]')
    expect(backoff.locator("figcaption")).to_contain_text("with pauses")
    backoff.locator("summary").click()
    expect(backoff.locator("li").nth(2)).to_have_text("at 25 ms: pause, 60 ms (attempt 1)")


def test_lanes_look_different_at_one_glance(page: Page) -> None:
    pictures = {
        sample: page.locator(f'#lane-cards figure[data-sample="{sample}"] canvas').evaluate(
            "(canvas) => canvas.toDataURL()"
        )
        for sample in CRUD
    }
    assert len(set(pictures.values())) == len(CRUD)


def test_masters_fork_and_merge_on_the_page(page: Page, run: FakeRun, couchdb: CouchDBServer) -> None:
    a, b, c, d, *_ = HASHES
    panel = page.locator("#masters")
    with masters_of(run, couchdb) as masters:
        masters.insert("east", f"1-{a}")
        masters.insert("west", f"1-{a}")
        expect(panel.locator("#verdict")).to_have_text("both hold the same leaves")
        panel.get_by_role("button", name="Cut").click()
        expect(panel.locator("#link-state")).to_have_text("cut")
        masters.insert("east", f"2-{b}", f"1-{a}", color="blue")
        masters.insert("west", f"2-{c}", f"1-{a}", color="green")
        expect(panel.locator("#verdict")).to_have_text("1 document differs while the link is cut")
        east, west = (panel.locator(f'[data-master="{name}"]') for name in ("east", "west"))
        expect(east.locator(".winner.alone")).to_have_count(1)
        expect(west.locator(".winner.alone")).to_have_count(1)
        panel.get_by_role("button", name="Heal").click()
        expect(panel.locator("#link-state")).to_have_text("up")
        masters.insert("east", f"2-{c}", f"1-{a}", color="green")
        masters.insert("west", f"2-{b}", f"1-{a}", color="blue")
        expect(panel.locator("#verdict")).to_have_text(re.compile(r"equal again after \d+\.\d s"))
        expect(east.locator(".winner text")).to_have_text("2-ccc winner")
        expect(east.locator(".conflict text")).to_have_text("2-bbb loser")
        expect(west.locator(".conflict text")).to_have_text("2-bbb loser")
        for name in ("east", "west"):
            masters.insert(name, f"3-{d}", f"2-{b}", f"1-{a}", is_deleted=True)
        expect(east.locator(".conflict")).to_have_count(0)
        expect(east.locator(".deleted text")).to_have_text("3-ddd deleted")
    expect(panel.locator(".empty")).to_be_visible()


def test_leader_is_shown_with_its_token_and_how_long_a_change_took(page: Page, run: FakeRun) -> None:
    first, second = run.services["leader"], run.services["leader (2)"]
    first.leader = {"leader": "host:1", "is_me": True, "count": 1, "term": 7}
    panel = page.locator("#leader")
    expect(panel.locator("#leader-now")).to_have_text("leader leads")
    expect(panel.locator("#leader-term")).to_have_text("7")
    panel.get_by_role("button", name="Kill leader", exact=True).click()
    expect(panel.locator("#leader-now")).to_contain_text("nobody leads for")
    second.leader = {"leader": "host:2", "is_me": True, "count": 2, "term": 9}
    expect(panel.locator("#leader-now")).to_have_text("leader (2) leads")
    expect(panel.locator("#leader-handover")).to_have_text(re.compile(r"\d+\.\d s"))
    assert ("POST", "/services/leader/kill", {}) in run.requests


def test_a_fault_is_switched_on_graded_and_off(page: Page, run: FakeRun) -> None:
    switch = page.get_by_role("switch", name="database slow")
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "true")
    expect(page.locator("#faults-on")).to_have_text("database slow")
    assert ("PUT", "/faults/database-slow", {"grade": 300.0}) in run.requests
    page.get_by_role("slider", name="How strong: database slow").fill("1000")
    run.wait_until(lambda: run.faults["database-slow"]["current_grade"] == 1000)
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "false")
    expect(page.locator("#faults-on")).to_be_empty()


def test_all_faults_end_by_one_button(page: Page, run: FakeRun) -> None:
    page.get_by_role("switch", name="unavailable").click()
    expect(page.locator("#faults-on")).to_have_text("unavailable")
    page.get_by_role("button", name="End all faults").click()
    expect(page.locator("#faults-on")).to_be_empty()


def test_load_can_be_put_on_what_locust_knows_and_on_nothing_else(page: Page, run: FakeRun) -> None:
    boxes = page.locator("#load-samples input")
    expect(boxes).to_have_count(len(CRUD))
    assert [box.get_attribute("value") for box in boxes.all()] == [*CRUD]
    assert "crud/tampering" in run.services


def test_load_is_started_on_several_samples_and_stopped(page: Page, run: FakeRun) -> None:
    page.get_by_label("Users").fill("12")
    page.get_by_role("checkbox", name="basic").uncheck()
    page.get_by_role("button", name="Start load").click()
    expect(page.locator("#load-state")).to_have_text(
        re.compile(r"^12 users on 5 fruits, 80 % changes: retry")
    )
    assert run.load["samples"] == ["crud/retry", "crud/exp_backoff", "crud/group_commit"]
    page.get_by_role("button", name="Stop load").click()
    expect(page.locator("#load-state")).to_have_text("No load at the moment.")


def test_a_service_is_red_with_its_reason_and_is_restarted(page: Page, run: FakeRun) -> None:
    row = page.locator('#service-list li[data-service="crud/tampering"]')
    expect(row.locator(".badge")).to_have_text("green")
    run.services["crud/tampering"].health = {
        "status": "red",
        "details": {"database": {"status": "red", "reason": "unreachable"}},
    }
    expect(row.locator(".badge")).to_have_text("red")
    expect(row).to_contain_text("database: unreachable")
    run.services["crud/tampering"].health = {"status": "green"}
    row.get_by_role("button", name="Kill").click()
    expect(row.locator(".badge")).to_have_text("ended")
    row.get_by_role("button", name="Restart").click()
    expect(row.locator(".badge")).to_have_text("green")


def test_time_is_stopped_goes_back_and_goes_on(page: Page) -> None:
    slider, shown = page.get_by_label("Moment"), page.locator("#time-shown")
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(shown).to_have_text(re.compile("s ago"))
    slider.fill("0")
    expect(page.locator("body")).to_have_class(re.compile("stopped"))
    expect(page.locator("#rungs article .lost")).to_have_count(0)  # at the first moment there were no books
    page.get_by_role("button", name="Last conflict").click()
    page.get_by_role("button", name="Go on").click()
    expect(shown).to_have_text(re.compile("^live"))
    expect(page.locator("#rungs article .lost").first).to_have_text("lost: 0")


def test_an_error_is_shown_in_the_words_of_the_run(page: Page) -> None:
    page.get_by_role("button", name="Attack", exact=True).click()
    expect(page.locator("#messages")).to_contain_text("does not answer, or refuses this")
