/** The picture of a crowd of points: painted anew when what it shows changes; while the view moves, the last one is moved with it. */
import { parseHex, token } from "~/lib/colour";
import type { MapPoints } from "~/lib/api/points";
import type { Base, Frame } from "./geometry";
import type { Palette } from "./palette";
import { type Field, rasterise } from "./raster";

export type Scene = {
  map: MapPoints;
  base: Base;
  frame: Frame;
  width: number;
  height: number;
  ratio: number;
  palette: Palette;
  plain: number;
  inFilter: Uint8Array;
  brushed: Uint8Array;
  brushing: boolean;
};
/** A picture that took longer than this to paint is not painted again for every step of a drag. */
const BUDGET = 20;
type Rgb = [number, number, number];
const rgb = (css: string): Rgb =>
  css.startsWith("#") ? parseHex(css) : ((css.match(/[\d.]+/g) ?? ["0", "0", "0"]).slice(0, 3).map(Number) as Rgb);

export class Picture {
  private shown: HTMLCanvasElement | null = null;
  private of: Scene | null = null;
  private spent = 0;
  private rest: ReturnType<typeof setTimeout> | undefined;

  paint(g: CanvasRenderingContext2D, scene: Scene): void {
    clearTimeout(this.rest);
    const moved = this.of !== null && this.same(this.of, scene);
    if (!moved || this.spent < BUDGET) this.draw(scene);
    else this.rest = setTimeout(() => (this.draw(scene), this.put(g, scene)), 90);
    this.put(g, scene);
  }
  /** Whether two scenes differ at most in where the view is. */
  private same(a: Scene, b: Scene): boolean {
    return (
      a.map === b.map &&
      a.palette === b.palette &&
      a.inFilter === b.inFilter &&
      a.brushed === b.brushed &&
      a.brushing === b.brushing &&
      a.width === b.width &&
      a.height === b.height &&
      a.ratio === b.ratio &&
      a.base === b.base
    );
  }
  private draw(scene: Scene): void {
    const start = performance.now(),
      field: Field = {
        ...scene,
        colours: scene.palette.colours.map(rgb),
        colourOf: scene.palette.of,
        ctx: rgb(token("ctx")),
      },
      image = rasterise(field);
    this.shown ??= document.createElement("canvas");
    this.shown.width = image.width;
    this.shown.height = image.height;
    this.shown.getContext("2d")?.putImageData(image, 0, 0);
    this.of = scene;
    this.spent = performance.now() - start;
  }
  private put(g: CanvasRenderingContext2D, { frame, width, height, ratio }: Scene): void {
    if (!this.shown || !this.of) return;
    const was = this.of.frame,
      k = frame.k / was.k;
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, width, height);
    g.drawImage(this.shown, frame.x - was.x * k, frame.y - was.y * k, width * k, height * k);
  }
}
