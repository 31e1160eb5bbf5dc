"""An OpenID provider on a loopback port: discovery, keys, authorisation, token; it checks PKCE, secret and redirect address."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

CLIENT, SECRET = "microtome", "a secret of the client"


@dataclass
class Provider:
    """``person`` is who signs in there; ``claims`` and ``key`` can be spoilt by a test."""

    url: str
    redirect: str
    person: dict[str, Any]
    claims: dict[str, Any] = field(default_factory=dict)
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one"}))
    sign_with: Any = None
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    def token(self, asked: dict[str, str]) -> dict[str, Any]:
        at = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "iat": at, "exp": at + 300, "nonce": asked["nonce"], **self.person, **self.claims}
        claims = {name: value for name, value in claims.items() if value is not None}
        signed = jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.sign_with or self.key)
        return {"access_token": secrets.token_hex(8), "token_type": "Bearer", "expires_in": 300, "id_token": signed}


@contextmanager
def serving_provider(redirect: str) -> Iterator[Provider]:
    """A running provider that knows one client."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None: ...

        def answer(self, body: Any, status: int = 200) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
            provider.seen.append(parts.path)
            if parts.path == "/.well-known/openid-configuration":
                about = {"issuer": provider.url, "jwks_uri": f"{provider.url}/keys"}
                about |= {"authorization_endpoint": f"{provider.url}/authorize", "token_endpoint": f"{provider.url}/token"}
                self.answer(about)
            elif parts.path == "/keys":
                self.answer(KeySet([provider.key]).as_dict(private=False))
            elif parts.path == "/authorize":
                good = (asked["client_id"], asked["response_type"], asked["redirect_uri"], asked["code_challenge_method"])
                if good != (CLIENT, "code", provider.redirect, "S256") or not {"openid", "email"} <= set(asked["scope"].split()):
                    self.answer({"error": "invalid_request"}, 400)
                    return
                code = secrets.token_hex(16)
                provider.codes[code] = asked
                self.send_response(302)
                self.send_header("Location", f"{provider.redirect}?{urlencode({'code': code, 'state': asked['state']})}")
                self.end_headers()
            else:
                self.answer({}, 404)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            sent = {name: values[0] for name, values in parse_qs(body).items()}
            asked = provider.codes.pop(sent.get("code", ""), None)  # a code works once
            basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
            challenge = base64.urlsafe_b64encode(hashlib.sha256(sent.get("code_verifier", "").encode()).digest()).rstrip(b"=").decode()
            if self.headers["Authorization"] != f"Basic {basic}":
                self.answer({"error": "invalid_client"}, 401)
            elif asked is None or asked["code_challenge"] != challenge or sent.get("redirect_uri") != provider.redirect:
                self.answer({"error": "invalid_grant"}, 400)
            else:
                self.answer(provider.token(asked))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    person = {"sub": "42", "email": "ada@lab.example", "email_verified": True, "name": "Ada Lovelace"}
    provider = Provider(f"http://127.0.0.1:{server.server_address[1]}", redirect, person)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
