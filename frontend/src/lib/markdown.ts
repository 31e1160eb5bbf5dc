/** Markdown and maths, loaded when something is shown that is written in them. */
import DOMPurify from "dompurify";
import { Marked, type TokenizerAndRendererExtension } from "marked";

const escape = (text: string): string => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/** `$x$` within a line and `$$x$$` on lines of its own become code elements, which are typeset after sanitising. */
const maths = (
  name: string,
  level: "inline" | "block",
  pattern: RegExp,
  start: RegExp,
): TokenizerAndRendererExtension => ({
  name,
  level,
  start: (source) => start.exec(source)?.index,
  tokenizer(source) {
    const found = pattern.exec(source);
    return found ? { type: name, raw: found[0], text: found[1].trim() } : undefined;
  },
  renderer: (token) => {
    const code = `<code class="tex ${level}">${escape(token.text as string)}</code>`;
    return level === "block" ? `<p>${code}</p>` : code;
  },
});
const marked = new Marked({
  gfm: true,
  async: false,
  renderer: {
    html: ({ text }) => escape(text), // what people write as HTML is shown, not obeyed
    image: ({ text }) => escape(text), // no page of ours asks other servers for anything
    heading({ tokens, depth }) {
      const level = Math.min(6, depth + 1);
      return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>`;
    },
  },
  extensions: [
    maths("mathsBlock", "block", /^\$\$([\s\S]{1,4000}?)\$\$(?:\n|$)/, /\$\$/),
    maths("mathsInline", "inline", /^\$([^\s$](?:[^$\n]{0,998}[^\s$])?)\$(?!\d)/, /\$/),
  ],
});
const ALLOWED = {
  ALLOWED_TAGS: [
    ...["p", "br", "strong", "em", "del", "code", "pre", "blockquote", "ul", "ol", "li", "a", "hr"],
    ...["h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"],
  ],
  ALLOWED_ATTR: ["href", "class", "align", "start"],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|\/(?!\/)|#)/i,
  RETURN_DOM_FRAGMENT: true as const,
};

/**
 * True of text that nobody writes to be read: the parser would take seconds for it, fill the memory with the cells that its tables
 * lack, or run out of stack.
 */
function unreadable(text: string): boolean {
  if (/[*_~`>[\]<$]{200}|(?:[>*+-] ){100}|[^\s|]{3000}/.test(text)) return true;
  return text.split("\n").some((line) => line.split("|").length > 100);
}

/** What is written, as HTML that is not sanitised yet; as it stands if it cannot be read as Markdown. */
export function markup(text: string, inline = false): string {
  if (!unreadable(text))
    try {
      return (inline ? marked.parseInline(text) : marked.parse(text)) as string;
    } catch {
      // nested deeper than the parser goes
    }
  return inline ? escape(text) : `<pre>${escape(text)}</pre>`;
}

export async function render(text: string, inline = false): Promise<DocumentFragment> {
  const fragment = DOMPurify.sanitize(markup(text, inline), ALLOWED) as unknown as DocumentFragment;
  for (const element of fragment.querySelectorAll("[class]"))
    if (!element.matches("code.tex")) element.removeAttribute("class");
  for (const link of fragment.querySelectorAll("a")) {
    link.rel = "noopener noreferrer nofollow";
    if (/^https?:/i.test(link.getAttribute("href") ?? "")) link.target = "_blank";
  }
  const formulas = [...fragment.querySelectorAll<HTMLElement>("code.tex")];
  if (formulas.length) await typeset(formulas);
  return fragment;
}

async function typeset(formulas: HTMLElement[]): Promise<void> {
  const [{ default: katex }] = await Promise.all([import("katex"), import("katex/dist/katex.min.css")]);
  for (const code of formulas) {
    const span = document.createElement("span");
    try {
      katex.render(code.textContent ?? "", span, {
        displayMode: code.classList.contains("block"),
        trust: false,
        strict: "ignore",
        maxSize: 20,
        maxExpand: 200,
      });
      code.replaceWith(span);
    } catch (error) {
      code.title = (error as Error).message; // what cannot be set stays as it was written, with the reason
    }
  }
}
