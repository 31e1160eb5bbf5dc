/** One door to the server: adds the headers every write needs, turns problem documents into errors, and knows when there is no connection. */
import createClient from "openapi-fetch";
import type { paths } from "./schema";
import type { ProblemDocument } from "./types";

export const BASE = "/api/v1";

/** What says who is asking: the token of the session, the chosen workspace, the share that is looked at without an account. */
export const credentials: { csrf: string | null; workspace: string | null; share: string | null } = {
  csrf: null,
  workspace: null,
  share: null,
};
let signedOut = (): void => undefined;
/** Called when the server says that nobody is signed in any more. */
export const onSignedOut = (then: () => void): void => {
  signedOut = then;
};

/** What the server refused, with its reason and remedy. */
export class Problem extends Error {
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  readonly field: string | null;
  readonly current: unknown;
  constructor(doc: ProblemDocument) {
    super(doc.detail || doc.title);
    this.status = doc.status;
    this.title = doc.title;
    this.detail = doc.detail;
    this.field = doc.field ?? null;
    this.current = doc.current;
  }
}
/** The server did not answer at all. What is on the screen stays. */
export class Offline extends Error {
  constructor() {
    super("The server does not answer. What you see is kept; it is read again when the connection is back.");
  }
}

async function problem(response: Response): Promise<Problem> {
  try {
    const doc = await response.json();
    if (Array.isArray(doc.detail)) doc.detail = doc.detail.map((d: { msg: string }) => d.msg).join("; ");
    return new Problem({
      ...doc,
      status: response.status,
      title: doc.title ?? response.statusText,
      detail: doc.detail ?? doc.title ?? "",
    });
  } catch {
    return new Problem({
      status: response.status,
      title: `The server answered ${response.status}`,
      detail: response.statusText || "No reason was given. Details are in the log of the server.",
    });
  }
}
async function once(request: Request): Promise<Response> {
  try {
    return await fetch(request);
  } catch (error) {
    if ((error as Error).name === "AbortError") throw error;
    throw new Offline();
  }
}
/** A browser that comes for the first time is given a cookie. Only one request may ask without it, or several people would be
 * made and the last answer would decide who one is; so all wait for the session, except where a share says who reads. */
const SESSION = `${BASE}/session`,
  PATIENCE = 3000; // ms, for screens that never ask for the session
let introduced = (): void => undefined;
const known = new Promise<void>((done) => {
  introduced = done;
});
const wait = (): Promise<unknown> => Promise.race([known, new Promise((done) => setTimeout(done, PATIENCE))]);

async function send(request: Request): Promise<Response> {
  const session = new URL(request.url).pathname === SESSION;
  if (!session && !credentials.share) await wait();
  try {
    return await answer(request);
  } finally {
    if (session) introduced();
  }
}
async function answer(request: Request): Promise<Response> {
  const writes = request.method !== "GET";
  if (credentials.workspace) request.headers.set("X-Workspace", credentials.workspace);
  if (credentials.share) request.headers.set("X-Share", credentials.share);
  if (writes) {
    request.headers.set("X-Microtome", "1");
    if (credentials.csrf) request.headers.set("X-CSRF-Token", credentials.csrf);
    if (!request.headers.has("Idempotency-Key")) request.headers.set("Idempotency-Key", newKey());
  }
  const spare = writes ? request.clone() : null;
  let response: Response;
  try {
    response = await once(request);
  } catch (error) {
    if (!(error instanceof Offline) || !spare) throw error;
    await new Promise((done) => setTimeout(done, 600)); // the same key: a retry after a lost answer writes once
    response = await once(spare);
  }
  if (response.status === 401) signedOut();
  if (!response.ok) throw await problem(response);
  return response;
}
export const client = createClient<paths>({ baseUrl: location.origin, fetch: send });
/** Every failure has been thrown by then, so the data is there. */
export const unwrap = async <T>(answer: Promise<{ data?: T }>): Promise<T> => (await answer).data as T;
export const newKey = (): string =>
  crypto.randomUUID ? crypto.randomUUID() : `${Date.now()}-${Math.random().toString(36).slice(2)}`;

/** Addresses that the browser itself reads: images, downloads. */
export function url(path: string, query: Record<string, string | number | null | undefined> = {}): string {
  const params = new URLSearchParams();
  if (credentials.share) params.set("share", credentials.share);
  for (const [key, value] of Object.entries(query))
    if (value !== null && value !== undefined && value !== "") params.set(key, String(value));
  const text = params.toString();
  return BASE + path + (text ? `?${text}` : "");
}
export const seg = (...parts: (string | number)[]): string =>
  parts.map((part) => "/" + encodeURIComponent(String(part))).join("");

/** Binary answers. */
export const fetchBytes = async (target: string, signal: AbortSignal): Promise<ArrayBuffer> =>
  (await send(new Request(new URL(target, location.origin), { signal }))).arrayBuffer();

const blobs = new Map<string, Promise<Float32Array>>();
/** No answer that is no picture is larger; what is, is asked for in pieces. */
export const PIECE = 2_000_000;
/** Raw little-endian array as floats, or its first `most` bytes; immutable, so it is read once, the last forty kept. */
export function floats(target: string, most = Infinity): Promise<Float32Array> {
  const key = `${target} ${most}`;
  let found = blobs.get(key);
  if (!found) {
    found = pieces(target, most);
    found.catch(() => blobs.delete(key));
    blobs.set(key, found);
    if (blobs.size > 160) blobs.delete(blobs.keys().next().value as string);
  }
  return found;
}
async function pieces(target: string, most: number): Promise<Float32Array> {
  const parts: Uint8Array[] = [];
  let have = 0,
    total = most,
    dtype = "float32";
  do {
    const last = Math.min(have + PIECE, total) - 1,
      answer = await send(new Request(target, { headers: { Range: `bytes=${have}-${last}` } })),
      whole = Number(/\/(\d+)$/.exec(answer.headers.get("Content-Range") ?? "")?.[1] ?? 0),
      part = new Uint8Array(await answer.arrayBuffer());
    dtype = answer.headers.get("X-Dtype") ?? dtype;
    parts.push(part);
    have += part.length;
    total = Math.min(most, whole || have);
    if (!part.length) break;
  } while (have < total);
  const out = new Uint8Array(have);
  parts.reduce((at, part) => (out.set(part, at), at + part.length), 0);
  return decode(out.buffer, dtype);
}
function decode(bytes: ArrayBuffer, dtype: string): Float32Array {
  if (dtype === "int32") return Float32Array.from(new Int32Array(bytes));
  if (dtype === "int64") return Float32Array.from(new BigInt64Array(bytes), Number);
  return new Float32Array(bytes);
}
export async function download(path: string, body: unknown, name: string): Promise<void> {
  const request = new Request(new URL(BASE + path, location.origin), {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "Content-Type": "application/json" },
  });
  save(await (await send(request)).blob(), name);
}
export function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 5000);
}
