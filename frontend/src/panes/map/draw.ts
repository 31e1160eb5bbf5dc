/** Paints the unit map as marks, as long as marks can be told apart: contours, context, in filter, brushed. Hovered and selected marks are drawn on a layer of their own, so that they follow within a frame. */
import { contourDensity } from "d3-contour";
import type { ContourMultiPolygon } from "d3-contour";
import type { Frame } from "./geometry";

/** The published types do not know `contours` yet. */
type Levels = { (value: number): ContourMultiPolygon; max?: number };

export type Paint = {
  g: CanvasRenderingContext2D;
  width: number;
  height: number;
  ratio: number;
  xs: Float32Array;
  ys: Float32Array;
  colours: string[];
  colourOf: Uint8Array;
  /** The colour of units that detect nothing; none when colour means a quantity. */
  plain: number;
  inFilter: Uint8Array;
  brushed: Uint8Array;
  brushing: boolean;
  dark: boolean;
  ctx: string;
  surface: string;
  line: string;
  contours: Path2D[];
  frame: Frame;
};
/** Density contours at the fitted scale; panning and zooming only transforms them. */
export function contours(xs: Float32Array, ys: Float32Array, width: number, height: number): Path2D[] {
  if (xs.length < 20 || width < 40) return [];
  const at = Array.from({ length: xs.length }, (_, i) => i);
  const density = contourDensity<number>()
    .x((i) => xs[i])
    .y((i) => ys[i])
    .size([width, height])
    .bandwidth(11)
    .cellSize(4);
  const bands = (density as unknown as { contours: (d: number[]) => Levels }).contours(at),
    top = bands.max ?? 0;
  return [0.035, 0.14, 0.36].map((t) => {
    const path = new Path2D(),
      shape = bands(top * t);
    for (const polygon of shape.coordinates)
      for (const ring of polygon) {
        ring.forEach(([x, y], i) => (i ? path.lineTo(x, y) : path.moveTo(x, y)));
        path.closePath();
      }
    return path;
  });
}
function dots(p: Paint, r: number, keep: (i: number) => boolean, alpha: number, halo = 0): void {
  const { g, xs, ys } = p,
    groups = new Map<number, Path2D>();
  const rim = halo ? new Path2D() : null;
  for (let i = 0; i < xs.length; i++) {
    const x = xs[i],
      y = ys[i];
    if (x < -8 || y < -8 || x > p.width + 8 || y > p.height + 8 || !keep(i)) continue;
    let path = groups.get(p.colourOf[i]);
    if (!path) {
      path = new Path2D();
      groups.set(p.colourOf[i], path);
    }
    path.moveTo(x + r, y);
    path.arc(x, y, r, 0, 6.2832);
    if (rim) {
      rim.moveTo(x + r + halo, y);
      rim.arc(x, y, r + halo, 0, 6.2832);
    }
  }
  if (rim) {
    g.globalAlpha = 1;
    g.fillStyle = p.surface;
    g.fill(rim);
  }
  g.globalAlpha = alpha;
  for (const [c, path] of groups) {
    g.fillStyle = p.colours[c];
    g.fill(path);
  }
  g.globalAlpha = 1;
}
export function paint(p: Paint): void {
  const { g } = p;
  g.setTransform(p.ratio, 0, 0, p.ratio, 0, 0);
  g.clearRect(0, 0, p.width, p.height);
  g.save();
  g.translate(p.frame.x, p.frame.y);
  g.scale(p.frame.k, p.frame.k);
  g.strokeStyle = p.line;
  g.lineWidth = 1 / p.frame.k;
  g.globalAlpha = 0.9;
  for (const c of p.contours) g.stroke(c);
  g.restore();
  const context = new Path2D(),
    grow = Math.min(2, Math.max(1, Math.sqrt(p.frame.k)));
  for (let i = 0; i < p.xs.length; i++)
    if (!p.inFilter[i]) {
      context.moveTo(p.xs[i] + 1.9, p.ys[i]);
      context.arc(p.xs[i], p.ys[i], 1.9, 0, 6.2832);
    }
  g.globalAlpha = 0.85;
  g.fillStyle = p.ctx;
  g.fill(context);
  // What detects nothing steps back, so that the colours of the detectors are seen among many grey units.
  const rest = (i: number): boolean => !!p.inFilter[i] && !(p.brushing && p.brushed[i]),
    grey = (i: number): boolean => p.colourOf[i] === p.plain;
  dots(p, 2.1 * grow, (i) => rest(i) && grey(i), p.brushing ? 0.3 : 0.5);
  dots(p, 3 * grow, (i) => rest(i) && !grey(i), p.brushing ? (p.dark ? 0.5 : 0.36) : p.dark ? 0.95 : 0.85, 0.6);
  if (p.brushing) dots(p, 3.2 * grow, (i) => !!p.brushed[i], 1, 0.9);
}
