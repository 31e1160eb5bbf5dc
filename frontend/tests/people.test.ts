import { describe, expect, it } from "vitest";
import { programName } from "../src/routes/people/words";

describe("where somebody is signed in", () => {
  const webkit = "AppleWebKit/537.36 (KHTML, like Gecko)";
  it("is told by browser and system", () => {
    expect(programName(`Mozilla/5.0 (X11; Linux x86_64) ${webkit} Chrome/156.0.0.0 Safari/537.36`)).toBe(
      "Chrome on Linux",
    );
    expect(programName(`Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${webkit} Chrome/120 Safari/537.36 Edg/120`)).toBe(
      "Edge on Windows",
    );
    expect(programName("Mozilla/5.0 (Android 14; Mobile; rv:121.0) Gecko/121.0 Firefox/121.0")).toBe(
      "Firefox on Android",
    );
    expect(programName(`Mozilla/5.0 (Macintosh; Intel Mac OS X 14_1) ${webkit} Version/17.1 Safari/605.1.15`)).toBe(
      "Safari on macOS",
    );
    expect(programName(`Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) ${webkit} CriOS/120 Mobile`)).toBe(
      "Chrome on iOS",
    );
  });
  it("is the name of a program otherwise", () => {
    expect(programName("python-httpx/0.28.1")).toBe("python-httpx");
    expect(programName("")).toBe("An unknown program");
  });
});
