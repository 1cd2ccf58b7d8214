"""What a sample's own options are in production: where its keys and secrets are, and how they get there."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence


@dataclasses.dataclass(frozen=True)
class Place:
    """How a deployed service gets what `{…}` stands for in its options: a line for each kind of deployment.

    `unit` and `container` are the values of the option; None in place of a line means that none is needed.
    """

    unit: str
    container: str
    unit_line: str | None = None
    compose_volume: str | None = None
    kubernetes_mount: str | None = None
    kubernetes_volume: str | None = None
    note: str | None = None


_PLACES: Mapping[str, Place] = {
    "key_set": Place(
        unit="${CREDENTIALS_DIRECTORY}/keys.json",
        container="/run/secrets/keys/keys.json",
        unit_line="LoadCredential=keys.json:/etc/my-service/keys.json",
        compose_volume="../.run/keys.json:/run/secrets/keys/keys.json:ro",
        kubernetes_mount="{name: keys, mountPath: /run/secrets/keys, readOnly: true}",
        kubernetes_volume="{name: keys, secret: {secretName: my-service-keys, defaultMode: 288}}",
        note="""\
- `python -m tor_async_couchdb keys new keys.json` makes the key set. In Kubernetes it is `keys.json` in the
  secret `my-service-keys`. Seed documents have to be signed with it: `install --seeddocsigner FILE`.""",
    ),
    "protection": Place(
        unit="${STATE_DIRECTORY}/protection",
        container="/var/lib/my-service/protection",
        unit_line="StateDirectory=my-service",
        compose_volume="../.run/protection:/var/lib/my-service/protection",
        kubernetes_mount="{name: protection, mountPath: /var/lib/my-service}",
        kubernetes_volume="{name: protection, persistentVolumeClaim: {claimName: my-service-protection}}",
        note="""\
- `python -m tor_async_couchdb secrets new FOLDER` makes the folder of secrets, which user 10001 has to own in
  a container. It holds the data keys in SQLite, so all processes have to share it: in Kubernetes the claim
  `my-service-protection`. For several machines write a `DataKeyStore` on a database that they share.""",
    ),
    "etcd": Place(unit="http://127.0.0.1:2379", container="http://etcd:2379"),
    "webhook": Place(
        unit="http://127.0.0.1:8080/",
        container="http://webhook:8080/",
        note="- `--webhook URL` has to be where your events go.",
    ),
}


class Deployment:
    """The lines that the files in deploy/ get for a sample's options."""

    def __init__(self, options: Sequence[str]) -> None:
        self._options = options
        self._places = [place for name, place in _PLACES.items() if f"{{{name}}}" in " ".join(options)]

    @property
    def unit_options(self) -> list[str]:
        """The options under systemd."""
        return self._filled(lambda place: place.unit)

    @property
    def container_options(self) -> list[str]:
        """The options in a container."""
        return self._filled(lambda place: place.container)

    def lines(self, what: Callable[[Place], str | None]) -> list[str]:
        """The lines that these options need."""
        return [line for place in self._places if (line := what(place)) is not None]

    def _filled(self, value: Callable[[Place], str]) -> list[str]:
        values = {name: value(place) for name, place in _PLACES.items()}
        return [option.format_map(values) for option in self._options]
