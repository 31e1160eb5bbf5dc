/** Draws an exemplar: the image, everything outside the activated region dimmed, the region outlined over a dark casing. */
import { contour, upsample } from "./upsample";

const images = new Map<string, Promise<HTMLImageElement>>();
export function loadImage(src: string): Promise<HTMLImageElement> {
  let found = images.get(src);
  if (!found) {
    found = new Promise((resolve, reject) => {
      const image = new Image();
      image.onload = () => resolve(image);
      image.onerror = () => {
        images.delete(src);
        reject(new Error("The image could not be read."));
      };
      image.src = src;
    });
    images.set(src, found);
    if (images.size > 400) images.delete(images.keys().next().value as string);
  }
  return found;
}
export type Region = { map: ArrayLike<number>; h: number; w: number; threshold: number };

/** Upsampled fields are kept per map, so that moving the threshold only draws. */
const fields = new WeakMap<object, { size: number; values: Float32Array }>();
function field(region: Region, size: number): Float32Array {
  const key = region.map as unknown as object,
    known = fields.get(key);
  if (known && known.size === size) return known.values;
  const values = upsample(region.map, region.h, region.w, size, size);
  fields.set(key, { size, values });
  return values;
}
export function drawExemplar(
  canvas: HTMLCanvasElement,
  image: HTMLImageElement,
  region: Region | null,
  line: number,
  dim = 0.3,
): number {
  const g = canvas.getContext("2d");
  if (!g) return 0;
  const { width: W, height: H } = canvas;
  const ratio = W / Math.max(1, canvas.clientWidth || W);
  g.imageSmoothingQuality = "high";
  g.drawImage(image, 0, 0, W, H);
  if (!region) return 0;
  const n = 112; // resolution of the mask; the outline runs between its pixels
  const values = field(region, n);
  const shade = document.createElement("canvas");
  shade.width = shade.height = n;
  const s = shade.getContext("2d") as CanvasRenderingContext2D,
    pixels = s.createImageData(n, n);
  let inside = 0;
  for (let i = 0; i < values.length; i++) {
    const on = values[i] > region.threshold;
    if (on) inside++;
    pixels.data[i * 4 + 3] = on ? 0 : 255 * dim;
  }
  s.putImageData(pixels, 0, 0);
  g.drawImage(shade, 0, 0, W, H);
  if (inside === 0) return 0;
  const segments = contour(values, n, n, region.threshold),
    kx = W / n,
    ky = H / n;
  g.beginPath();
  for (let i = 0; i < segments.length; i += 4) {
    g.moveTo((segments[i] + 0.5) * kx, (segments[i + 1] + 0.5) * ky);
    g.lineTo((segments[i + 2] + 0.5) * kx, (segments[i + 3] + 0.5) * ky);
  }
  g.lineCap = "round";
  g.strokeStyle = "rgba(0,0,0,.55)";
  g.lineWidth = (line + 1.6) * ratio;
  g.stroke();
  g.strokeStyle = "#FFD60A";
  g.lineWidth = line * ratio;
  g.stroke();
  return inside / values.length;
}
