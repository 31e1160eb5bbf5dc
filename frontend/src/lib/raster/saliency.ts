/** A signed map over a grey image: opacity rises with |value| to the power 0.62, colour saturates at the clip value. */
import { diverging } from "../colour";
import { upsample } from "./upsample";

export type Overlay = { values: ArrayLike<number>; h: number; w: number; scale: number; opacity: number };
export function drawSaliency(
  canvas: HTMLCanvasElement,
  image: HTMLImageElement | null,
  overlay: Overlay | null,
  dark: boolean,
): void {
  const g = canvas.getContext("2d", { willReadFrequently: true });
  if (!g) return;
  const { width: W, height: H } = canvas;
  g.imageSmoothingQuality = "high";
  if (image) g.drawImage(image, 0, 0, W, H);
  else {
    g.fillStyle = dark ? "#5a5f66" : "#b4b8bd"; // an even grey, for maps of no single image
    g.fillRect(0, 0, W, H);
  }
  const pixels = g.getImageData(0, 0, W, H),
    d = pixels.data;
  const map = overlay ? upsample(overlay.values, overlay.h, overlay.w, H, W) : null,
    colour = diverging();
  const table = new Uint8ClampedArray(513 * 3);
  for (let i = 0; i <= 512; i++) table.set(colour(i / 512), i * 3);
  for (let i = 0; i < W * H; i++) {
    const k = i * 4,
      grey = 0.299 * d[k] + 0.587 * d[k + 1] + 0.114 * d[k + 2];
    const base = dark ? 14 + grey * 0.42 : 146 + grey * 0.38;
    let r = base,
      gg = base,
      b = base;
    if (map && overlay) {
      const v = Math.max(-1, Math.min(1, map[i] / overlay.scale)),
        m = Math.abs(v),
        a = overlay.opacity * m ** 0.62 * Math.min(1, m / 0.05),
        t = Math.round((v + 1) * 256) * 3;
      r += (table[t] - base) * a;
      gg += (table[t + 1] - base) * a;
      b += (table[t + 2] - base) * a;
    }
    d[k] = r;
    d[k + 1] = gg;
    d[k + 2] = b;
  }
  g.putImageData(pixels, 0, 0);
}
