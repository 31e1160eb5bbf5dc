"""Signing in at an OpenID provider: authorisation code with PKCE, state and nonce; keys and addresses come from its discovery.

What this server must remember between going there and coming back is in a signed cookie of ten minutes, so that another browser
cannot finish what this one began.
"""

from __future__ import annotations

import hmac
import secrets
import time
from dataclasses import dataclass
from typing import Any, cast

import httpx
from authlib.integrations.httpx_client import OAuth2Client, OAuthError
from itsdangerous import BadData, URLSafeTimedSerializer
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from microtome.core.errors import Forbidden, Unavailable
from microtome.core.settings import Settings

SECONDS = 600
KEEP = 3600.0  # seconds between two looks at the discovery document
SCOPE = "openid email profile"
#: Signatures by a key pair; never "none", and never a secret that both sides know.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class Refused(Forbidden):
    """``reason`` is one word for the page that signs in: denied, expired, failed."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is at the provider."""

    issuer: str
    subject: str
    email: str | None
    verified: bool
    name: str


class Provider:
    """The provider of the settings.

    Args:
        settings: with ``oidc_issuer`` and ``oidc_client_id``.
        key: secret of the installation.
    """

    def __init__(self, settings: Settings, key: str) -> None:
        assert settings.oidc_issuer is not None
        self.settings, self.issuer = settings, settings.oidc_issuer
        self._signer = URLSafeTimedSerializer(key, salt="oidc")
        self._about: tuple[float, dict[str, Any]] | None = None

    def start(self, redirect: str, then: str) -> tuple[str, str]:
        """The address at the provider to go to, and what the cookie must hold meanwhile."""
        kept = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
        with self._client(redirect) as client:
            url, _ = client.create_authorization_url(
                self._discovered()["authorization_endpoint"], state=kept["state"], nonce=kept["nonce"], code_verifier=kept["verifier"]
            )
        cookie = self._signer.dumps(kept | {"then": then})
        return url, cookie if isinstance(cookie, str) else cookie.decode()

    def finish(self, redirect: str, cookie: str | None, answer: dict[str, str]) -> tuple[Identity, str]:
        """Who came back, and where they wanted to go.

        Raises:
            Refused: the provider said no, this browser did not begin it, or it took too long.
            Unavailable: the provider cannot be reached.
        """
        try:
            kept = self._signer.loads(cookie or "", max_age=SECONDS)
        except BadData:
            raise Refused("expired", "Signing in took too long, or was begun in another browser. Try again.") from None
        if not hmac.compare_digest(answer.get("state", "").encode(), kept["state"].encode()):
            raise Refused("expired", "Signing in was begun in another window. Try again.")
        if "error" in answer or "code" not in answer:
            raise Refused("denied", "The provider did not let you in.")
        about = self._discovered()
        try:
            with self._client(redirect) as client:
                token = client.fetch_token(about["token_endpoint"], code=answer["code"], code_verifier=kept["verifier"])
            return self._identity(about, str(token.get("id_token", "")), kept["nonce"]), str(kept["then"])
        except httpx.HTTPError:
            raise Unavailable(f"{self.issuer} cannot be reached. Try again, or sign in with a password.") from None
        except (OAuthError, JoseError, ValueError, KeyError, TypeError):
            raise Refused("failed", "What the provider answered is not valid.") from None

    def _identity(self, about: dict[str, Any], token: str, nonce: str) -> Identity:
        keys = KeySet.import_key_set(cast(Any, self._get(about["jwks_uri"])))
        claims = jwt.decode(token, keys, algorithms=ALGORITHMS).claims
        client = self.settings.oidc_client_id or ""
        jwt.JWTClaimsRegistry(
            leeway=60,
            iss={"essential": True, "value": about["issuer"]},
            aud={"essential": True, "value": client},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
            nonce={"essential": True, "value": nonce},
        ).validate(claims)
        if claims.get("azp", client) != client or (isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and "azp" not in claims):
            raise ValueError("the token is for somebody else")
        email = claims.get("email")
        name = str(claims.get("name") or claims.get("preferred_username") or (email or "").split("@")[0] or "Somebody")
        return Identity(self.issuer, str(claims["sub"])[:255], email, claims.get("email_verified") is True, name)

    def _discovered(self) -> dict[str, Any]:
        if self._about is None or self._about[0] < time.monotonic() - KEEP:
            about = self._get(f"{self.issuer}/.well-known/openid-configuration")
            if str(about.get("issuer", "")).rstrip("/") != self.issuer:
                raise Unavailable(f"{self.issuer} says that it is {str(about.get('issuer'))[:100]}. Correct MICROTOME_OIDC_ISSUER.")
            self._about = (time.monotonic(), about)
        return self._about[1]

    def _get(self, url: str) -> dict[str, Any]:
        if self.issuer.startswith("https://") and not url.startswith("https://"):
            raise Unavailable(f"{self.issuer} names the address {url[:100]}, which is not https.")
        try:
            answer = httpx.get(url, timeout=10.0, follow_redirects=False)
            answer.raise_for_status()
            found = answer.json()
        except (httpx.HTTPError, ValueError):
            raise Unavailable(f"{self.issuer} cannot be reached. Try again, or sign in with a password.") from None
        if not isinstance(found, dict):
            raise Unavailable(f"{self.issuer} answered with something else than its description.")
        return found

    def _client(self, redirect: str) -> OAuth2Client:
        secret = self.settings.oidc_client_secret
        return OAuth2Client(
            self.settings.oidc_client_id, secret.get_secret_value() if secret is not None else None, scope=SCOPE, redirect_uri=redirect,
            code_challenge_method="S256", token_endpoint_auth_method="client_secret_basic" if secret is not None else "none", timeout=10.0,
        )  # fmt: skip


def provider_of(settings: Settings, key: str) -> Provider | None:
    """The provider, if one is set up."""
    return Provider(settings, key) if settings.team and settings.oidc_issuer and settings.oidc_client_id else None
