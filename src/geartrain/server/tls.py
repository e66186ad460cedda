"""TLS for the job server's side: a context from files, made anew whenever they are to be read again."""

from __future__ import annotations

import ssl

from ..errors import ConfigError
from .options import Tls


def make_context(options: Tls) -> ssl.SSLContext:
    """A context for accepted connections: TLS 1.2 or newer, and client certificates if an authority is named.

    Raises:
        ConfigError: one of the files can't be used; the sentence says which and why.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Tickets would keep a session alive whose certificate was revoked or replaced meanwhile.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    try:
        context.load_cert_chain(options.certificate, options.key or None)
    except OSError as error:
        files = " and ".join(filter(None, (options.certificate, options.key)))
        raise ConfigError(f"tls.certificate: {files} can't be used: {_reason(error)}") from None
    if options.client_ca:
        try:
            context.load_verify_locations(options.client_ca)
        except OSError as error:
            raise ConfigError(f"tls.client_ca: {options.client_ca} can't be used: {_reason(error)}") from None
        context.verify_mode = ssl.CERT_REQUIRED if options.client_required else ssl.CERT_OPTIONAL
    return context


def _reason(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or str(error)
