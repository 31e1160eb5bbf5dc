/** Reads the part of JSON schema that pydantic writes for parameters. */
import type { JSONSchema } from "../api/types";
import { capital, spell } from "../format";

export type Field = {
  name: string;
  title: string;
  help: string;
  kind: "integer" | "number" | "boolean" | "enum" | "text" | "json";
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
    const options = s.enum ?? (s.const !== undefined ? [s.const] : undefined);
    const kind = options
      ? "enum"
      : type === "integer" || type === "number" || type === "boolean"
        ? type
        : type === "string"
          ? "text"
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
      choices: s.items ? (follow(s.items as JSONSchema, schema).enum as string[] | undefined) : undefined,
      method:
        kind === "text" && formatOf(raw, schema) === "method"
          ? "one"
          : s.items && follow(s.items as JSONSchema, schema).format === "method"
            ? "several"
            : undefined,
      min: s.minimum ?? s.exclusiveMinimum,
      max: s.maximum ?? s.exclusiveMaximum,
    };
  });
}
