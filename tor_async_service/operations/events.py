"""`/_events`: what the requests do, as they do it. Only with `--events`, and only for this machine."""

import asyncio

import msgspec
import tornado.web

from tor_async_service.events import EventLog, Listener, TooManyListenersError
from tor_async_service.http.same_origin import check_same_origin
from tor_async_service.http.server_sent_events import ServerSentEventsHandler, message

# Events go out together: a message for each would cost the service more than the event.
_PAUSE_S = 0.1


class EventsHandler(ServerSentEventsHandler):
    """A stream of messages, each a JSON array of events (`tor_async_service.events.Event`)."""

    async def get(self) -> None:
        """200 and a stream; 403 to a page of another origin, 503 if there are too many listeners."""
        check_same_origin(self.request)
        events: EventLog = self.service.events  # type: ignore[assignment]  # there is no route without them
        try:
            with events.listening() as listener:
                await self.stream(lambda: _next_message(listener))
        except TooManyListenersError:
            raise tornado.web.HTTPError(503, "Too many listen already.") from None


async def _next_message(listener: Listener) -> bytes:
    events = await listener.take()
    await asyncio.sleep(_PAUSE_S)
    return message(msgspec.json.encode(events))
