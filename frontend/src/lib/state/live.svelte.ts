/** Whether the server can be heard, and what it says: one event stream per browser, shared by its tabs. */
import { credentials, url } from "../api/client";

const KINDS = [
  "run",
  "preview",
  "annotation",
  "label-set",
  "rating",
  "ratings",
  "assignment",
  "decision",
  "comment",
  "vote",
  "notification",
  "hypothesis",
  "study",
  "finding",
  "finding-check",
  "model",
  "probe",
  "presence",
  "permit",
  "resync",
] as const;
type Kind = (typeof KINDS)[number];
type Message = { kind: Kind; data: any } | { state: "live" | "lost" };

class Live {
  state = $state<"connecting" | "live" | "lost">("connecting");
  since = $state(Date.now());
  private listeners = new Map<Kind, Set<(data: any) => void>>();
  private channel: BroadcastChannel | null = null;

  on(kind: Kind, listener: (data: any) => void): () => void {
    const set = this.listeners.get(kind) ?? new Set();
    set.add(listener);
    this.listeners.set(kind, set);
    return () => set.delete(listener);
  }
  heard(): void {
    this.since = Date.now();
    if (this.state !== "live") this.state = "live";
  }
  lost(): void {
    if (this.state !== "lost") this.state = "lost";
  }

  /** The tab that holds the lock reads the stream and tells the others; when it closes, another takes over. */
  start(): void {
    if (typeof BroadcastChannel !== "undefined" && navigator.locks) {
      const name = `microtome ${credentials.workspace ?? ""}`; // tabs in another workspace have a stream of their own
      this.channel = new BroadcastChannel(name);
      this.channel.onmessage = (event: MessageEvent<Message>) => this.take(event.data);
      void navigator.locks.request(`${name} events`, () => new Promise<void>(() => this.read()));
    } else this.read();
  }
  private read(): void {
    const source = new EventSource(url("/events", { workspace: credentials.workspace }));
    source.onopen = () => this.tell({ state: "live" });
    source.onerror = () => {
      this.tell({ state: "lost" });
      if (source.readyState === EventSource.CLOSED) setTimeout(() => this.read(), 3000);
    };
    for (const kind of KINDS)
      source.addEventListener(kind, (event) => {
        try {
          this.tell({ kind, data: JSON.parse((event as MessageEvent).data) });
        } catch {
          /* a broken event is not worth the page */
        }
      });
  }
  private tell(message: Message): void {
    this.channel?.postMessage(message);
    this.take(message);
  }
  private take(message: Message): void {
    if ("state" in message) {
      const back = this.state === "lost" && message.state === "live";
      if (message.state === "live") this.heard();
      else this.lost();
      if (back) this.emit("resync", {});
      return;
    }
    this.heard();
    this.emit(message.kind, message.data);
  }
  private emit(kind: Kind, data: unknown): void {
    for (const listener of this.listeners.get(kind) ?? []) listener(data);
  }
}
export const live = new Live();
