"""Who may call which route: one table, checked in front of every route of the API in team mode.

A route that is not in the table keeps the application from starting. Whose object it is (one's own, another workspace's,
private) is checked where the object is read; this is about roles alone. In single-user mode everybody may do everything.
"""

from __future__ import annotations

import hmac
from collections.abc import Container, Mapping
from typing import Final

import anyio
import orjson
from fastapi import Request
from fastapi.routing import APIRoute
from sqlalchemy import ColumnElement, Table, select

from microtome.api.desk import Desk
from microtome.api.who import address_of, person_of, session_token, signed
from microtome.collab.accounts import Signed
from microtome.collab.people import ROLES
from microtome.core.errors import Forbidden, NotFound, SignInNeeded
from microtome.store import tables as t

ANYONE: Final = "anyone"  # also who is not signed in
LINK: Final = "link"  # viewers; and whoever has a share link, for what that link shows
SIGNED: Final = "signed-in"  # also without a workspace
OWN: Final = "own-account"  # signed in with a session: a token must not make more of itself
LEVELS = (ANYONE, LINK, SIGNED, OWN, *ROLES)
SAFE = ("GET", "HEAD")

RULES: dict[str, str] = {
    # system
    "health": ANYONE, "ready": ANYONE, "metrics": "viewer", "system": "viewer", "search": "viewer", "events": "viewer",
    # account
    "session": ANYONE, "sign_in": ANYONE, "sign_out": SIGNED, "rename": OWN, "change_password": OWN, "leave": OWN,
    "oidc_start": ANYONE, "oidc_callback": ANYONE,
    "list_sessions": OWN, "end_other_sessions": OWN, "end_session": OWN, "list_tokens": OWN, "make_token": OWN, "revoke_token": OWN,
    # people
    "open_invitation": ANYONE, "accept_invitation": ANYONE, "list_invitations": "admin", "invite": "admin", "revoke_invitation": "admin",
    "list_members": "viewer", "change_role": "admin", "remove_member": "viewer", "reset_member": "admin", "delete_account": "admin",
    "list_workspaces": SIGNED, "make_workspace": "admin", "rename_workspace": "admin", "audit_log": "admin",
    # models and probe sets
    "list_models": "viewer", "get_model": LINK, "add_model": "editor", "prompt_tokens": LINK, "remove_model": "editor",
    "list_probes": "viewer", "get_probe": LINK, "add_probe": "editor", "remove_probe": "editor",
    "list_examples": LINK, "get_example": LINK, "example_image": LINK, "example_masks": LINK, "example_tokens": LINK,
    "upload": "annotator", "upload_image": LINK, "import_results": "editor",
    # methods, runs, results
    "list_methods": LINK, "get_method": LINK, "submit": "annotator", "estimate": "viewer", "list_runs": "viewer", "get_run": "viewer",
    "cancel": "annotator", "get_results": LINK, "figure": LINK, "export_result": LINK, "rows": LINK, "blob": LINK,
    # units
    "atlas": LINK, "query": LINK, "aggregate": LINK, "export_units": LINK, "unit_map": LINK, "unit_map_chunk": LINK, "driven": LINK,
    "unit": LINK, "concepts": LINK, "similar": LINK, "strip": LINK, "snippets": LINK,
    # what people write
    "list_annotations": "viewer", "create": "annotator", "change": "annotator", "delete": "annotator", "restore": "annotator",
    "history": "viewer", "list_selections": "viewer", "save_selection": "annotator", "delete_selection": "annotator",
    "share": "annotator", "open_share": ANYONE, "revoke": "annotator",
    # labels as data
    "list_label_sets": "viewer", "label_set": "viewer", "label_set_history": "viewer", "label_units": "viewer", "label_progress": "viewer",
    "make_label_set": "editor", "change_label_set": "editor", "delete_label_set": "editor", "restore_label_set": "editor",
    "add_label_units": "editor", "assign": "editor", "reveal": "editor", "next_unit": "annotator", "label_agreement": "viewer",
    "list_ratings": "viewer", "rating_history": "viewer", "rate": "annotator", "rate_many": "annotator", "undo_batch": "annotator",
    "change_rating": "annotator", "delete_rating": "annotator", "restore_rating": "annotator", "undo_rating": "annotator",
    "list_decisions": "viewer", "decision_history": "viewer", "settle": "editor", "change_decision": "editor", "unsettle": "editor",
    "export_labels": "viewer", "import_labels": "editor",
    # threads
    "list_comments": "viewer", "comment_history": "viewer", "list_votes": "viewer", "list_notifications": "viewer",
    "comment": "annotator", "change_comment": "annotator", "delete_comment": "annotator", "restore_comment": "annotator",
    "vote": "annotator", "read_notifications": "viewer",
    # hypotheses and studies
    "list_hypotheses": "viewer", "hypothesis": "viewer", "hypothesis_history": "viewer", "hypothesis_numbers": "viewer",
    "export_hypotheses": "viewer", "make_hypothesis": "annotator", "change_hypothesis": "annotator", "delete_hypothesis": "annotator",
    "restore_hypothesis": "annotator", "start_hypothesis": "annotator",
    "list_studies": "viewer", "study": "viewer", "study_history": "viewer", "my_study_answers": "viewer", "study_results": "viewer",
    "make_study": "editor", "change_study": "editor", "delete_study": "editor", "restore_study": "editor", "prepare_study": "editor",
    "open_study": "editor", "close_study": "editor", "export_study": "editor", "next_task": "annotator", "task_picture": "annotator",
    "task_passage": "annotator", "answer_task": "annotator",
    # who is looking at what, and who sees what is private
    "put_presence": "viewer", "list_permits": "viewer", "set_permits": "annotator", "list_shares": ANYONE, "usage": SIGNED,
    # findings: whose they are, and whether they are open to everybody, is judged where they are read
    "list_findings": ANYONE, "get_finding": ANYONE, "finding_history": ANYONE, "list_checks": ANYONE, "make_finding": "annotator",
    "export_finding": ANYONE, "export_figure": ANYONE, "finding_preview": ANYONE, "import_finding": "editor",
    "change_finding": "annotator", "delete_finding": "annotator", "restore_finding": "annotator", "check_finding": "annotator",
}  # fmt: skip

#: Routes that open ways in or end them: with a session only, whatever the scope of a token.
BY_SESSION = frozenset({"invite", "reset_member", "delete_account"})
#: Routes that make the machine work, with a limit of their own.
RUNS = frozenset({
    "submit", "start_hypothesis", "prepare_study", "check_finding", "upload", "add_model", "add_probe", "import_results", "change_password",
    "accept_invitation",
})  # fmt: skip
#: Routes that start runs which nobody but the quota bounds; those that may be answered from the store ask it themselves.
STARTS = frozenset({"start_hypothesis", "prepare_study", "check_finding"})
#: Routes that read although they are sent by POST.
READS = frozenset({"estimate", "query", "aggregate", "export_units", "prompt_tokens", "open_invitation"})


def check_table(routes: list[APIRoute]) -> None:
    """
    Raises:
        RuntimeError: a route has no rule, or a rule no route.
    """
    names = [route.name for route in routes]
    twice = {name for name in names if names.count(name) > 1}
    missing, left = set(names) - set(RULES), set(RULES) - set(names)
    unknown = {name for name, level in RULES.items() if level not in LEVELS}
    if missing or left or twice or unknown:
        raise RuntimeError(
            f"api/policy.py and the routes differ: without a rule {sorted(missing)}, without a route {sorted(left)}, "
            f"named twice {sorted(twice)}, of no level {sorted(unknown)}"
        )


async def guard(request: Request) -> None:
    """Dependency of every route of the API; see the module's docstring.

    Raises:
        SignInNeeded, Forbidden, NotFound, TooManyRequests
    """
    desk: Desk = request.app.state.desk
    if not desk.settings.team:
        return
    name = request.scope["route"].name
    # the body was read before dependencies run; a link is named in it by the routes that take a query as their body
    body = await request.body() if request.method == "POST" and RULES[name] == LINK else b""
    await anyio.to_thread.run_sync(_check, desk, request, name, body)


def kind_of(name: str, method: str) -> str:
    """The class whose rate is limited together."""
    if name in RUNS:
        return "runs"
    return "reads" if method in SAFE or name in READS else "writes"


def _check(desk: Desk, request: Request, name: str, body: bytes) -> None:
    level, scope = RULES[name], request.scope
    who = signed(desk, scope)
    desk.limits.take(who.id if who is not None else address_of(desk.settings, scope), kind_of(name, request.method))
    if level == ANYONE:
        if who is not None and who.session is not None and request.method not in SAFE and name != "sign_in":
            _same_session(desk, request)
        return
    link = (request.query_params.get("share") or request.headers.get("x-share")) if level == LINK else None
    if who is None:
        if link is None:
            raise SignInNeeded("Sign in, or send an API token as 'Authorization: Bearer mt_...'. POST /api/v1/session signs in.")
        if not _shown(desk, request, name, link, body):
            raise SignInNeeded("The share link does not show this. Sign in to see more.")
        return
    if who.session is not None and request.method not in SAFE:
        _same_session(desk, request)
    if level == SIGNED:
        return
    if level == OWN:
        if who.session is None:
            raise Forbidden("An API token cannot change the account that it belongs to. Sign in with a browser for this.")
        return
    if name in BY_SESSION and who.session is None:
        raise Forbidden("An API token cannot make links into accounts, nor end accounts. Sign in with a browser for this.")
    if who.scope == "read" and request.method not in SAFE and name not in READS:
        raise Forbidden("This token has the scope 'read' and changes nothing. Make one with the scope 'write'.")
    if link is not None and not who.memberships and _shown(desk, request, name, link, body):
        return
    _role(desk, request, who, ROLES[0] if level == LINK else level)
    if name in STARTS:
        desk.quotas.take_run(who.id)


def _same_session(desk: Desk, request: Request) -> None:
    token = session_token(desk, request.scope) or ""
    given = request.headers.get("x-csrf-token", "")
    if not hmac.compare_digest(given.encode(), desk.accounts.sessions.csrf(token).encode()):
        raise Forbidden(
            "A write from a browser must carry the header X-CSRF-Token with what GET /api/v1/session says. Reload the page and try again.",
            field="X-CSRF-Token",
        )


def _role(desk: Desk, request: Request, who: Signed, least: str) -> None:
    me = person_of(desk, request.scope)
    if me is None:
        raise Forbidden("You are in no workspace. Ask an admin for an invitation.", field="X-Workspace")
    if ROLES.index(me.role) < ROLES.index(least):  # type: ignore[arg-type]
        by = f"this token with the scope '{who.scope}' is no more than" if who.scope is not None else "in this workspace you are"
        raise Forbidden(f"This needs the role {least}; {by} {me.role}. Ask an admin of the workspace.")


def _shown(desk: Desk, request: Request, name: str, link: str, body: bytes) -> bool:
    """True if what is behind the link, a frozen view or a finding, holds what this request asks for."""
    try:
        share = desk.shares.get(link)
    except NotFound:
        return _in_finding(desk, request, name, link)
    if not desk.shares.open_to_all(share):
        return False
    asked, path = request.query_params, request.path_params
    if not _about(request, {share.state.get("model")}, {share.state.get("probe")}):
        return False
    if name in OF_SUBJECTS:
        return True
    if name == "upload_image":
        return (share.state.get("explain") or {}).get("example") == f"upload:{path['sha256']}"
    if name in OF_KEYS or name == "blob":
        return _pinned(desk, t.share_result, t.share_result.c.share_id == link, path)
    if name in ("query", "aggregate", "export_units", "prompt_tokens"):
        try:
            wanted = orjson.loads(body)
        except orjson.JSONDecodeError:
            return False
        if not isinstance(wanted, dict):
            return False
        if name == "prompt_tokens":
            own = {"model": share.state.get("model"), "text": (share.state.get("language") or {}).get("prompt")}
            return wanted == own
        return wanted.get("share") == link
    return asked.get("share") == link  # the atlas and all about units: answered from what the share froze, or not at all


def _in_finding(desk: Desk, request: Request, name: str, id: str) -> bool:
    """True if a finding that everybody may read rests on what this request asks for. Its views are links of their own."""
    try:
        finding = desk.findings.get(None, id)
    except NotFound:
        return False
    made, checked = desk.findings.rests_on(None, finding)
    subjects = [entry["subjects"] for entry in made.values()]
    if not _about(request, {s.get("model") for s in subjects}, {s.get("probe") for s in subjects}):
        return False
    if name in OF_SUBJECTS:
        return True
    if name == "upload_image":
        return f"upload:{request.path_params['sha256']}" in {s.get("example") for s in subjects}
    if name in OF_KEYS or name == "blob":
        mine = (t.finding_result.c.finding_id == id) & t.finding_result.c.key.in_([*made, *checked])
        return _pinned(desk, t.finding_result, mine, request.path_params)
    return False


#: Routes about a model or probe set that a link is about, and those about a result that it pins.
OF_SUBJECTS = frozenset({
    "list_methods", "get_method", "get_model", "get_probe", "list_examples", "get_example", "example_image", "example_masks",
    "example_tokens",
})  # fmt: skip
OF_KEYS = frozenset({"get_results", "figure", "export_result", "rows"})


def _about(request: Request, models: Container[str | None], probes: Container[str | None]) -> bool:
    """True if the request names no other model or probe set."""
    for kind, known in (("model", models), ("probe", probes)):
        value = request.path_params.get(kind) or request.query_params.get(kind)
        if value is not None and value not in known:
            return False
    return True


def _pinned(desk: Desk, pins: Table, by: ColumnElement[bool], path: Mapping[str, str]) -> bool:
    """True if the result that the path names, or one that holds the array it names, is pinned."""
    query = select(pins.c.key).where(by)
    if "sha256" in path:
        query = query.join(t.result_blob, t.result_blob.c.key == pins.c.key).where(t.result_blob.c.sha256 == path["sha256"])
    else:
        query = query.where(pins.c.key == path["key"])
    with desk.store.read() as connection:
        return connection.execute(query.limit(1)).first() is not None
