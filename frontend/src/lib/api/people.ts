/** Accounts, members, invitations: the routes of docs/routes.md about people, as functions. */
import { client, credentials, unwrap } from "./client";
import type * as T from "./types";

type S = AbortSignal | undefined;
const V = "/api/v1" as const;

export const signIn = (email: string, password: string) =>
  unwrap(client.POST(`${V}/session`, { body: { email, password } }));
export const signOut = () => unwrap(client.DELETE(`${V}/session`));
export const changePassword = (current: string, password: string) =>
  unwrap(client.POST(`${V}/session/password`, { body: { current, password } })).then((s) => {
    credentials.csrf = s.csrf;
    return s;
  });
export const leave = (current: string) => unwrap(client.POST(`${V}/session/leave`, { body: { current } }));

export const sessions = (signal?: S) => unwrap(client.GET(`${V}/sessions`, { signal })).then((r) => r.items);
export const endSession = (id: string) => unwrap(client.DELETE(`${V}/sessions/{id}`, { params: { path: { id } } }));
export const endOthers = () => unwrap(client.DELETE(`${V}/sessions`));
export const tokens = (signal?: S) => unwrap(client.GET(`${V}/tokens`, { signal })).then((r) => r.items);
export const makeToken = (name: string, scope: T.Scope, days: number) =>
  unwrap(client.POST(`${V}/tokens`, { body: { name, scope, days } }));
export const revokeToken = (id: string) => unwrap(client.DELETE(`${V}/tokens/{id}`, { params: { path: { id } } }));

export const openInvitation = (token: string, signal?: S) =>
  unwrap(client.POST(`${V}/invitations/open`, { body: { token }, signal }));
export const accept = (body: { token: string; name?: string; email?: string; password?: string }) =>
  unwrap(client.POST(`${V}/invitations/accept`, { body }));
export const invitations = (signal?: S) => unwrap(client.GET(`${V}/invitations`, { signal })).then((r) => r.items);
export const invite = (role: T.Role, email: string, days: number) =>
  unwrap(client.POST(`${V}/invitations`, { body: { role, email: email || null, days } }));
export const withdraw = (id: string) => unwrap(client.DELETE(`${V}/invitations/{id}`, { params: { path: { id } } }));

export const members = (signal?: S) => unwrap(client.GET(`${V}/members`, { signal })).then((r) => r.items);
export const setRole = (person: string, role: T.Role) =>
  unwrap(client.PATCH(`${V}/members/{person}`, { params: { path: { person } }, body: { role } }));
export const removeMember = (person: string) =>
  unwrap(client.DELETE(`${V}/members/{person}`, { params: { path: { person } } }));
export const resetPassword = (person: string) =>
  unwrap(client.POST(`${V}/members/{person}/reset`, { params: { path: { person } } }));
export const deleteAccount = (person: string) =>
  unwrap(client.DELETE(`${V}/accounts/{person}`, { params: { path: { person } } }));
export const makeWorkspace = (name: string) => unwrap(client.POST(`${V}/workspaces`, { body: { name } }));
export const renameWorkspace = (workspace: string, name: string) =>
  unwrap(client.PATCH(`${V}/workspaces/{workspace}`, { params: { path: { workspace } }, body: { name } }));
export const audit = (cursor: string | null, signal?: S) =>
  unwrap(client.GET(`${V}/audit`, { params: { query: { cursor, limit: 50 } }, signal }));
