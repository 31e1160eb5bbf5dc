/** What belongs to this window only: theme, open dialogs, pane sizes, messages, the live region. */
import { Problem } from "../api/client";

const read = (key: string): string | null => {
  try {
    return localStorage.getItem("microtome." + key);
  } catch {
    return null;
  }
};
const keep = (key: string, value: string): void => {
  try {
    localStorage.setItem("microtome." + key, value);
  } catch {
    /* storage may be refused */
  }
};

type Toast = { id: number; text: string; bad: boolean; action?: { label: string; run: () => void } };

class Ui {
  theme = $state<"light" | "dark">(document.documentElement.dataset.theme === "dark" ? "dark" : "light");
  dialog = $state<
    "palette" | "shortcuts" | "share" | "model" | "probe" | "save" | "person" | "label-set" | "add-to-finding" | null
  >(null);
  full = $state<string | null>(null);
  sheet = $state(false);
  tab = $state<"layers" | "map" | "concepts" | "units" | "unit">("map");
  tool = $state<"pan" | "lasso" | "box">("lasso");
  width = $state(innerWidth);
  height = $state(innerHeight);
  keys = $state(read("keys") !== "off");
  announced = $state("");
  toasts = $state.raw<Toast[]>([]);
  sizes = $state<Record<string, number>>(JSON.parse(read("sizes") ?? "{}"));
  collapsed = $state<Record<string, boolean>>(JSON.parse(read("collapsed") ?? "{}"));

  constructor() {
    addEventListener("resize", () => {
      this.width = innerWidth;
      this.height = innerHeight;
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (e) => {
      if (!read("theme")) this.paint(e.matches ? "dark" : "light");
    });
  }
  get wide(): boolean {
    return this.width >= 1440;
  }
  get narrow(): boolean {
    return this.width < 1100;
  }
  get phone(): boolean {
    return this.width <= 640;
  }

  private paint(theme: "light" | "dark"): void {
    this.theme = theme;
    document.documentElement.dataset.theme = theme;
  }
  switchTheme(): void {
    const next = this.theme === "dark" ? "light" : "dark";
    keep("theme", next);
    this.paint(next);
  }
  resize(name: string, px: number | null): void {
    if (px === null) delete this.sizes[name];
    else this.sizes[name] = px;
    keep("sizes", JSON.stringify(this.sizes));
  }
  collapse(name: string): void {
    this.collapsed[name] = !this.collapsed[name];
    keep("collapsed", JSON.stringify(this.collapsed));
  }
  switchKeys(): void {
    this.keys = !this.keys;
    keep("keys", this.keys ? "on" : "off");
  }
  /** One polite live region for all changes of the selection. */
  announce(text: string): void {
    this.announced = text;
  }
  say(text: string, action?: Toast["action"]): void {
    this.toast({ text, bad: false, action });
  }
  /** A failed action, in the words of the server. */
  fail(error: unknown): void {
    const e = error as Error;
    this.toast({ text: error instanceof Problem ? `${error.title}. ${error.detail}` : e.message, bad: true });
  }
  private toast(t: Omit<Toast, "id">): void {
    const id = Date.now() + Math.random();
    this.toasts = [...this.toasts, { ...t, id }].slice(-3);
    this.announce(t.text);
    setTimeout(() => this.dismiss(id), t.bad ? 12000 : 5000);
  }
  dismiss(id: number): void {
    this.toasts = this.toasts.filter((t) => t.id !== id);
  }
}
export const ui = new Ui();

/** A draft survives an error, a reload and a closed dialog until it is sent. */
export const drafts = {
  get: (key: string): string => {
    try {
      return sessionStorage.getItem("draft." + key) ?? "";
    } catch {
      return "";
    }
  },
  set: (key: string, text: string): void => {
    try {
      if (text) sessionStorage.setItem("draft." + key, text);
      else sessionStorage.removeItem("draft." + key);
    } catch {
      /* nothing to keep it in */
    }
  },
};
