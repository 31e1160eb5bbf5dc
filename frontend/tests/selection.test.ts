import { describe, expect, it } from "vitest";
import { History } from "../src/lib/state/history";
import { clauses, emptySelection, emptyView, mergeRange, parseUnit, simplify } from "../src/lib/state/selection";
import { decode, encode, paramsSelection, selectionParams } from "../src/lib/state/url";

const split = (address: string): [string, string] => {
  const i = address.indexOf("?");
  return i < 0 ? [address, ""] : [address.slice(0, i), address.slice(i)];
};

describe("the address", () => {
  it("leaves out what is default", () => {
    expect(encode({ name: "browse" }, { ...emptyView(), model: "tinyplaces-resnet", probe: "tinyplaces" }, null)).toBe(
      "/browse?m=tinyplaces-resnet&p=tinyplaces",
    );
  });
  it("carries the whole view there and back", () => {
    const v = emptyView();
    Object.assign(v, {
      screen: "browse",
      model: "m-1",
      probe: "p",
      selected: { layer: "encoder.stages.3", unit: 42 },
      pinned: [{ layer: "a", unit: 0 }],
      quantile: 0.99,
      sort: "density",
      descending: false,
      table: "brushed",
      colour: "iou",
      band: "random",
    });
    v.selection = {
      layers: ["a.b", "c,d"],
      concepts: ["part:window"],
      not_concepts: ["scene:sky & sea", "back\\slash,"],
      categories: ["object"],
      iou: { min: 0.04, max: null },
      density: { min: null, max: 0.5 },
      detector: true,
      labelled: false,
      text: "lit window?",
      brush: {
        view: "map",
        key: "k1",
        polygon: [
          [0.1, -2],
          [3, 4.5],
          [-1, 0],
        ],
      },
    };
    const back = decode(...split(encode({ name: "browse" }, v, "sh1")));
    expect(back.view).toEqual(v);
    expect(back.share).toBe("sh1");
    expect(back.route).toEqual({ name: "browse" });
  });
  it("carries what Explain shows: a region, a difference of two maps, a question about the whole set", () => {
    const v = emptyView();
    Object.assign(v, { screen: "explain", model: "m", probe: "p" });
    v.explain.example = "p:7";
    v.explain.targets = [0, 1, 2, 3, 4, 5];
    v.explain.compare = ["grad-cam", "saliency"];
    v.explain.benchmark = "method-scoreboard";
    v.explain.like = "p:9";
    v.explain.polygon = [
      [0, 0.25],
      [1, 0.25],
      [0.5, 0.875],
    ];
    expect(decode(...split(encode({ name: "explain" }, v, null))).view).toEqual(v);
  });
  it("drops odd regions and differences", () => {
    for (const q of ["region=0 0!1 1", "region=0 0!2 1!1 1", "region=a b!1 1!0 1", "minus=grad-cam", "minus=cam,cam"]) {
      const e = decode("/explain", "?" + q).view.explain;
      expect([e.polygon, e.compare]).toEqual([null, []]);
    }
  });
  it("carries histogram and unit brushes", () => {
    for (const brush of [
      { view: "histogram" as const, key: null, range: { min: 0.1, max: 0.2 } },
      { view: "units" as const, key: null, units: [{ layer: "a", unit: 3 }] },
    ]) {
      const s = { ...emptySelection(), brush };
      expect(paramsSelection(new URLSearchParams(selectionParams(s).toString()))).toEqual(s);
    }
  });
  it("carries Explain", () => {
    const v = emptyView();
    Object.assign(v, { screen: "explain", model: "m", probe: "p" });
    v.explain = {
      example: "tinyplaces:17",
      methods: ["grad-cam"],
      targets: [3, 1],
      against: 5,
      unit: { layer: "stage4.1", unit: 42 },
      like: null,
      compare: [],
      polygon: null,
      benchmark: null,
      opacity: 0.5,
      clip: 99,
      scale: "own",
      params: { occlusion: { window: 8 } },
      subset: "wrong",
      true_class: 2,
    };
    expect(decode(...split(encode({ name: "explain" }, v, null))).view).toEqual(v);
  });
  it("drops a class to subtract where there is none to subtract it from", () => {
    expect(decode("/explain", "?for=3&against=5").view.explain.against).toBe(5);
    expect(decode("/explain", "?against=5").view.explain.against).toBeNull();
  });
  it("names a unit by a stable path", () => {
    const address = encode({ name: "unit", model: "m", layer: "a.b", unit: 7 }, { ...emptyView(), probe: "p" }, null);
    expect(address).toBe("/unit/m/a.b/7?probe=p");
    expect(decode(...split(address)).view.selected).toEqual({ layer: "a.b", unit: 7 });
  });
  it("takes model and probe spelled out, as people write them", () => {
    const back = decode("/browse", "?model=a&probe=b").view;
    expect([back.model, back.probe]).toEqual(["a", "b"]);
    expect(decode("/browse", "?m=short&model=long").view.model).toBe("short");
  });
  it("drops odd values instead of failing", () => {
    const back = decode("/browse", "?iou=2~1&q=9&b=map**p1 2&sort=-odd&tab=x&u=nope&par={");
    expect(back.view.selection).toEqual(emptySelection());
    expect(back.view.quantile).toBe(0.995);
    expect(back.view.sort).toBe("iou");
    expect(back.view.selected).toBeNull();
    expect(decode("/nowhere/at/all", "").route).toEqual({ name: "unknown", path: "/nowhere/at/all" });
  });
  it("keeps a long lasso under 2 kB", () => {
    const polygon = Array.from(
      { length: 900 },
      (_, i) => [Math.cos(i / 143) * 3.123456789 + Math.sin(i) * 0.01, Math.sin(i / 143) * 2] as [number, number],
    );
    const s = { ...emptySelection(), brush: { view: "map" as const, key: "x".repeat(64), polygon: simplify(polygon) } };
    expect(s.brush.polygon.length).toBeGreaterThan(8);
    expect(selectionParams(s).toString().length).toBeLessThan(2000);
  });
});

describe("the selection", () => {
  it("counts clauses", () => expect(clauses({ ...emptySelection(), layers: ["a", "b"], iou: { min: 0.04 } })).toBe(3));
  it("merges ranges and forgets empty ones", () => {
    expect(mergeRange({ min: 0.1, max: null }, { max: 0.5 })).toEqual({ min: 0.1, max: 0.5 });
    expect(mergeRange({ min: 0.1, max: null }, { min: null })).toBeNull();
  });
  it("reads unit addresses", () => {
    expect(parseUnit("a/b.c/12")).toEqual({ layer: "a/b.c", unit: 12 });
    expect(parseUnit("a/-1")).toBeNull();
  });
});

describe("undo and redo", () => {
  it("walks back and forth", () => {
    const h = new History<string>();
    h.push("a");
    h.push("b");
    expect(h.undo("c")).toBe("b");
    expect(h.undo("b")).toBe("a");
    expect(h.undo("a")).toBeNull();
    expect(h.redo("a")).toBe("b");
    expect(h.redo("b")).toBe("c");
    expect(h.canRedo).toBe(false);
  });
  it("forgets what was undone at a new change, and has a bound", () => {
    const h = new History<number>(3);
    for (let i = 0; i < 5; i++) h.push(i);
    expect(h.undo(5)).toBe(4);
    h.push(9);
    expect(h.canRedo).toBe(false);
    let n = 0;
    while (h.undo(0) !== null) n++;
    expect(n).toBe(3);
  });
});
