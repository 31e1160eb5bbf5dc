/** Names for the shapes that are generated from OpenAPI. What the frontend always holds in full has no optional fields. */
import type { components } from "./schema";

type S = components["schemas"];
type Full<T> = { [K in keyof T]-?: Exclude<T[K], undefined> };

export type Person = S["Person"];
export type Session = S["Session"];
export type System = S["System"];
export type LayerInfo = S["LayerInfo"];
export type Dissection = S["DissectionState"];
export type Model = S["Model"];
export type ModelDetail = S["ModelDetail"];
export type Probe = S["Probe"];
export type ProbeDetail = S["ProbeDetail"];
export type Prediction = S["Prediction"];
export type Example = S["Example"];
export type Upload = S["Upload"];
export type Method = Omit<S["Method"], "params"> & { params: JSONSchema };
export type RunRequest = S["RunRequest"];
export type Estimate = S["Estimate"];
export type Run = S["Run"];
export type RunState = Run["state"];
export type ArrayRef = S["ArrayRef"];
/** The document of a result differs by kind; every view reads its own. */
export type Result = Omit<S["ResultItem"], "document"> & { document: Record<string, any> };
export type ResultSet = Omit<S["ResultSet"], "results"> & { results: Result[] };
export type Atlas = S["Atlas"];
export type AtlasLayer = S["AtlasLayer"];
export type UnitRef = S["UnitRef"];
export type Range = S["Range"];
export type Brush = Omit<S["Brush"], "polygon"> & { polygon?: [number, number][] | null };
export type Selection = Omit<Full<S["Selection"]>, "brush"> & { brush: Brush | null };
export type ExplainState = Omit<Full<S["ExplainState"]>, "params"> & {
  params: Record<string, Record<string, unknown>>;
};
export type ViewState = Omit<Full<S["ViewState"]>, "selection" | "explain"> & {
  selection: Selection;
  explain: ExplainState;
};
export type SortKey = ViewState["sort"];
export type TableTab = ViewState["table"];
export type Colour = ViewState["colour"];
export type UnitsQuery = S["UnitsQuery"];
export type UnitRow = S["UnitRow"];
export type UnitsPage = S["UnitsPage"];
export type Counts = S["Counts"];
export type Aggregate = S["Aggregate"];
export type UnitMap = S["UnitMap"];
export type ConceptTable = S["ConceptTable"];
export type UnitDetail = S["UnitDetail"];
export type Annotation = S["Annotation"];
export type AnnotationKind = Annotation["kind"];
export type NewAnnotation = S["NewAnnotation"];
export type Revision = S["Revision"];
export type SavedSelection = Omit<S["SavedSelection"], "selection"> & { selection: Selection };
export type Share = S["Share"];
export type SharedView = Omit<S["SharedView"], "state"> & { state: ViewState };
export type Hit = S["Hit"];
export type ProblemDocument = {
  type?: string;
  title: string;
  status: number;
  detail: string;
  field?: string | null;
  current?: unknown;
};
export type JSONSchema = {
  type?: string | string[];
  title?: string;
  description?: string;
  properties?: Record<string, JSONSchema>;
  required?: string[];
  default?: unknown;
  enum?: unknown[];
  const?: unknown;
  anyOf?: JSONSchema[];
  allOf?: JSONSchema[];
  $ref?: string;
  $defs?: Record<string, JSONSchema>;
  items?: JSONSchema;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  maxLength?: number;
  format?: string;
};
