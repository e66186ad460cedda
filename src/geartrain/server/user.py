"""The user that a server becomes when it has what only root may take."""

from __future__ import annotations

import os

from ..errors import ConfigError


def become(user: str) -> None:
    """Go on as another user, with that user's groups; nothing for an empty name.

    Raises:
        ConfigError: there is no such user, or this one may not become it.
    """
    if not user:
        return
    import pwd

    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise ConfigError(f"user: there is no user {user!r}") from None
    if os.geteuid() == entry.pw_uid:
        return
    try:
        os.initgroups(user, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    except PermissionError:
        raise ConfigError(f"user: only root may become {user!r}") from None
