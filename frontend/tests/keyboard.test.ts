import { describe, expect, it } from "vitest";
import { Keyboard, chordOf } from "../src/lib/keyboard";

const key = (k: string, more: object = {}): KeyboardEvent =>
  ({
    key: k,
    ctrlKey: false,
    metaKey: false,
    altKey: false,
    shiftKey: false,
    defaultPrevented: false,
    isComposing: false,
    target: null,
    preventDefault() {},
    ...more,
  }) as unknown as KeyboardEvent;

describe("the keyboard", () => {
  it("writes chords one way", () => {
    expect(chordOf(key("k", { metaKey: true }))).toBe("Ctrl+K");
    expect(chordOf(key("Z", { ctrlKey: true, shiftKey: true }))).toBe("Ctrl+Shift+Z");
    expect(chordOf(key("?", { shiftKey: true }))).toBe("?");
    expect(chordOf(key("ArrowDown", { shiftKey: true }))).toBe("Shift+ArrowDown");
    expect(chordOf(key(" "))).toBe("Space");
  });
  it("runs sequences, and the latest binding wins", () => {
    const said: string[] = [],
      k = new Keyboard();
    k.add(
      { keys: "G B", label: "", group: "", run: () => said.push("browse") },
      { keys: "B", label: "", group: "", run: () => said.push("box") },
    );
    expect(k.handle(key("g"))).toBe(true);
    k.handle(key("b"));
    k.handle(key("b"));
    const off = k.add({ keys: "B", label: "", group: "", run: () => said.push("new") });
    k.handle(key("b"));
    off();
    k.handle(key("b"));
    expect(said).toEqual(["browse", "box", "new", "box"]);
  });
  it("can be switched off, but not Escape and not chords with Ctrl", () => {
    const said: string[] = [],
      k = new Keyboard(() => false);
    for (const keys of ["J", "Escape", "Ctrl+Z"]) k.add({ keys, label: "", group: "", run: () => said.push(keys) });
    k.handle(key("j"));
    k.handle(key("Escape"));
    k.handle(key("z", { ctrlKey: true }));
    expect(said).toEqual(["Escape", "Ctrl+Z"]);
  });
});
