/**
 * Kubernetes manifests: several documents in one file, and pods inside workloads.
 */
import { Document, parseAllDocuments, visit, type Tags } from 'yaml';
import { formatPath, podOfTemplate, podTemplatesOf, type PodTemplate } from '../admission/index.ts';
import { isRecord, printableText, VouchsafeError } from '../core/index.ts';

/** Longest manifest read. */
const MAX_MANIFEST_CHARS = 16 * 1024 * 1024;
/** Lists within Lists. */
const MAX_LIST_DEPTH = 16;

/** Any object of a manifest. */
export type Manifest = Readonly<Record<string, unknown>>;

/** A pod found in a manifest. */
export interface FoundPod {
  /** Kind and name for messages: `Deployment/web`; with the path of the template where the manifest has several. */
  readonly owner: string;
  readonly namespace: string;
  /** The pod, or the pod template as a pod with `apiVersion` and `kind`. */
  readonly pod: Manifest;
  readonly template: PodTemplate;
}

/** Types of YAML 1.1 that Kubernetes reads as strings. */
const TEXT_TAGS = ['timestamp', 'binary', 'omap', 'pairs', 'set'].map(
  (name) => `tag:yaml.org,2002:${name}`,
);

/**
 * Kubernetes reads YAML 1.1 as Go's parser does: `0440` is octal, `yes` a boolean and `<<` a merge, while dates
 * and `8080:80` are strings. Printed manifests must have the same meaning there.
 */
const DIALECT = {
  version: '1.1',
  customTags: (tags: Tags): Tags =>
    tags.filter(
      (tag) => typeof tag === 'string' || !(TEXT_TAGS.includes(tag.tag) || tag.format === 'TIME'),
    ),
} as const;

/**
 * Reads YAML or JSON with any number of documents; the items of a List are separate manifests.
 *
 * @throws VouchsafeError `ERR_CONFIG_UNREADABLE` with document, line and column.
 */
export function parseManifests(text: string, name: string): readonly Manifest[] {
  if (text.length > MAX_MANIFEST_CHARS) {
    throw unreadable(name, `is larger than ${MAX_MANIFEST_CHARS} characters`);
  }
  const documents = parseAllDocuments(text, { ...DIALECT, uniqueKeys: true });
  const manifests: Manifest[] = [];
  // The type of an empty stream is not an array.
  for (const [index, document] of Array.from(documents).entries()) {
    const [error] = document.errors;
    if (error !== undefined) {
      const place = error.linePos?.[0];
      const where = place === undefined ? '' : ` at line ${place.line}, column ${place.col}`;
      throw unreadable(name, `document ${index + 1} is not valid YAML${where}: ${error.code}`);
    }
    const value = valueOf(document, name, index);
    if (value === null || value === undefined) continue;
    if (!isManifest(value))
      throw unreadable(name, `document ${index + 1} is not a Kubernetes object`);
    manifests.push(...expandList(value, name));
  }
  if (manifests.length === 0) throw unreadable(name, 'contains no document');
  return manifests;
}

/**
 * The pods of a manifest, in their order.
 *
 * @throws VouchsafeError `ERR_ADMISSION_MALFORMED` for a workload without a pod template.
 */
export function findPods(manifest: Manifest, defaultNamespace: string): readonly FoundPod[] {
  const templates = podTemplatesOf(manifest);
  return templates.map((template) => {
    const isAmbiguous = templates.filter(({ owner }) => owner === template.owner).length > 1;
    const place = isAmbiguous ? ` (${formatPath(template.path)})` : '';
    return {
      owner: `${template.owner}${place}`,
      namespace: template.namespace ?? defaultNamespace,
      pod: podOfTemplate(template),
      template,
    };
  });
}

/** The annotations of the namespaces that the manifests define. */
export function namespaceAnnotations(
  manifests: readonly Manifest[],
): ReadonlyMap<string, Readonly<Record<string, string>>> {
  const found = new Map<string, Readonly<Record<string, string>>>();
  for (const { kind, metadata } of manifests) {
    if (kind !== 'Namespace' || !isManifest(metadata)) continue;
    const annotations = isManifest(metadata['annotations']) ? metadata['annotations'] : {};
    const texts = Object.entries(annotations).map(([key, value]) => [key, textOf(value)] as const);
    found.set(textOf(metadata['name']), Object.fromEntries(texts));
  }
  return found;
}

/** Prints manifests as one YAML stream. */
export function printManifests(manifests: readonly Manifest[]): string {
  return manifests
    .map((manifest) => {
      const document = new Document(manifest, { ...DIALECT, aliasDuplicateObjects: false });
      visit(document, {
        Scalar(_, node) {
          // Only double-quoted scalars can contain escapes.
          const isPlain =
            typeof node.value !== 'string' || printableText(node.value) === node.value;
          if (!isPlain) node.type = 'QUOTE_DOUBLE';
        },
      });
      return printableText(document.toString({ ...DIALECT, lineWidth: 0 }));
    })
    .join('---\n');
}

/** True for an object that is not a list. */
export function isManifest(value: unknown): value is Manifest {
  return isRecord(value);
}

/** Aliases are resolved and counted only here. */
function valueOf(document: Document, name: string, index: number): unknown {
  try {
    const value: unknown = document.toJS({ maxAliasCount: 100 });
    return value;
  } catch {
    throw unreadable(name, `document ${index + 1} has too many or unknown aliases`);
  }
}

/** Items of a `List` set their kind; items of a `PodList` take it from the kind of the list. Lists can hold Lists. */
function expandList(manifest: Manifest, name: string, depth = 0): readonly Manifest[] {
  const { apiVersion, kind, items } = manifest;
  const ofItems = /^(.*)List$/.exec(textOf(kind))?.[1];
  // An empty List stays: there is nothing to print instead.
  if (ofItems === undefined || !Array.isArray(items) || items.length === 0) return [manifest];
  if (depth > MAX_LIST_DEPTH) throw unreadable(name, 'contains Lists nested too deeply');
  return items.flatMap((item: unknown) => {
    if (!isManifest(item))
      throw unreadable(name, 'contains a List with an item that is not an object');
    const whole = ofItems === '' ? item : { apiVersion, kind: ofItems, ...item };
    return expandList(whole, name, depth + 1);
  });
}

function textOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

function unreadable(name: string, what: string): VouchsafeError {
  return new VouchsafeError('ERR_CONFIG_UNREADABLE', `${name} ${what}`);
}
