"""Accounts without HTTP: what happens when many come at once, and the parameters that are promised."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select, update

from microtome.api.limits import Limits
from microtome.collab.accounts import Accounts, Signed, passwords
from microtome.collab.accounts.lockout import ACCOUNT, ADDRESS
from microtome.collab.people import MAIN, PersonRow
from microtome.core.errors import Conflict, Forbidden, InvalidInput, MicrotomeError, NotFound, TooManyRequests
from microtome.store import tables as t

PASSWORD = "four plain words here"


@pytest.fixture
def accounts(any_store: Any, monkeypatch: pytest.MonkeyPatch) -> Accounts:
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", cheap)
    monkeypatch.setattr(passwords, "_NOBODY", cheap.hash("nobody"))
    return Accounts(any_store, "key", 24)


def at_once(calls: list[Callable[[], Any]]) -> list[str]:
    """Names of what was raised, or "done", of each call; all in threads of their own."""
    out: list[str] = []
    gate = threading.Barrier(len(calls))

    def one(call: Callable[[], Any]) -> None:
        gate.wait()
        try:
            call()
            out.append("done")
        except MicrotomeError as error:
            out.append(type(error).__name__)

    threads = [threading.Thread(target=one, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(out)


def known(accounts: Accounts, email: str) -> Signed:
    token = accounts.sign_in(email, PASSWORD, "10.0.0.1", "test")
    found = accounts.sessions.signed(token)
    assert found is not None
    return found


def test_the_parameters_of_passwords() -> None:
    kept = passwords.hashed(PASSWORD)
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert kept != passwords.hashed(PASSWORD)
    assert passwords.verify(kept, PASSWORD)
    assert not passwords.verify(kept, PASSWORD + " ")
    assert not passwords.outdated(kept)
    assert passwords.outdated(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD))
    # somebody unknown costs the same work: the hash that is compared with has the same parameters, and is a valid one
    assert passwords._NOBODY.rsplit("$", 2)[0] == kept.rsplit("$", 2)[0]
    assert not passwords.verify(None, PASSWORD)


@pytest.mark.parametrize(
    "password",
    [
        "",
        "short",
        "x" * 201,
        "aaaaaaaaaaaaaaaa",
        "abcdefghijklmnop",
        "passwordpassword",
        "Ada Lovelace 1",
        "ada.lovelace@lab",
        "qwertyqwerty12",
        "P@ssw0rd2026",  # leaked ones, and what is made of them
        "iloveyou1234",
        "1q2w3e4r5t6y",
        "trustno1trustno1",
        "football123456",
    ],
)
def test_weak_passwords(password: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        passwords.check_new(password, "Ada Lovelace", "ada.lovelace@lab.example")
    assert refused.value.field == "password"
    assert len(password) < 12 or password not in refused.value.detail
    assert passwords.check_new(PASSWORD, "Ada Lovelace", None) == PASSWORD


def test_of_many_guesses_at_once_no_more_are_looked_at(accounts: Accounts) -> None:
    accounts.create("Ada", "ada@lab.example", PASSWORD, "viewer")
    guesses = [lambda i=i: accounts.sign_in("ada@lab.example", f"wrong {i}", "10.0.0.1", "") for i in range(12)]
    assert at_once(guesses) == ["Forbidden"] * ACCOUNT.free + ["TooManyRequests"] * (12 - ACCOUNT.free)


def test_waits_grow_and_end() -> None:
    assert [ACCOUNT.wait(n) for n in (0, 4, 5, 6, 7)] == [0, 0, 5, 10, 20]
    assert ACCOUNT.wait(10_000) == ADDRESS.wait(10_000) == 900
    assert (ADDRESS.wait(19), ADDRESS.wait(20)) == (0, 5)


def test_a_right_password_starts_anew(accounts: Accounts) -> None:
    accounts.create("Ada", "ada@lab.example", PASSWORD, "viewer")
    for _ in range(3):
        for i in range(4):
            with pytest.raises(Forbidden):
                accounts.sign_in("ada@lab.example", f"wrong {i}", f"10.0.0.{i}", "")
        accounts.sign_in(" ADA@lab.example ", PASSWORD, "10.0.0.9", "")
    for i in range(5):
        with pytest.raises(Forbidden):
            accounts.sign_in("ada@lab.example", "wrong", f"10.0.1.{i}", "")
    with pytest.raises(TooManyRequests) as waiting:
        accounts.sign_in("ada@lab.example", PASSWORD, "10.0.2.1", "")
    assert 1 <= waiting.value.after <= 5
    with accounts.store.write() as connection:  # a quiet day later
        connection.execute(update(t.failure).values(at=t.failure.c.at - ACCOUNT.forget - 1, until=0.0))
    for i in range(5):
        with pytest.raises(Forbidden):
            accounts.sign_in("ada@lab.example", "wrong", f"10.0.3.{i}", "")


def test_an_invitation_works_once_however_many_use_it(accounts: Accounts) -> None:
    _, token = accounts.invitations.create(None, MAIN, "viewer")
    joins = [lambda i=i: accounts.join_new(token, f"P {i}", f"p{i}@lab.example", PASSWORD, "") for i in range(6)]
    assert at_once(joins) == ["NotFound"] * 5 + ["done"]
    with accounts.store.read() as connection:
        assert connection.execute(select(func.count()).select_from(t.member)).scalar_one() == 1
        assert connection.execute(select(func.count()).select_from(t.person)).scalar_one() == 1  # nobody is left without a workspace


def test_an_address_has_one_account(accounts: Accounts) -> None:
    tokens = [accounts.invitations.create(None, MAIN, "viewer")[1] for _ in range(6)]
    joins = [lambda token=token: accounts.join_new(token, "Ada", "Ada@lab.example", PASSWORD, "") for token in tokens]
    assert at_once(joins) == ["Conflict"] * 5 + ["done"]
    assert len(accounts.invitations.open_ones(MAIN)) == 5  # those that failed were not used up


def test_two_admins_cannot_both_leave(accounts: Accounts) -> None:
    people = [accounts.create(name, f"{name}@lab.example", PASSWORD, "admin") for name in ("ada", "ben")]
    rows = [PersonRow(id, "x") for id in people]
    leaving: list[Callable[[], Any]] = [
        lambda: accounts.workspaces.remove(rows[0], people[1]),
        lambda: accounts.workspaces.change_role(rows[1], people[0], "viewer"),
    ]
    assert at_once(leaving) in (["Conflict", "done"], ["NotFound", "done"])
    assert accounts.have_admin()
    with pytest.raises(Conflict):
        accounts.leave(known(accounts, next(m["email"] for m in accounts.workspaces.members(MAIN, emails=True) if m["role"] == "admin")))


def test_a_removed_person_leaves_no_way_in(accounts: Accounts) -> None:
    accounts.create("Root", "root@lab.example", PASSWORD, "admin")
    accounts.create("Ada", "ada@lab.example", PASSWORD, "editor")
    me = known(accounts, "ada@lab.example")
    _, token = accounts.sessions.make_token(me, "x", "admin", 1)
    _, reset = accounts.invitations.create(None, MAIN, "viewer", person=me.id)
    accounts.leave(me)
    assert accounts.sessions.signed_by_token(token) is None
    assert accounts.sessions.of(me) == []
    with pytest.raises((NotFound, MicrotomeError)):
        accounts.reset_password(reset, PASSWORD, "")
    with pytest.raises(Forbidden):
        accounts.sign_in("ada@lab.example", PASSWORD, "10.0.0.1", "")
    assert accounts.create("Ada again", "ada@lab.example", PASSWORD, "viewer") != me.id  # the address is free again


def test_links_end_with_the_role_of_who_made_them(accounts: Accounts) -> None:
    root = PersonRow(accounts.create("Root", "root@lab.example", PASSWORD, "admin"), "Root")
    other = accounts.workspaces.create(root, "Other")["id"]
    for end in ("demote", "remove", "forget"):
        email = f"{end}@lab.example"
        person = accounts.create(end, email, PASSWORD, "admin")
        by = PersonRow(person, end)
        made = {
            "join": accounts.invitations.create(by, MAIN, "admin"),
            "reset": accounts.invitations.create(by, MAIN, "viewer", person=root.id),
            "back": accounts.invitations.create(root, MAIN, "admin", email=email),
            "elsewhere": accounts.invitations.create(by, other, "viewer"),
            "others": accounts.invitations.create(root, MAIN, "viewer", email="someone@lab.example"),
        }
        if end == "demote":
            accounts.workspaces.change_role(root, person, "admin")
            assert len(accounts.invitations.open_ones(MAIN)) == 4  # no loss of a role, no loss of links
            accounts.workspaces.change_role(root, person, "editor")
        elif end == "remove":
            accounts.workspaces.remove(root, person)
        else:
            accounts.workspaces.delete_account(root, person)
        left = {item["id"] for at in (MAIN, other) for item in accounts.invitations.open_ones(at)}
        works = {what for what, (row, _) in made.items() if row["id"] in left}
        assert works == ({"others"} if end == "forget" else {"others", "elsewhere"}), end
        with pytest.raises(NotFound):
            accounts.reset_password(made["reset"][1], PASSWORD, "")
        accounts.invitations.revoke(root, made["others"][0]["id"])


def test_who_guesses_at_sign_in_keeps_nobody_from_changing_the_password(accounts: Accounts) -> None:
    accounts.create("Ada", "ada@lab.example", PASSWORD, "viewer")
    me = known(accounts, "ada@lab.example")
    for name in ("ada@lab.example", f"CONFIRM {me.id}"):
        for i in range(ACCOUNT.free):
            with pytest.raises(Forbidden):
                accounts.sign_in(name, f"wrong {i}", f"10.0.1.{i}", "")
    with pytest.raises(TooManyRequests):
        accounts.sign_in("ada@lab.example", PASSWORD, "10.0.0.1", "")
    for i in range(ACCOUNT.free - 1):  # guesses behind a session that was taken over are counted too
        with pytest.raises(Forbidden):
            accounts.confirm(me, f"wrong {i}", "10.0.0.1")
    accounts.change_password(me, PASSWORD, "another good long secret", "10.0.0.1", "")
    for i in range(ACCOUNT.free):
        with pytest.raises(Forbidden):
            accounts.confirm(me, f"wrong {i}", "10.0.0.2")
    with pytest.raises(TooManyRequests):
        accounts.confirm(me, "another good long secret", "10.0.0.2")


def test_sessions_of_one_person_are_bounded(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microtome.collab.accounts.sessions.MOST", 3)
    accounts.create("Ada", "ada@lab.example", PASSWORD, "viewer")
    tokens = [accounts.sign_in("ada@lab.example", PASSWORD, "10.0.0.1", "") for _ in range(5)]
    assert [accounts.sessions.signed(token) is not None for token in tokens] == [False, False, True, True, True]
    assert accounts.sessions.csrf(tokens[0]) != accounts.sessions.csrf(tokens[1])


def test_requests_in_a_minute() -> None:
    at = [100.0]
    limits = Limits({"reads": 60, "writes": 2, "runs": 0}, clock=lambda: at[0])
    for _ in range(60):
        limits.take("ada", "reads")
    with pytest.raises(TooManyRequests) as full:
        limits.take("ada", "reads")
    assert full.value.headers == {"Retry-After": "1"}
    limits.take("ben", "reads")
    limits.take("ada", "writes")
    for _ in range(1000):
        limits.take("ada", "runs")
    at[0] += 1.0
    limits.take("ada", "reads")
    with pytest.raises(TooManyRequests):
        limits.take("ada", "reads")
    at[0] += 3600.0
    for _ in range(60):
        limits.take("ada", "reads")
    with pytest.raises(TooManyRequests):
        limits.take("ada", "reads")
