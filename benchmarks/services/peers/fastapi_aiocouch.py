"""The fruits' routes as they are written with FastAPI and aiocouch; a lost race is tried again at once.

uvicorn fastapi_aiocouch:app, with COUCHDB_URL, COUCHDB_DATABASE, COUCHDB_USER and COUCHDB_PASSWORD.
"""

import json
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated

from aiocouch import CouchDB, Document
from aiocouch.database import Database
from aiocouch.exception import ConflictError
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field

_MAX_RETRIES = 20


class FruitBody(BaseModel):
    """What a client sends to create or change a fruit."""

    model_config = ConfigDict(extra="forbid")

    color: Annotated[str, Field(min_length=1)]


class Fruit(BaseModel):
    """What a client gets."""

    fruit_id: str
    color: str
    created_on: str
    updated_on: str
    change_count: int


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    user, password = os.environ["COUCHDB_USER"], os.environ["COUCHDB_PASSWORD"]
    async with CouchDB(os.environ["COUCHDB_URL"], user=user, password=password) as couchdb:
        app.state.database = await couchdb[os.environ["COUCHDB_DATABASE"]]
        yield


app = FastAPI(lifespan=_lifespan)


async def _database(request: Request) -> Database:
    return request.app.state.database


OpenDatabase = Annotated[Database, Depends(_database)]


async def _find(database: Database, fruit_id: str) -> Document:
    view = database.view("fruit_by_fruit_id", "fruit_by_fruit_id")
    found = await view.get(key=json.dumps(fruit_id), include_docs=True, limit=1)
    for document in found.docs():
        return document
    raise HTTPException(404)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


@app.post("/v1.0/fruits", status_code=201)
async def create(body: FruitBody, response: Response, database: OpenDatabase) -> Fruit:
    """Makes a new fruit."""
    fruit_id, now = uuid.uuid4().hex, _now()
    document = await database.create(fruit_id)
    document.update(
        {
            "type": "fruit_v1.0",
            "fruit_id": fruit_id,
            "color": body.color,
            "created_on": now,
            "updated_on": now,
            "change_count": 0,
        }
    )
    await document.save()
    response.headers["Location"] = f"/v1.0/fruits/{fruit_id}"
    return Fruit(**document.data)


@app.get("/v1.0/fruits")
async def fetch_all(database: OpenDatabase) -> list[Fruit]:
    """All fruits."""
    view = database.view("fruit_by_fruit_id", "fruit_by_fruit_id")
    return [Fruit(**document.data) async for document in view.docs()]


@app.get("/v1.0/fruits/{fruit_id}")
async def fetch(fruit_id: str, database: OpenDatabase) -> Fruit:
    """One fruit."""
    return Fruit(**(await _find(database, fruit_id)).data)


@app.put("/v1.0/fruits/{fruit_id}")
async def change(fruit_id: str, body: FruitBody, database: OpenDatabase) -> Fruit:
    """Changes the color of a fruit."""
    for _ in range(1 + _MAX_RETRIES):
        document = await _find(database, fruit_id)
        document["color"] = body.color
        document["updated_on"] = _now()
        document["change_count"] += 1
        try:
            await document.save()
        except ConflictError:
            continue
        return Fruit(**document.data)
    raise HTTPException(409)


@app.delete("/v1.0/fruits/{fruit_id}")
async def delete(fruit_id: str, database: OpenDatabase) -> None:
    """Deletes a fruit."""
    for _ in range(1 + _MAX_RETRIES):
        document = await _find(database, fruit_id)
        try:
            await document.delete()
        except ConflictError:
            continue
        return
    raise HTTPException(409)
