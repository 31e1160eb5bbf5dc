// House rules that no compiler checks: file length, registry hosts in the lock file, HTML injection, strings that leave the server.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const root = new URL("..", import.meta.url).pathname;
const problems = [];
function walk(dir) {
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) walk(path);
    else if (/\.(ts|svelte|css)$/.test(entry.name) && !entry.name.endsWith("schema.d.ts")) check(path);
  }
}
function check(path) {
  const text = readFileSync(path, "utf8");
  const lines = text.split("\n").length;
  if (lines > 400) problems.push(`${path}: ${lines} lines, at most 400`);
  if (/\{@html/.test(text) && !path.endsWith("Icon.svelte")) problems.push(`${path}: {@html} is only for Icon.svelte`);
  if (/https?:\/\/(?!127\.0\.0\.1|www\.w3\.org|localhost)/.test(text))
    problems.push(`${path}: no request leaves the server`);
}
walk(join(root, "src"));
if (/registry\.npmjs|"resolved"/.test(readFileSync(join(root, "package-lock.json"), "utf8")))
  problems.push("package-lock.json names a registry");
for (const line of problems) console.error(line);
process.exit(problems.length ? 1 : 0);
