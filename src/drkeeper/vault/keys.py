"""age, through pyrage: sealing to public recipients, opening with identities.

Only native X25519 keys (`age1…`, `AGE-SECRET-KEY-1…`): an identity of that kind tells its own recipient, so a wrong
one is noticed when the vault is opened and not in the middle of a restore.
"""

from collections.abc import Iterable, Sequence

import pyrage
from pyrage import x25519

from drkeeper.errors import FrameCorrupt, KeyMissing, Refused


class Recipients:
    """Public keys that everything is sealed to; none: nothing is sealed.

    Raises:
        Refused: One of them is no age recipient.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = tuple(sorted(texts))
        try:
            self._keys = [x25519.Recipient.from_str(text) for text in self.texts]
        except pyrage.RecipientError as error:
            raise Refused(f"not an age recipient (age1…) among {', '.join(self.texts)}: {error}") from error

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._keys)

    def seal(self, plain: bytes) -> bytes:
        """One binary age file that each recipient can open by itself; the bytes unchanged where there are none."""
        return bytes(pyrage.encrypt(plain, self._keys)) if self._keys else plain


class Identities:
    """Private keys that open what was sealed to the recipients.

    Args:
        texts: `AGE-SECRET-KEY-1…`; whole identity files (with comment lines) are fine.
        recipients: Of the vault. Without any, nothing needs opening.

    Raises:
        KeyMissing: A text is no identity, or none of them belongs to a recipient.
    """

    def __init__(self, texts: Sequence[str], recipients: Recipients) -> None:
        self._keys = [_parse(line) for text in texts for line in text.split() if line.startswith("AGE-SECRET-KEY-")]
        self._needed = bool(recipients)
        if texts and not self._keys:
            raise KeyMissing("no age identity (AGE-SECRET-KEY-1…) in what was given as one")
        if self._keys and recipients and not {str(key.to_public()) for key in self._keys} & set(recipients.texts):
            raise KeyMissing(f"the identity does not open this vault; it is sealed to {', '.join(recipients.texts)}")

    @property
    def can_open(self) -> bool:
        """Whether the vault's data can be read."""
        return bool(self._keys) or not self._needed

    def open(self, sealed: bytes, name: str) -> bytes:
        """The plain bytes; unchanged where nothing is sealed.

        Raises:
            KeyMissing: Sealed, and there is no identity.
            FrameCorrupt: Damaged.
        """
        if not self._needed:
            return sealed
        if not self._keys:
            raise KeyMissing("the vault is encrypted, and no identity was given")
        try:
            return bytes(pyrage.decrypt(sealed, self._keys))
        except pyrage.DecryptError as error:
            raise FrameCorrupt(f"{name} does not decrypt: {error}") from error


def _parse(text: str) -> x25519.Identity:
    try:
        return x25519.Identity.from_str(text)
    except pyrage.IdentityError as error:
        raise KeyMissing(f"an age identity cannot be read: {error}") from error
