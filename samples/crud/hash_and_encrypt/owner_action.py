"""The interactions with owners: to find their fruits, to compare their PINs, and to erase them."""

from dataclasses import dataclass

from tor_async_couchdb import AsyncModelsRetriever, Database
from tor_async_couchdb.errors import SubjectErasedError
from tor_async_couchdb.protection.folder import Protector

from .model import Email, Fruit, OwnerID, Pin


def hash_of_email(email: Email, protection: Protector) -> str:
    """The hash by which fruits are found; upper and lower case make no difference."""
    return protection.pepper.hash("email", email.casefold())


class AsyncFruitsByEmailRetriever(AsyncModelsRetriever[Fruit]):
    """Finds the fruits of the owner with an e-mail address."""

    def __init__(self, email: Email, protection: Protector, database: Database) -> None:
        email_hash = hash_of_email(email, protection)
        super().__init__("fruit_by_email_hash", email_hash, email_hash, database=database)


@dataclass(frozen=True)
class AsyncPinChecker:
    """Compares a PIN with the one of a fruit's owner."""

    fruit: Fruit
    pin: Pin
    protection: Protector

    async def check(self) -> bool:
        """Whether it is the owner's PIN; SubjectErasedError if the owner has been erased."""
        if self.fruit.is_owner_erased:
            raise SubjectErasedError(str(self.fruit.id))
        if self.fruit.pin_hash is None:
            return False
        return await self.protection.slow_hasher.matches(self.pin, self.fruit.pin_hash)


@dataclass(frozen=True)
class AsyncOwnerEraser:
    """Erases an owner, in all fruits and in all copies of the database."""

    owner_id: OwnerID
    protection: Protector

    async def erase(self) -> None:
        """Deletes the owner's data key."""
        await self.protection.encryption.erase(self.owner_id)
