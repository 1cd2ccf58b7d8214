"""Every fault of a run at its switch on the watch page: the page says so, and when it is off all is well."""

import contextlib
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from suite.background import EventLoopThread
from suite.control.load import LoadControl
from suite.control.server import Controls, control_server
from suite.experiments.writers import Writers
from suite.faults.tests.playing import Play, playing, wait_until
from suite.watch_page import watch_page
from tor_async_etcd.testing import free_ports
from watch.tests.browser import running_browser
from watch.tests.visit import TALL, visited

pytestmark = pytest.mark.long

_SAMPLES = ["crud/retry", "crud/multi_master", "leader"]
_TIMEOUT_MS = 60_000  # a service is killed and started again
_NO_LOCUST = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    with playing(_SAMPLES, tmp_path_factory.mktemp("play")) as play:
        yield play


@pytest.fixture(scope="module")
def page(play: Play, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with contextlib.ExitStack() as stack:
        browser = stack.enter_context(running_browser())
        loop = stack.enter_context(EventLoopThread())
        load = LoadControl(_NO_LOCUST, play.stage.supervisor)
        control = stack.enter_context(control_server(Controls(play.stage, play.switchboard, load), loop))
        port, command = free_ports(1)[0], play.commands[0]
        environment = {**command.environment, **control.environment}
        logs = tmp_path_factory.mktemp("watch")
        stack.enter_context(watch_page(port, command.database_url, logs, environment))
        yield stack.enter_context(visited(browser, f"http://127.0.0.1:{port}/", *TALL)).page


def test_each_fault_is_told_by_the_page_and_ends_well(page: Page, play: Play) -> None:
    expect(page.get_by_role("switch")).to_have_count(len(play.switchboard.faults), timeout=_TIMEOUT_MS)
    writers = Writers(play.url_of("crud/retry"))
    with writers.running():
        for name in play.switchboard.faults:
            title = name.replace("-", " ")
            switch = page.get_by_role("switch", name=title, exact=True)
            switch.click()
            expect(switch).to_have_attribute("aria-checked", "true", timeout=_TIMEOUT_MS)
            expect(page.locator("#faults-on")).to_contain_text(title, timeout=_TIMEOUT_MS)
            page.get_by_role("button", name="End all faults").click()
            expect(page.locator("#faults-on")).to_be_empty(timeout=_TIMEOUT_MS)
            wait_until(play.is_well, f"all services to be well after {name}")
    writers.check()


def test_the_link_between_masters_is_cut_and_healed_by_the_page(page: Page, play: Play) -> None:
    panel = page.locator("#masters")
    for label, state in (("Cut", "cut"), ("Slow", "slow"), ("Heal", "up")):
        panel.get_by_role("button", name=label, exact=True).click()
        expect(panel.locator("#link-state")).to_have_text(state, timeout=_TIMEOUT_MS)
        assert play.stage.masters is not None
        assert play.stage.masters.state == state


def test_a_killed_leader_is_followed_on_the_page(page: Page) -> None:
    panel = page.locator("#leader")
    expect(panel.locator("#leader-now")).to_contain_text("leads", timeout=_TIMEOUT_MS)
    term = int(panel.locator("#leader-term").inner_text().replace(",", ""))
    panel.locator("#leader-processes li", has_text="leads").get_by_role("button", name="Kill").click()
    expect(panel.locator("#leader-term")).not_to_have_text(str(term), timeout=_TIMEOUT_MS)
    expect(panel.locator("#leader-now")).to_contain_text("leads", timeout=_TIMEOUT_MS)
    expect(panel.locator("#leader-handover")).to_contain_text("s", timeout=_TIMEOUT_MS)
