"""Who may talk to the receiver: parts with their secrets, API keys, and the tokens they get for
them.

Secrets are kept as scrypt hashes in a database of its own, which `cistern query` never opens. A
token is a JWT (RFC 7519) signed with a key of this database: it outlives a restart of the
receiver, and ends when its part or key is removed or gets another secret.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import sqlite3
import time
import uuid
from pathlib import Path
from typing import NamedTuple

from .. import texts

FILE_NAME = "accounts.db"
ROBOT_SECRET = "robot-secret"
API_KEY = "api-key"

# scrypt (RFC 7914): 128 * N * r = 16 MiB and about 50 ms of a PC for each attempt.
SCRYPT = {"n": 2**14, "r": 8, "p": 1, "dklen": 32}
SALT_BYTES = 16
SECRET_BYTES = 32  # of a new secret: 256 bits, 43 characters
# Characters; somebody's own secret file may hold a short one, an empty one is a mistake.
MIN_SECRET = 8
MAX_SECRET = 4096
# Viam's tokens have no end; clients that never log in again see one a month.
TOKEN_SECONDS = 30 * 24 * 3600
LOGINS_AT_ONCE = 2  # scrypt runs, so that a storm of logins leaves CPU for uploads
# More are turned away: 200 * 50 ms / 2 = 5 s is as long as a device should wait.
LOGINS_WAITING = 200

_PART_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)  # also the name of a file
_SQL = """
CREATE TABLE IF NOT EXISTS account (
    kind TEXT NOT NULL,         -- robot-secret or api-key
    entity TEXT NOT NULL,       -- part id or key id
    salt BLOB NOT NULL,
    hash BLOB NOT NULL,
    generation TEXT NOT NULL,   -- random; tokens carry it, so a new secret ends the old tokens
    part TEXT,                  -- API keys: the only part it may act for; NULL: every part
    created INTEGER NOT NULL,   -- seconds since 1970
    PRIMARY KEY (kind, entity)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS signing (key BLOB NOT NULL);
"""


class AccountError(Exception):
    """Something about a part, key or secret that the operator has to change; str() says what."""


class TooManyLoginsError(Exception):
    """More logins are waiting than can be answered in time."""


class TokenError(Exception):
    """The token is not valid; str() says why and what to do."""


class Caller(NamedTuple):
    """Who sent a request."""

    kind: str
    entity: str
    part: str | None  # the only part it may act for; None: every part

    def may_act_for(self, part):
        """Returns whether this caller may act for the part with this id."""
        return self.part is None or self.part == part


class Accounts:
    """Parts and keys of one data folder. Other processes may change them at any time."""

    def __init__(self, data_dir):
        path = Path(data_dir) / FILE_NAME
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=10)
            self._db.executescript(_SQL)
            self._db.execute(
                "INSERT INTO signing SELECT ? WHERE NOT EXISTS (SELECT 1 FROM signing)",
                (secrets.token_bytes(32),),
            )
            (self._key,) = self._db.execute("SELECT key FROM signing").fetchone()
        except sqlite3.DatabaseError as e:
            raise AccountError(f"{path} cannot be used: {e}") from e
        self._decoy = os.urandom(SALT_BYTES)
        self._slots = asyncio.Semaphore(LOGINS_AT_ONCE)
        self._waiting = 0

    def close(self):
        """Closes the database."""
        self._db.close()

    # For the operator

    def add_part(self, part, secret, replace=False):
        """Adds a part; returns False if it is there with this secret already.

        Raises AccountError for a bad id or secret, and for another secret than before unless
        `replace`.
        """
        check_part_id(part)
        row = self._row(ROBOT_SECRET, part)
        if row and hmac.compare_digest(_hash(secret, row[0]), row[1]):
            return False
        if row and not replace:
            raise AccountError(
                f"part {part} exists with another secret; use --replace to give it the new one"
            )
        self._put(ROBOT_SECRET, part, secret, None)
        return True

    def add_key(self, part=None):
        """Adds an API key, for one part or all; returns (key id, key)."""
        if part is not None and not self.knows_part(part):
            raise AccountError(f"part {part} is unknown; add it first: cistern part add {part}")
        key_id, key = str(uuid.uuid4()), new_secret()
        self._put(API_KEY, key_id, key, part)
        return key_id, key

    def remove(self, kind, entity):
        """Removes a part or key, which ends its tokens; returns False if there was none."""
        done = self._db.execute(
            "DELETE FROM account WHERE kind = ? AND entity = ?", (kind, entity)
        )
        return done.rowcount > 0

    def entities(self, kind):
        """Returns [(id, part or None, created in seconds since 1970)] of all parts or keys."""
        return self._db.execute(
            "SELECT entity, part, created FROM account WHERE kind = ? ORDER BY entity", (kind,)
        ).fetchall()

    def knows_part(self, part):
        """Returns whether there is a part of this id."""
        return self._row(ROBOT_SECRET, part) is not None

    # For the services

    async def login(self, kind, entity, secret):
        """Returns a new token, or None for an unknown entity or a wrong secret, in the same time.

        Raises TooManyLoginsError.
        """
        if self._waiting >= LOGINS_WAITING:
            raise TooManyLoginsError
        self._waiting += 1
        try:
            async with self._slots:
                row = self._row(kind, entity)
                salt = row[0] if row else self._decoy
                found = await asyncio.to_thread(_hash, secret, salt)
        finally:
            self._waiting -= 1
        expected = row[1] if row else os.urandom(len(found))
        if not hmac.compare_digest(found, expected) or not row:
            return None
        claims = {
            "sub": entity,
            "kind": kind,
            "gen": row[2],
            "exp": int(time.time()) + TOKEN_SECONDS,
        }
        return _sign(self._key, claims)

    def caller(self, token):
        """Returns the Caller a token was given to; raises TokenError."""
        claims = _verified(self._key, token)
        if claims["exp"] < time.time():
            raise TokenError("the access token has expired; authenticate again")
        row = self._row(claims["kind"], claims["sub"])
        if row is None or row[2] != claims["gen"]:
            raise TokenError(
                "the access token was withdrawn: its part or key has changed; authenticate again"
            )
        part = claims["sub"] if claims["kind"] == ROBOT_SECRET else row[3]
        return Caller(claims["kind"], claims["sub"], part)

    def _row(self, kind, entity):
        return self._db.execute(
            "SELECT salt, hash, generation, part FROM account WHERE kind = ? AND entity = ?",
            (kind, entity),
        ).fetchone()

    def _put(self, kind, entity, secret, part):
        salt = os.urandom(SALT_BYTES)
        self._db.execute(
            "INSERT OR REPLACE INTO account (kind, entity, salt, hash, generation, part, created)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                kind,
                entity,
                salt,
                _hash(secret, salt),
                secrets.token_hex(8),
                part,
                int(time.time()),
            ),
        )


def check_part_id(part):
    """Raises AccountError unless `part` can be a part's id: it names a file in `machines/` too."""
    if not _PART_ID.fullmatch(part):
        raise AccountError(
            f"{part!r} cannot be a part id: use up to 128 letters, digits, '.', '_' and '-', "
            "and start with a letter or digit"
        )


def ensure_secret_file(path):
    """Makes a file (mode 0600) with a random secret unless it exists; returns whether it did."""
    if path.exists():
        return False
    write_secret_file(path, new_secret())
    return True


def write_secret_file(path, secret):
    """Makes a new file that only its owner may read; raises FileExistsError if there is one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(secret + "\n")


def read_secret_file(path):
    """Returns the secret in a file as boards read it (texts.secret); raises AccountError."""
    try:
        secret = texts.secret(path)
    except texts.TextError as e:
        raise AccountError(str(e)) from e
    except OSError as e:
        raise AccountError(f"{path} cannot be read: {e.strerror or e}") from e
    if not MIN_SECRET <= len(secret) <= MAX_SECRET:
        raise AccountError(
            f"{path}: a secret has {MIN_SECRET} to {MAX_SECRET} characters, this one {len(secret)}"
        )
    return secret


def new_secret():
    """Returns a new random secret."""
    return secrets.token_urlsafe(SECRET_BYTES)


def _hash(secret, salt):
    return hashlib.scrypt(secret.encode(), salt=salt, **SCRYPT)


# JWT, HS256 only (RFC 7515 section 3.1): the algorithm is fixed, the header of a token is never
# believed.


def _encode(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


_HEADER = _encode(b'{"alg":"HS256","typ":"JWT"}')


def _sign(key, claims):
    signed = _HEADER + b"." + _encode(json.dumps(claims, separators=(",", ":")).encode())
    return (signed + b"." + _encode(hmac.digest(key, signed, "sha256"))).decode()


def _verified(key, token):
    signed, _, signature = token.encode("utf-8", "replace").rpartition(b".")
    expected = _encode(hmac.digest(key, signed, "sha256"))
    if not hmac.compare_digest(signature, expected):
        raise TokenError("the access token is not one of this receiver's; authenticate again")
    claims = signed.partition(b".")[2]
    return json.loads(base64.urlsafe_b64decode(claims + b"=" * (-len(claims) % 4)))
