/** Reads the part of JSON schema that pydantic writes for parameters. */
import type { JSONSchema } from "../api/types";
import { capital, spell } from "../format";

export type Field = {
  name: string;
  title: string;
  help: string;
  /** "lines" and "numbers" are lists of texts and of numbers; "json" is whatever else there is. */
  kind: "integer" | "number" | "boolean" | "enum" | "text" | "lines" | "numbers" | "json";
  nullable: boolean;
  initial: unknown;
  min?: number;
  max?: number;
  options?: unknown[];
  layer?: boolean;
  /** A method by its id, or a list of them. */
  method?: "one" | "several";
  /** What a list may hold, where that is known. */
  choices?: string[];
};

function follow(schema: JSONSchema, root: JSONSchema): JSONSchema {
  if (schema.$ref) return { ...follow(root.$defs?.[schema.$ref.split("/").pop() ?? ""] ?? {}, root), ...drop(schema) };
  if (schema.allOf?.length === 1) return { ...follow(schema.allOf[0], root), ...drop(schema) };
  return schema;
}
/** A nullable layer carries its format either on the field or on the branch that is not null. */
const formatOf = (raw: JSONSchema, root: JSONSchema): string | undefined =>
  raw.format ?? raw.anyOf?.map((x) => follow(x, root).format).find(Boolean);
const drop = ({ $ref: _r, allOf: _a, ...rest }: JSONSchema): JSONSchema => rest;

export function fields(schema: JSONSchema): Field[] {
  return Object.entries(schema.properties ?? {}).map(([name, raw]) => {
    let s = follow(raw, schema),
      nullable = false;
    if (s.anyOf) {
      const some = s.anyOf.map((x) => follow(x, schema)).filter((x) => x.type !== "null");
      nullable = some.length < s.anyOf.length;
      s = { ...(some.length === 1 ? some[0] : {}), ...(({ anyOf: _x, ...rest }) => rest)(s) } as JSONSchema;
    }
    const type = Array.isArray(s.type) ? s.type.find((t) => t !== "null") : s.type;
    const item = s.items ? follow(s.items as JSONSchema, schema) : null;
    const options = s.enum ?? (s.const !== undefined ? [s.const] : undefined);
    const kind = options
      ? "enum"
      : type === "integer" || type === "number" || type === "boolean"
        ? type
        : type === "string"
          ? "text"
          : item?.type === "string"
            ? "lines"
            : item?.type === "integer" || item?.type === "number"
              ? "numbers"
              : "json";
    const plain = name.replaceAll("_", " ");
    const title = s.title && s.title.toLowerCase() !== plain ? s.title : capital(spell(plain));
    return {
      name,
      title,
      help: s.description ?? "",
      kind,
      nullable,
      initial: s.default ?? null,
      options,
      layer: kind === "text" && formatOf(raw, schema) === "layer",
      choices: item?.enum as string[] | undefined,
      method:
        kind === "text" && formatOf(raw, schema) === "method"
          ? "one"
          : item?.format === "method"
            ? "several"
            : undefined,
      min: s.minimum ?? s.exclusiveMinimum,
      max: s.maximum ?? s.exclusiveMaximum,
    };
  });
}

/** What stands in a field for a value. A line break within a text of a list is written \\n, so that every line is one text. */
export function written(kind: Field["kind"], value: unknown): string {
  if (value === null || value === undefined) return "";
  if (Array.isArray(value) && kind === "lines")
    return value.map((x) => String(x).replaceAll("\\", "\\\\").replaceAll("\n", "\\n")).join("\n");
  if (Array.isArray(value) && kind === "numbers") return value.join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
/** The value of what was typed; undefined where the default is meant. What cannot be read is given on as it is, for the server to name. */
export function read(field: Pick<Field, "kind" | "nullable">, raw: string): unknown {
  const empty = field.nullable ? null : undefined;
  if (field.kind === "lines") {
    const lines = raw.split("\n").filter((x) => x.trim() !== "");
    if (!lines.length) return field.nullable ? null : [];
    return lines.map((x) => x.replace(/\\(\\|n)/g, (_, c: string) => (c === "n" ? "\n" : "\\")));
  }
  if (raw.trim() === "") return empty;
  const number = (x: string): number | string => (Number.isFinite(Number(x)) ? Number(x) : x);
  if (field.kind === "numbers")
    return raw
      .split(/[\s,;]+/)
      .filter(Boolean)
      .map(number);
  if (field.kind === "number" || field.kind === "integer") return number(raw);
  if (field.kind === "json") {
    try {
      return JSON.parse(raw);
    } catch {
      return raw;
    }
  }
  return raw;
}
