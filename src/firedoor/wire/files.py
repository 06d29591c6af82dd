"""Where everything lies in the data directory."""

from dataclasses import dataclass
from pathlib import Path

from firedoor.config import Config


@dataclass(frozen=True, slots=True)
class Files:
    """Paths below the data directory. ``keys`` and the token are readable by the owner only.

    Attributes:
        data: The data directory.
        head: The file the ledger's head is kept in; None for the usual one.
    """

    data: Path
    head: Path | None = None

    @classmethod
    def of(cls, config: Config) -> "Files":
        """Everything where the configuration says it lies."""
        return cls(config.data, config.ledger.head)

    @property
    def blobs(self) -> Path:
        """Bytes by digest."""
        return self.data / "blobs"

    def looking(self, channel: str) -> Path:
        """How far the look at a channel's upstream has got, while there is one."""
        return self.data / "looking" / f"{channel}.json"

    @property
    def preflight(self) -> Path:
        """Views of the releases that are looked at just now; nothing in it is kept."""
        return self.data / "preflight"

    @property
    def register(self) -> Path:
        """Machines and their tokens."""
        return self.data / "machines.db"

    @property
    def signals(self) -> Path:
        """The intake's database."""
        return self.data / "intake.db"

    @property
    def root_key(self) -> Path:
        """Secret that admission seeds are made from: not in a database, nor in its backup."""
        return self.data / "keys" / "root.key"

    @property
    def ledger_key(self) -> Path:
        """Private key of the ledger; the public one lies beside it."""
        return self.data / "keys" / "ledger.pem"

    @property
    def authority(self) -> Path:
        """Folder of the site's own certificate authority; there is one if somebody made it."""
        return self.data / "ca"

    @property
    def console_token(self) -> Path:
        """What a person shows to act through the console."""
        return self.data / "console.token"

    @property
    def judge_token(self) -> Path:
        """What a pipeline shows to ask the judge alone; there is one if somebody made it."""
        return self.data / "judge.token"

    @property
    def ledger_head(self) -> Path:
        """The last ledger head, kept apart from the ledger: it shows a restored backup."""
        return self.head or self.own_head

    @property
    def own_head(self) -> Path:
        """Where the head usually lies."""
        return self.data / "ledger.head"

    def lock(self, role: str) -> Path:
        """Held by the one process that has this role."""
        return self.data / f"{role}.lock"
