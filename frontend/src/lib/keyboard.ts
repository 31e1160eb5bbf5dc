/** Single keys and chords. Single letters act only when no field has the focus; G starts a two-key chord. */
export type Binding = {
  keys: string;
  label: string;
  group: string;
  run: (event: KeyboardEvent) => void;
  when?: () => boolean;
  always?: boolean;
};

/** "Ctrl+Shift+Z", "J", "?", "ArrowLeft"; Ctrl also means Cmd. */
export function chordOf(event: Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "altKey" | "shiftKey">): string {
  const letter = event.key.length === 1;
  const key = event.key === " " ? "Space" : letter && /[a-z]/i.test(event.key) ? event.key.toUpperCase() : event.key;
  const shift = event.shiftKey && (!letter || /[a-z]/i.test(event.key));
  return [(event.ctrlKey || event.metaKey) && "Ctrl", event.altKey && "Alt", shift && "Shift", key]
    .filter(Boolean)
    .join("+");
}
export function inField(target: EventTarget | null): boolean {
  if (typeof HTMLElement === "undefined" || !(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target.tagName === "TEXTAREA" || target.tagName === "SELECT") return true;
  return (
    target instanceof HTMLInputElement && !["checkbox", "radio", "button", "range", "submit"].includes(target.type)
  );
}

export class Keyboard {
  private bindings: Binding[] = [];
  private pending: string | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  constructor(private enabled: () => boolean = () => true) {}

  add(...bindings: Binding[]): () => void {
    this.bindings = [...this.bindings, ...bindings];
    return () => {
      this.bindings = this.bindings.filter((b) => !bindings.includes(b));
    };
  }
  /** True if a binding took the key. The latest binding wins. */
  handle(event: KeyboardEvent): boolean {
    if (event.defaultPrevented || event.isComposing) return false;
    const chord = chordOf(event);
    const plain = !/^(Ctrl|Alt)\+/.test(chord);
    const typing = inField(event.target);
    if (plain && (typing || (!this.enabled() && chord !== "Escape"))) return false;
    const wanted = this.pending ? `${this.pending} ${chord}` : chord;
    this.pending = null;
    clearTimeout(this.timer);
    for (let i = this.bindings.length - 1; i >= 0; i--) {
      const b = this.bindings[i];
      if (b.keys !== wanted || (typing && !b.always) || (b.when && !b.when())) continue;
      event.preventDefault();
      b.run(event);
      return true;
    }
    if (this.bindings.some((b) => b.keys.startsWith(chord + " "))) {
      this.pending = chord;
      this.timer = setTimeout(() => (this.pending = null), 1200);
      return true;
    }
    return false;
  }
}
