/** The words that changed between two texts (longest common subsequence); long texts are compared by line. */
export type Change = { kind: "same" | "out" | "in"; text: string };
const MOST = 1500;

export function changes(before: string, after: string): Change[] {
  const words = (s: string): string[] => s.match(/\s+|[^\s]+/g) ?? [];
  let a = words(before),
    b = words(after);
  if (a.length > MOST || b.length > MOST) {
    const lines = (s: string): string[] => s.match(/[^\n]*\n|[^\n]+/g) ?? [];
    a = lines(before);
    b = lines(after);
  }
  if (a.length > MOST || b.length > MOST)
    return [
      { kind: "out", text: before },
      { kind: "in", text: after },
    ];
  const width = b.length + 1,
    length = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      length[i * width + j] =
        a[i] === b[j]
          ? length[(i + 1) * width + j + 1] + 1
          : Math.max(length[(i + 1) * width + j], length[i * width + j + 1]);
  const out: Change[] = [];
  const put = (kind: Change["kind"], text: string): void => {
    const last = out[out.length - 1];
    if (last?.kind === kind) last.text += text;
    else out.push({ kind, text });
  };
  let i = 0,
    j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      put("same", a[i++]);
      j++;
    } else if (j < b.length && (i >= a.length || length[i * width + j + 1] > length[(i + 1) * width + j]))
      put("in", b[j++]);
    else put("out", a[i++]);
  }
  return out;
}
