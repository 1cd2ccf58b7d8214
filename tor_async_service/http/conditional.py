"""Conditional requests (RFC 9110, section 13): a client names the version that it has seen by its entity tag.

A tag is strong and opaque: a hash of the document's id and revision and of the representation's version. An
answer with a content coding has a tag of its own, which ends with a hyphen and the name of the coding.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import tornado.web
from tornado.httputil import HTTPHeaders

from tor_async_couchdb.errors import ChangedError
from tor_async_couchdb.model import Model
from tor_async_service.http.answers import Parameter, answers, refuses, takes
from tor_async_service.http.handler import ServiceHandler

# One element of a list, which may be empty, and what separates it from the next (sections 5.6.1 and 8.8.3).
_ELEMENT = re.compile(r'(?:(W/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*)?(?:,[ \t]*|\Z)')
_TAG_SIZE_DIGITS = 32
_CODINGS = ("", "-gzip", "-br", "-deflate", "-zstd")
_SAFE_METHODS = ("GET", "HEAD")
_TAGS = Parameter(str, "Entity tags that the client has seen, or *.", place="header")


class Tag(NamedTuple):
    """An entity tag; `opaque` is what its quotes hold."""

    opaque: str
    is_weak: bool = False


class Tags(NamedTuple):
    """The tags that a condition lists; `*` stands for any."""

    listed: Sequence[Tag]
    is_any: bool = False

    def have(self, opaque: str, *, weak: bool) -> bool:
        """Whether they have this tag by the `weak` or by the strong comparison (section 8.8.3.2)."""
        return self.is_any or any(tag.opaque == opaque and (weak or not tag.is_weak) for tag in self.listed)

    def have_any_coding_of(self, opaque: str, *, weak: bool) -> bool:
        """Whether they have the tag of this representation, with or without a content coding."""
        return any(self.have(f"{opaque}{coding}", weak=weak) for coding in _CODINGS)


def tags_of(header: str) -> Tags:
    """The tags in the value of `If-Match` or `If-None-Match`.

    Raises:
        ValueError: it is neither `*` nor a list of entity tags.
    """
    text = header.strip(" \t")
    if text == "*":
        return Tags((), is_any=True)
    tags, position = [], 0
    while position < len(text):
        element = _ELEMENT.match(text, position)
        if element is None:
            raise ValueError('is neither * nor a list of entity tags, such as "6f1e", "7c22"')
        if element[2] is not None:
            tags.append(Tag(element[2], element[1] is not None))
        position = element.end()
    return Tags(tags)


class ConditionalHandler(ServiceHandler):
    """A handler whose answers with one model have an `ETag`, and whose requests may be conditional.

    `GET` and `HEAD` with `If-None-Match` are answered 304, without a body, while the model is as the client
    has it. The `ETag` stands for `representation_version`, too: raise it when models are represented in
    another way, so that no client goes on with an answer in the old form.
    """

    representation_version: ClassVar[str] = "1"

    def prepare(self) -> None:
        """See `ServiceHandler.prepare`."""
        super().prepare()
        # The last of the transforms: it looks at what the others have done.
        self._transforms = [*self._transforms, _TagOfTheAnswer(self)]

    @takes("If-None-Match", _TAGS)
    @answers(304)
    @refuses(412)
    def write_model(self, model: Model | None, *, created_at: str | None = None) -> None:
        """Answers as `ServiceHandler.write_model` does, with the model's `ETag`.

        The answer to a `PUT` says by `Content-Location` that the tag stands for its own body, and not for
        that of the request.
        """
        found = self.found(model)
        if self.request.method in _SAFE_METHODS:
            self._check_is_wanted(found)
        if self.request.method == "PUT":
            self.set_header("Content-Location", self.outer_path(self.request.path))
        self.set_header("ETag", self._etag(found))
        super().write_model(found, created_at=created_at)

    @takes("If-Match", _TAGS)
    @refuses(412, 428)
    def if_match(self) -> Callable[[Model], bool]:
        """A function that says whether a model is as the client has seen it, by the request's conditions.

        428 (RFC 6585) if the request has no `If-Match`.
        """
        required, excluded = self.tags("If-Match"), self.tags("If-None-Match")
        if required is None:
            raise tornado.web.HTTPError(
                428, "Send the ETag of the version that you have seen as If-Match, so that no change is lost."
            )

        def is_as_seen(model: Model) -> bool:
            tag = self._tag(model)
            is_excluded = excluded is not None and excluded.have_any_coding_of(tag, weak=True)
            return required.have_any_coding_of(tag, weak=False) and not is_excluded

        return is_as_seen

    @takes("If-None-Match", _TAGS)
    @refuses(412)
    def wants_to_create(self) -> bool:
        """Whether the request may only create what it is sent to: `If-None-Match: *`."""
        excluded = self.tags("If-None-Match")
        return excluded is not None and excluded.is_any and self.tags("If-Match") is None

    def tags(self, header: str) -> Tags | None:
        """The tags that the request lists in this header; None without it, 400 if it is malformed."""
        value = self.request.headers.get(header)
        try:
            return None if value is None else tags_of(value)
        except ValueError as error:
            raise tornado.web.HTTPError(400, f"{header} {error}.") from error

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """See `ServiceHandler.write_error`; 412 has the current `ETag`, if there is a model."""
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        if isinstance(error, ChangedError) and error.current is not None:
            self.set_header("ETag", self._etag(error.current))
        super().write_error(status_code, **kwargs)

    def _check_is_wanted(self, model: Model) -> None:
        self.tags("If-None-Match")
        required = self.tags("If-Match")
        if required is not None and not required.have_any_coding_of(self._tag(model), weak=False):
            raise ChangedError(model)

    def _etag(self, model: Model) -> str:
        return f'"{self._tag(model)}"'

    def _tag(self, model: Model) -> str:
        text = "\n".join([self.representation_version, str(model.rev), str(model.id)])
        return hashlib.sha256(text.encode()).hexdigest()[:_TAG_SIZE_DIGITS]


class _TagOfTheAnswer(tornado.web.OutputTransform):
    """Makes the tag that of the answer's content coding; then answers 304 if the client has just that."""

    def __init__(self, handler: ConditionalHandler) -> None:
        self._handler = handler

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        """Called by Tornado with the headers of the answer, and its body."""
        if status_code not in (200, 201) or "ETag" not in headers:
            return status_code, headers, chunk
        tag = headers["ETag"].strip('"')
        if "Content-Encoding" in headers:
            tag = f"{tag}-{headers['Content-Encoding']}"
            headers["ETag"] = f'"{tag}"'
        known = self._handler.tags("If-None-Match")
        is_safe = self._handler.request.method in _SAFE_METHODS
        if not is_safe or known is None or not known.have(tag, weak=True):
            return status_code, headers, chunk
        self._handler.set_status(304)
        for name in ("Content-Type", "Content-Length", "Content-Encoding"):
            headers.pop(name, None)
        return 304, headers, b""
