"""The gate in front of everything: host, token, origin, size, and headers on every answer (DESIGN section 10).

In single-user mode the server trusts whoever reaches it on loopback, so what must be kept out is a web page of somebody
else's in the same browser: a foreign ``Host`` (DNS rebinding), a foreign ``Origin``, and forms, which cannot send
``X-Microtome: 1``. A program that is no browser sends no ``Origin`` and no ``Sec-Fetch-Site`` and is let through.
In team mode the same holds, and ``api.policy`` asks who it is behind this gate.
"""

from __future__ import annotations

import hmac
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from microtome.api.problems import document, problem_response
from microtome.core.settings import Settings

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
TOKEN_COOKIE = "microtome_token"  # noqa: S105 - a name, not a secret
JSON_BYTES = 4 * 2**20
UPLOADS = ("/api/v1/uploads", "/api/v1/label-sets/import", "/api/v1/findings/import")
WRITES = {"POST", "PATCH", "PUT", "DELETE"}
CSP = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
    "connect-src 'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
#: Pages that others may show within theirs: they read what is open to everybody, and a frame brings no session along.
EMBED = "/embed/"
#: Frozen views, which our own pages show within findings.
FROZEN = "/s/"
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}


def host_name(host: str) -> str:
    """``[::1]:8000`` gives ``::1``."""
    if host.startswith("["):
        return host[1:].split("]")[0]
    return host.rsplit(":", 1)[0] if ":" in host else host


class Gate:
    """ASGI middleware; see the module's docstring."""

    def __init__(self, app: ASGIApp, settings: Settings, token: str | None) -> None:
        self.app, self.settings, self.token = app, settings, token
        self.hosts = LOOPBACK | {h.lower() for h in settings.allowed_hosts}
        if settings.host not in ("0.0.0.0", "::", ""):  # noqa: S104 - compared, not bound
            self.hosts.add(settings.host.lower())
        public = urlsplit(settings.public_url or "")
        self.public = public.netloc.lower()
        if public.hostname:
            self.hosts.add(public.hostname.lower())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        give_cookie = False

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                out = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    out.setdefault(name, value)
                if scope["path"].startswith(EMBED):
                    out["Content-Security-Policy"] = CSP.replace("frame-ancestors 'none'", "frame-ancestors *")
                    del out["X-Frame-Options"]
                elif scope["path"].startswith(FROZEN):
                    out["Content-Security-Policy"] = CSP.replace("frame-ancestors 'none'", "frame-ancestors 'self'")
                    out["X-Frame-Options"] = "SAMEORIGIN"
                if self.settings.secure:
                    out.setdefault("Strict-Transport-Security", "max-age=31536000")
                if give_cookie:
                    out.append("set-cookie", f"{TOKEN_COOKIE}={self.token}; HttpOnly; SameSite=Lax; Path=/")
            await send(message)

        refusal = self._refuse(scope, headers)
        if refusal is None and self.token is not None:
            query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
            given = query.get("token", [""])[0]
            give_cookie = _same(given, self.token)
            if not (give_cookie or self._has_token(headers) or scope["path"] == "/api/v1/health"):
                refusal = document(
                    401, "unauthorized", "A token is needed",
                    "This server listens beyond its own machine. Open the address with ?token=... that was printed when it "
                    "started, or send it as 'Authorization: Bearer ...'.",
                )  # fmt: skip
        if refusal is not None:
            await problem_response(refusal)(scope, receive, guarded)
            return
        await self.app(scope, self._bounded(scope, headers, receive), guarded)

    def _has_token(self, headers: Headers) -> bool:
        assert self.token is not None
        jar: SimpleCookie = SimpleCookie()
        jar.load(headers.get("cookie", ""))
        cookie = jar[TOKEN_COOKIE].value if TOKEN_COOKIE in jar else ""
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        return _same(cookie, self.token) or _same(bearer, self.token)

    def _refuse(self, scope: Scope, headers: Headers) -> dict[str, Any] | None:
        host = headers.get("host", "")
        if host_name(host).lower() not in self.hosts:
            return document(
                403, "forbidden", "This host name is not served",
                f"The request names the host '{host[:100]}'. Use http://127.0.0.1:{self.settings.port}, or add the name to "
                "MICROTOME_ALLOWED_HOSTS.", "Host",
            )  # fmt: skip
        if scope["method"] in WRITES:
            origin, site = headers.get("origin"), headers.get("sec-fetch-site")
            foreign = origin is not None and urlsplit(origin).netloc.lower() not in {host.lower(), self.public} - {""}
            if foreign or site in ("cross-site", "same-site"):
                return document(
                    403, "forbidden", "This is not allowed here",
                    f"A page of '{(origin or site or '')[:100]}' tried to change something. Only pages of this server may.",
                    "Origin",
                )  # fmt: skip
            if (origin is not None or site is not None) and headers.get("x-microtome") != "1":
                return document(
                    403, "forbidden", "This is not allowed here",
                    "A write from a browser must carry the header 'X-Microtome: 1'. Add it to the request.", "X-Microtome",
                )  # fmt: skip
            length = headers.get("content-length", "")
            limit = self._limit(scope)
            if length.isdigit() and int(length) > limit:
                return _too_large(limit)
        return None

    def _limit(self, scope: Scope) -> int:
        return self.settings.upload_bytes + 65536 if scope["path"] in UPLOADS else JSON_BYTES

    def _bounded(self, scope: Scope, headers: Headers, receive: Receive) -> Receive:
        """A chunked body has no length to check beforehand, so it is counted as it comes."""
        limit, seen = self._limit(scope), 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > limit:
                    from microtome.core.errors import TooLarge

                    raise TooLarge(_too_large(limit)["detail"])
            return message

        return counted


def _too_large(limit: int) -> dict[str, Any]:
    return document(413, "too-large", "The input is too large", f"The body is larger than {limit:,} bytes. Send less, or raise the limit.")


def _same(given: str, wanted: str) -> bool:
    return bool(given) and hmac.compare_digest(given.encode(), wanted.encode())
