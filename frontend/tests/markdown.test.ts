import { describe, expect, it } from "vitest";
import { markup } from "../src/lib/markdown";

/** What DOMPurify gets; the browser tests look at what it leaves. */
describe("what people write", () => {
  it("is Markdown", () => {
    expect(markup("It **responds**.", true)).toBe("It <strong>responds</strong>.");
    expect(markup("| a | b |\n|---|---|\n| 1 | 2 |")).toContain("<td>2</td>");
  });
  it("has no heading above that of the page", () => {
    expect(markup("# Limits")).toContain("<h2>Limits</h2>");
    expect(markup("###### deep")).toContain("<h6>");
    expect(markup("# **bold**")).toContain("<h2><strong>bold</strong></h2>");
  });
  it("shows HTML instead of obeying it, and asks no other server for a picture", () => {
    for (const text of ["<img src=x onerror=alert(1)>", "<script>alert(1)</script>", "a <b>bold</b> word"])
      for (const inline of [true, false]) expect(markup(text, inline)).not.toMatch(/<(?!\/?p>)/);
    expect(markup("![a picture](https://example.org/x.png)")).toBe("<p>a picture</p>\n");
    expect(markup('![<b onclick="x">](x.png)')).not.toMatch(/<b|"x"/);
  });
  it("has formulas within a line and on lines of their own", () => {
    expect(markup("so $x^2$ it is", true)).toBe('so <code class="tex inline">x^2</code> it is');
    expect(markup("$$\n\\frac{a}{b}\n$$\n")).toBe('<p><code class="tex block">\\frac{a}{b}</code></p>');
    expect(markup("$a<b$", true)).toBe('<code class="tex inline">a&#60;b</code>');
  });
  it("takes prices and code for what they are", () => {
    expect(markup("between $5 and $10", true)).not.toContain("tex");
    expect(markup("`$x$`", true)).toBe("<code>$x$</code>");
    expect(markup("$ x $", true)).not.toContain("tex");
    expect(markup("```\n$$x$$\n```")).not.toContain("tex");
  });
  it("cannot pass for a formula's element", () => {
    expect(markup('<code class="tex inline">x</code>', true)).not.toContain("<code");
  });
  it("shows what would stop the page as it was written", () => {
    const n = 50_000;
    const bombs = [
      "|" + "a|".repeat(2000) + "\n|" + "-|".repeat(2000) + "\n" + "x|\n".repeat(3000), // six million cells
      ">".repeat(n),
      "> ".repeat(n / 2) + "a",
      "*".repeat(n / 2) + "a" + "*".repeat(n / 2),
      "a.".repeat(n / 2) + "@",
    ];
    for (const text of bombs) {
      expect(markup(text)).toMatch(/^<pre>/);
      expect(markup(text).length).toBeLessThan(6 * n);
    }
    expect(markup("*".repeat(300) + "<b>", true)).toMatch(/&#60;b&#62;$/);
    const wide = "|" + "a|".repeat(40) + "\n|" + "-|".repeat(40) + "\n|" + "x|".repeat(40);
    expect(markup(wide)).toContain("<table>");
    expect(markup("https://example.org/" + "a".repeat(500))).toContain("<a href");
  });
});
