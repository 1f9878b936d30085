"""Mail by SMTP: one connection for each, encrypted where the server can, and never a password in the clear."""

from __future__ import annotations

import contextlib
import ipaddress
import smtplib
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from worker.mail.circuit import Circuit
from worker.mail.gateway import Mail, MailError, Refused, Unavailable

SLOW_ANSWERS = 6
"""A conversation has some dozen answers; this many may take all the time that one may take."""

PORTS = {"smtp": 25, "smtps": 465}
SUBMISSION_PORT = 587
"""Where a server takes mail from those who log in (RFC 6409)."""

GOODBYE_SECONDS = 1.0

CLOSING = 421
"""The server is about to hang up: whatever was asked, it is not the mail's fault (RFC 5321, section 3.8)."""


class Smtp:
    """A mail server, by `smtp://user:password@host:port`, or `smtps://` for one that is encrypted from the first byte.

    With `smtp://` STARTTLS is used when the server offers it, and required when there is a password to send and the
    server is not this machine. Certificates are verified, by what this machine trusts.
    """

    def __init__(self, url: str, *, timeout: float, name: str) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._encrypted = parts.scheme == "smtps"
        self._user = unquote(parts.username or "")
        self._password = unquote(parts.password or "")
        usual = SUBMISSION_PORT if self._user and not self._encrypted else PORTS[parts.scheme]
        self._port = parts.port or usual
        self._timeout = timeout
        self._name = name
        self._circuit = Circuit()
        # Looking the server's name up has a timeout of its own, the resolver's.
        self.longest_seconds = timeout * SLOW_ANSWERS + 30

    def send(self, mail: Mail) -> None:
        with self._circuit.passing():
            with _in_our_words(_of_the_server, lacking=_no_login):
                connection = self._open()
            with contextlib.closing(connection):
                with _in_our_words(_of_the_server, lacking=_no_login):
                    self._secure(connection)
                    if self._user:
                        connection.login(self._user, self._password)
                with _in_our_words(_of_the_mail, lacking=_no_such_letters):
                    connection.send_message(mail.message, mail.sender, [mail.recipient])
                # The server has the mail, and how it says goodbye changes nothing about that.
                connection.ends = time.monotonic() + GOODBYE_SECONDS
                with contextlib.suppress(OSError):
                    connection.quit()

    def greet(self) -> None:
        """Do all that comes before a mail: connect, encrypt, log in. Raises `MailError`."""
        with _in_our_words(_of_the_server, lacking=_no_login), contextlib.closing(self._open()) as connection:
            self._secure(connection)
            if self._user:
                connection.login(self._user, self._password)

    def _open(self) -> _Patient:
        given: dict[str, Any] = {"timeout": self._timeout, "local_hostname": self._name}
        ends = time.monotonic() + self._timeout * SLOW_ANSWERS
        if self._encrypted:
            return _Encrypted(ends, self._host, self._port, context=ssl.create_default_context(), **given)
        return _Plain(ends, self._host, self._port, **given)

    def _secure(self, connection: smtplib.SMTP) -> None:
        connection.ehlo_or_helo_if_needed()
        if self._encrypted:
            return
        if connection.has_extn("starttls"):
            connection.starttls(context=ssl.create_default_context())
            connection.ehlo_or_helo_if_needed()
        elif self._user and not _is_this_machine(self._host):
            raise Unavailable("starttls_missing", server=True, misconfigured=True)


class _Patient(smtplib.SMTP):
    """A conversation that ends, however slow each answer is."""

    def __init__(self, ends: float, *args: Any, **options: Any) -> None:
        self.ends = ends
        super().__init__(*args, **options)

    def getreply(self) -> tuple[int, bytes]:
        left = self.ends - time.monotonic()
        if left <= 0:
            self.close()
            raise TimeoutError
        if self.sock is not None:
            self.sock.settimeout(min(left, self.timeout))
        return super().getreply()


class _Plain(_Patient):
    pass


class _Encrypted(_Patient, smtplib.SMTP_SSL):
    pass


def _no_login() -> MailError:
    return Unavailable("login_unsupported", server=True, misconfigured=True)


def _no_such_letters() -> MailError:
    return Refused("address_unsupported")


def _for_ever(status: int) -> bool:
    """Whether a status says that trying again comes to the same (RFC 5321, section 4.2.1)."""
    return 500 <= status < 600


def _of_the_server(status: int) -> MailError:
    """What went wrong before there was any talk of a mail: that is the server's fault or ours, never the mail's."""
    return Unavailable("server", status, server=True, misconfigured=_for_ever(status))


def _of_the_mail(status: int) -> MailError:
    return Refused("refused", status) if _for_ever(status) else Unavailable("later", status, server=status == CLOSING)


@contextlib.contextmanager
def _in_our_words(of_status: Callable[[int], MailError], *, lacking: Callable[[], MailError]) -> Iterator[None]:
    """Raise smtplib's and the network's errors as ours, without their texts; `lacking` when the server cannot do what
    it takes."""
    try:
        yield
    except MailError:
        raise
    except smtplib.SMTPRecipientsRefused as error:
        raise of_status(max(status for status, _ in error.recipients.values())) from None
    except (smtplib.SMTPSenderRefused, smtplib.SMTPAuthenticationError) as error:
        # It is us that it does not want, whatever the mail: that passes when somebody sees to it.
        code = "sender_refused" if isinstance(error, smtplib.SMTPSenderRefused) else "login_failed"
        raise Unavailable(code, error.smtp_code, server=True, misconfigured=_for_ever(error.smtp_code)) from None
    except smtplib.SMTPResponseException as error:
        raise of_status(error.smtp_code) from None
    except smtplib.SMTPNotSupportedError:
        raise lacking() from None
    except ssl.SSLCertVerificationError:
        raise Unavailable("certificate", server=True, misconfigured=True) from None
    except OSError as error:  # smtplib's other errors are of this kind as well
        if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
            raise Unavailable("timeout", server=True) from None
        raise Unavailable("connection", type(error).__name__, server=True) from None


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
