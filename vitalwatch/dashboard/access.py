"""Who may see the page, and who may acknowledge.

On this machine's own address, with nothing configured, everybody on the machine may do both. For
another address a token or a reverse proxy must say who it is, or the server does not start. A
token goes into a cookie that no script can read; it never stands in an address.
"""

import hashlib
import hmac
import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from vitalwatch import config
from vitalwatch.errors import ConfigurationError

Role = Literal["view", "acknowledge"]

COOKIE: Final = "vitalwatch"
SESSION_SECONDS: Final = 12 * 3600
SHORTEST_TOKEN: Final = 16
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who may look; ``name`` where a proxy says it."""

    role: Role
    name: str | None = None


class Access:
    """Decides by the settings. Raises ConfigurationError for settings that let anybody in."""

    def __init__(self, settings: config.Dashboard, clock: Callable[[], float] = time.time) -> None:
        self._tokens: dict[Role, str] = {}
        for role, token in (
            ("acknowledge", settings.acknowledge_token),
            ("view", settings.view_token),
        ):
            if token and len(token) < SHORTEST_TOKEN:
                raise ConfigurationError(
                    f"Setting dashboard.{role}_token is too short to be safe: make one of at "
                    f"least {SHORTEST_TOKEN} characters, for example with `openssl rand -hex 16`."
                )
            if token:
                self._tokens[role] = token  # type: ignore[index]
        self._header = settings.proxy_header.lower()
        self._proxies = frozenset(_listed(settings.proxy_addresses))
        self._acknowledgers = frozenset(_listed(settings.proxy_acknowledge))
        self._clock = clock
        self._local = _is_local(settings.host)
        self.open = not self._tokens and not self._header
        if self.open and not self._local:
            raise ConfigurationError(
                f"The dashboard would show patients to everybody who reaches {settings.host}: set "
                "VITALWATCH_DASHBOARD_VIEW_TOKEN (and VITALWATCH_DASHBOARD_ACKNOWLEDGE_TOKEN), or "
                "--dashboard-proxy-header with a reverse proxy in front, or keep "
                "--dashboard-host 127.0.0.1."
            )

    def visitor(self, request: HTTPConnection) -> Visitor | None:
        """Who it is; None for somebody who may see nothing."""
        if self.open:
            # Another site's script could have its own name lead here; then the browser says so.
            return Visitor("acknowledge") if _hostname(request) in _LOCAL else None
        client = request.client.host if request.client else ""
        if self._header and client in self._proxies:
            name = request.headers.get(self._header, "").strip()
            if name:
                may = "*" in self._acknowledgers or name in self._acknowledgers
                return Visitor("acknowledge" if may else "view", name[:80])
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._by_token(token.strip())
        return self._by_cookie(request.cookies.get(COOKIE, ""))

    def session(self, token: str) -> str | None:
        """The cookie for whoever has a token; None for a wrong one."""
        visitor = self._by_token(token)
        if visitor is None:
            return None
        content = f"{visitor.role}.{int(self._clock()) + SESSION_SECONDS}"
        return f"{content}.{self._signature(visitor.role, content)}"

    def _by_token(self, given: str) -> Visitor | None:
        found = None
        for role, token in self._tokens.items():
            if hmac.compare_digest(given.encode(), token.encode()) and found is None:
                found = Visitor(role)
        return found

    def _by_cookie(self, cookie: str) -> Visitor | None:
        content, _, signature = cookie.rpartition(".")
        word, _, until = content.partition(".")
        for role in self._tokens:
            if (
                role == word
                and hmac.compare_digest(signature.encode(), self._signature(role, content).encode())
                and until.isdecimal()
                and int(until) > self._clock()
            ):
                return Visitor(role)
        return None

    def _signature(self, role: Role, content: str) -> str:
        key = b"session of " + self._tokens[role].encode()
        return hmac.new(key, content.encode(), hashlib.sha256).hexdigest()


def same_origin(request: HTTPConnection) -> bool:
    """Whether a request comes from the page itself, or from no browser at all."""
    origin = request.headers.get("origin")
    if origin is None:
        return request.headers.get("sec-fetch-site", "same-origin") == "same-origin"
    return urlsplit(origin).netloc == request.headers.get("host")


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _hostname(request: HTTPConnection) -> str | None:
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname
    except ValueError:
        return None


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
