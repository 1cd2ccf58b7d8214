"""`?quick=`: whether an operator wants the answer that needs no other service."""

import tornado.web

SPELLINGS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}


def asked_for(handler: tornado.web.RequestHandler, *, default: bool) -> bool:
    """Whether the request asks for the quick answer; 400 if that can't be told."""
    spelling = handler.get_query_argument("quick", str(default)).lower()
    if spelling not in SPELLINGS:
        raise tornado.web.HTTPError(400, f"quick must be one of {', '.join(SPELLINGS)}.")
    return SPELLINGS[spelling]
