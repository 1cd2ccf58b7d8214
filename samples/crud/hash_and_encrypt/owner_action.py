"""The interactions with owners: to find their fruits, to compare their PINs, and to forget them."""

from tor_async_couchdb.actions.retrieve import AsyncModelsRetriever
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import ForgottenError
from tor_async_couchdb.protection.folder import Protector

from .model import Email, Fruit, OwnerID, Pin


def hash_of_email(email: Email, protection: Protector) -> str:
    """What stands for an e-mail address where fruits are found by it, however its letters are written."""
    return protection.pepper.hash("email", email.casefold())


class AsyncFruitsByEmailRetriever(AsyncModelsRetriever[Fruit]):
    """Finds the fruits of whoever has an e-mail address."""

    model_class = Fruit

    def __init__(self, email: Email, protection: Protector, *, database: Database) -> None:
        email_hash = hash_of_email(email, protection)
        super().__init__("fruit_by_email_hash", email_hash, email_hash, database=database)


class AsyncPinChecker:
    """Compares a PIN with that of a fruit's owner."""

    def __init__(self, fruit: Fruit, pin: Pin, protection: Protector) -> None:
        self._fruit = fruit
        self._pin = pin
        self._protection = protection

    async def check(self) -> bool:
        """Whether it is the owner's; ForgottenError if the owner has been forgotten."""
        if self._fruit.is_owner_forgotten:
            raise ForgottenError(str(self._fruit.id))
        if self._fruit.pin_hash is None:
            return False
        return await self._protection.slow_hasher.matches(self._pin, self._fruit.pin_hash)


class AsyncOwnerForgetter:
    """Forgets an owner, in all fruits and in all copies of the database."""

    def __init__(self, owner_id: OwnerID, protection: Protector) -> None:
        self._owner_id = owner_id
        self._protection = protection

    async def forget(self) -> None:
        """Deletes the owner's data key."""
        await self._protection.encryption.forget(self._owner_id)
