"""The chassis of a microservice: everything that each service needs and none should write.

What a service without signing, encryption or etcd needs is here; `couchdb` and `etcd` are imported by their
own paths.
"""

from tor_async_service.app.application import Parts, Route, ServiceApplication
from tor_async_service.app.options import GuardOptions, Option
from tor_async_service.app.run import run
from tor_async_service.http.answers import Parameter, answers, refuses, takes
from tor_async_service.http.conditional import ConditionalHandler
from tor_async_service.http.events import EventStreamHandler
from tor_async_service.http.handler import ServiceHandler
from tor_async_service.http.idempotent import IdempotentHandler, KeysInUse
from tor_async_service.http.problems import Problem
from tor_async_service.http.service import HealthCheck, OwnMetrics
from tor_async_service.metrics import ServiceMetrics
from tor_async_service.operations.checks import UnhealthyError

__all__ = [
    "ConditionalHandler",
    "EventStreamHandler",
    "GuardOptions",
    "HealthCheck",
    "IdempotentHandler",
    "KeysInUse",
    "Option",
    "OwnMetrics",
    "Parameter",
    "Parts",
    "Problem",
    "Route",
    "ServiceApplication",
    "ServiceHandler",
    "ServiceMetrics",
    "UnhealthyError",
    "answers",
    "refuses",
    "run",
    "takes",
]
