"""`/_events`: what the requests do, as they do it. Only with `--events`, and only for this machine."""

import asyncio
from collections.abc import AsyncGenerator

import msgspec
import tornado.web

from tor_async_service.events import Event, EventLog
from tor_async_service.http.events import EventStreamHandler, event
from tor_async_service.http.same_origin import check_same_origin
from tor_async_service.listeners import Listener, TooManyListenersError

# Events go out together: a message for each would cost the service more than the event.
_PAUSE_S = 0.1


class EventsHandler(EventStreamHandler):
    """A stream of messages, each a JSON array of events (`tor_async_service.events.Event`)."""

    heartbeat_s = 5.0

    async def get(self) -> None:
        """200 and a stream; 403 to a page of another origin, 503 if there are too many listeners."""
        check_same_origin(self.request)
        events: EventLog = self.service.events  # type: ignore[assignment]  # there is no route without them
        try:
            with events.listening() as listener:
                await self.write_events(_messages(listener))
        except TooManyListenersError:
            raise tornado.web.HTTPError(503, "Too many listen already.") from None


async def _messages(listener: Listener[Event]) -> AsyncGenerator[bytes, None]:
    while True:
        events = await listener.take()
        await asyncio.sleep(_PAUSE_S)
        yield event(msgspec.json.encode(events))
