"""Going to the OpenID provider and coming back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from microtome.api.deps import Team
from microtome.api.desk import Desk
from microtome.api.oidc import SECONDS, Provider, Refused
from microtome.api.routers.session import agent_of, set_cookie
from microtome.collab.accounts.federated import NoAccount
from microtome.core.errors import NotFound

router = APIRouter(tags=["session"])
COOKIE, PATH = "microtome_oidc", "/api/v1/session/oidc"


@router.get("/session/oidc", status_code=302, response_class=Response)
def oidc_start(
    desk: Team, request: Request, next: Annotated[str, Query(max_length=2000, description="Where to go afterwards, on this server.")] = "/"
) -> Response:
    """Go to the provider. 404 when none is set up."""
    then = next if next.startswith("/") and next[1:2] not in ("/", "\\") and next.isprintable() else "/"
    url, cookie = _provider(desk).start(_redirect(desk, request), then)
    response = RedirectResponse(url, 302, headers={"Cache-Control": "no-store"})
    response.set_cookie(COOKIE, cookie, max_age=SECONDS, httponly=True, samesite="lax", secure=desk.settings.secure, path=PATH)
    return response


@router.get("/session/oidc/callback", status_code=302, response_class=Response)
def oidc_callback(desk: Team, request: Request) -> Response:
    """Come back from the provider, signed in, or to the page that says why not."""
    provider = _provider(desk)
    answer = {name: value[:4000] for name, value in request.query_params.items()}
    try:
        who, then = provider.finish(_redirect(desk, request), request.cookies.get(COOKIE), answer)
        token = desk.federated.sign_in(who.issuer, who.subject, who.email, who.verified, who.name, agent_of(request))
    except (Refused, NoAccount) as error:
        response = RedirectResponse(f"/sign-in?error={error.reason}", 302, headers={"Cache-Control": "no-store"})
    else:
        response = RedirectResponse(then, 302, headers={"Cache-Control": "no-store"})
        set_cookie(desk, response, token)
    response.delete_cookie(COOKIE, path=PATH, httponly=True, samesite="lax", secure=desk.settings.secure)
    return response


def _provider(desk: Desk) -> Provider:
    if desk.oidc is None:
        raise NotFound("No OpenID provider is set up. Sign in with a password, or set MICROTOME_OIDC_ISSUER and MICROTOME_OIDC_CLIENT_ID.")
    return desk.oidc


def _redirect(desk: Desk, request: Request) -> str:
    return (desk.settings.public_url or str(request.base_url).rstrip("/")) + f"{PATH}/callback"
