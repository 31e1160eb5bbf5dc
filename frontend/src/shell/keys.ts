/** Keys that work on every screen. Panes add their own while they are on the screen. */
import { Keyboard } from "~/lib/keyboard";
import { hover, view } from "~/lib/state/view.svelte";
import { clauses, emptySelection } from "~/lib/state/selection";
import { ui } from "~/lib/state/ui.svelte";

export const keyboard = new Keyboard(() => ui.keys);
const PANES = ["architecture", "map", "concepts", "histogram", "units", "inspector"];

function escape(): void {
  if (ui.full) {
    ui.full = null;
    return;
  }
  if (hover.unit || hover.concept || hover.layer) {
    hover.clear();
    return;
  }
  if (ui.sheet && ui.narrow) {
    ui.sheet = false;
    return;
  }
  if (view.state.selection.brush) {
    view.select({ brush: null });
    ui.announce("Brush cleared.");
    return;
  }
  if (clauses(view.state.selection)) {
    view.select(emptySelection());
    ui.announce("Filters cleared.");
  }
}
export function readOut(): void {
  const figure =
    document.activeElement?.closest("[data-sentence]") ??
    document.activeElement?.closest(".pane")?.querySelector("[data-sentence]");
  ui.announce(figure?.getAttribute("data-sentence") ?? "Focus a chart first, then press A.");
}
function fullSize(): void {
  if (ui.full) {
    ui.full = null;
    return;
  }
  const id = document.activeElement?.closest(".pane")?.id.replace("pane-", "") ?? "map";
  if (PANES.includes(id)) ui.full = id;
}

export function bindGlobalKeys(): () => void {
  const browsing = (): boolean => view.route.name === "browse";
  const free = (): boolean => ui.dialog === null;
  return keyboard.add(
    {
      keys: "Ctrl+K",
      label: "Search units, concepts, notes, commands",
      group: "Everywhere",
      always: true,
      run: () => (ui.dialog = "palette"),
    },
    { keys: "?", label: "This list", group: "Everywhere", run: () => (ui.dialog = "shortcuts"), when: free },
    { keys: "G H", label: "Go to Home", group: "Everywhere", run: () => view.go({ name: "home" }), when: free },
    { keys: "G B", label: "Go to Browse", group: "Everywhere", run: () => view.go({ name: "browse" }), when: free },
    { keys: "G L", label: "Go to Language", group: "Everywhere", run: () => view.go({ name: "language" }), when: free },
    { keys: "G E", label: "Go to Explain", group: "Everywhere", run: () => view.go({ name: "explain" }), when: free },
    { keys: "G F", label: "Go to Findings", group: "Everywhere", run: () => view.go({ name: "findings" }), when: free },
    { keys: "G R", label: "Go to Runs", group: "Everywhere", run: () => view.go({ name: "runs" }), when: free },
    { keys: "D", label: "Dark or light", group: "Everywhere", run: () => ui.switchTheme(), when: free },
    { keys: "A", label: "Read out the focused chart", group: "Everywhere", run: readOut, when: free },
    {
      keys: "Ctrl+Z",
      label: "Undo the last change of the selection",
      group: "Selection",
      run: () => view.undo(),
      when: () => browsing() && view.undoable,
    },
    {
      keys: "Ctrl+Shift+Z",
      label: "Redo",
      group: "Selection",
      run: () => view.redo(),
      when: () => browsing() && view.redoable,
    },
    {
      keys: "Ctrl+S",
      label: "Save the selection",
      group: "Selection",
      always: true,
      run: () => (ui.dialog = "save"),
      when: browsing,
    },
    {
      keys: "Escape",
      label: "Clear hover, then brush, then filters",
      group: "Selection",
      run: escape,
      when: () => browsing() && free(),
    },
    { keys: "F", label: "Pane full size", group: "Panes", run: fullSize, when: () => browsing() && free() },
    ...PANES.map((id, i) => ({
      keys: String(i + 1),
      label: `Focus pane ${i + 1}`,
      group: i ? "" : "Panes",
      when: () => browsing() && free(),
      run: () => {
        if (id === "inspector" && ui.narrow) ui.sheet = true;
        requestAnimationFrame(() => {
          const pane = document.getElementById("pane-" + id);
          (pane?.querySelector<HTMLElement>("[data-focus]") ?? pane)?.focus();
        });
      },
    })),
  );
}
