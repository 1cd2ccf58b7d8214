from dataclasses import dataclass

import pytest

from loadgen.metrics import Books, LoadMetrics


@dataclass(frozen=True)
class Figures:
    acknowledged: int
    unknown: int
    lost: int | None


def test_books_of_each_service_are_shown() -> None:
    books: dict[str, Books] = {"retry": Figures(9, 1, 0), "basic": Figures(5, 0, 2)}
    text, content_type = LoadMetrics(lambda: books).exposition("text/plain")
    lines = text.decode().splitlines()
    assert content_type.startswith("text/plain")
    assert 'loadgen_updates_acknowledged{service="retry"} 9.0' in lines
    assert 'loadgen_updates_unknown{service="retry"} 1.0' in lines
    assert 'loadgen_updates_lost{service="retry"} 0.0' in lines
    assert 'loadgen_updates_lost{service="basic"} 2.0' in lines


def test_figure_that_is_not_known_is_left_out() -> None:
    text, _ = LoadMetrics(lambda: {"retry": Figures(9, 1, None)}).exposition("")
    assert "loadgen_updates_acknowledged{" in text.decode()
    assert "loadgen_updates_lost{" not in text.decode()


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [("", "text/plain"), ("application/openmetrics-text", "application/openmetrics-text")],
)
def test_form_is_the_one_that_the_scraper_asks_for(accept: str, media_type: str) -> None:
    _, content_type = LoadMetrics(dict).exposition(accept)
    assert content_type.startswith(media_type)
