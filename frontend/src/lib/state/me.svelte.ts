/** Who is at the screen, in which workspace, and what their role lets them do. */
import { credentials, onSignedOut } from "../api/client";
import * as people from "../api/people";
import type { Person, Role, Session } from "../api/types";
import { data } from "./data.svelte";
import { ui } from "./ui.svelte";

const ROLES: Role[] = ["viewer", "annotator", "editor", "admin"];
const KEPT = "microtome.workspace";

class Me {
  get session(): Session | null {
    return data.session?.data ?? null;
  }
  get person(): Person | null {
    return this.session?.person ?? null;
  }
  get team(): boolean {
    return this.session?.mode === "team";
  }
  /** Nobody is signed in where somebody must be. A frozen view may be looked at all the same. */
  get outside(): boolean {
    return this.team && !this.person;
  }
  can(least: Role): boolean {
    const role = this.session?.role;
    return !!role && ROLES.indexOf(role) >= ROLES.indexOf(least);
  }

  start(): void {
    try {
      credentials.workspace = localStorage.getItem(KEPT);
    } catch {
      /* then it is the first one */
    }
    onSignedOut(() => {
      if (this.person) data.session.reload();
    });
  }
  choose(workspace: string): void {
    try {
      localStorage.setItem(KEPT, workspace);
    } catch {
      credentials.workspace = workspace;
    }
    location.assign("/");
  }
  /** The whole page is read again: nothing of what was on the screen belongs to whoever comes next. */
  enter(next = "/"): void {
    // Read as the browser reads it: "/\elsewhere" is an address of another server to it.
    const to = URL.canParse(next, location.origin) ? new URL(next, location.origin) : null;
    location.assign(to?.origin === location.origin ? to.href : "/");
  }
  async signOut(): Promise<void> {
    try {
      await people.signOut();
      localStorage.removeItem(KEPT);
      location.assign("/sign-in");
    } catch (error) {
      ui.fail(error);
    }
  }
}
export const me = new Me();
