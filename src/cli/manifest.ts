/**
 * Kubernetes manifests: several documents in one file, and pods inside workloads.
 */
import { Document, parseAllDocuments, visit, type Tags } from 'yaml';
import { isRecord, printableText, VouchsafeError } from '../core/index.ts';

/** Longest manifest read. */
const MAX_MANIFEST_CHARS = 16 * 1024 * 1024;

/** Any object of a manifest. */
export type Manifest = Readonly<Record<string, unknown>>;

/** A pod found in a manifest. */
export interface FoundPod {
  /** Kind and name for messages: `Deployment/web`. */
  readonly owner: string;
  readonly namespace: string;
  /** The pod, or the pod template as a pod with `apiVersion` and `kind`. */
  readonly pod: Manifest;
  /** The manifest with this pod replaced. */
  readonly replace: (pod: Manifest) => Manifest;
}

/** Kind -> path of its pod template. */
const TEMPLATE_PATHS: Readonly<Record<string, readonly string[]>> = {
  Pod: [],
  PodTemplate: ['template'],
  Deployment: ['spec', 'template'],
  ReplicaSet: ['spec', 'template'],
  ReplicationController: ['spec', 'template'],
  StatefulSet: ['spec', 'template'],
  DaemonSet: ['spec', 'template'],
  Job: ['spec', 'template'],
  CronJob: ['spec', 'jobTemplate', 'spec', 'template'],
};

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

/** The pod of a manifest; undefined for a kind without one. */
export function findPod(manifest: Manifest, defaultNamespace: string): FoundPod | undefined {
  const kind = textOf(manifest['kind']);
  const path = TEMPLATE_PATHS[kind];
  if (path === undefined) return undefined;
  const template = path.reduce<unknown>(
    (at, field) => (isManifest(at) ? at[field] : undefined),
    manifest,
  );
  const metadata = isManifest(manifest['metadata']) ? manifest['metadata'] : {};
  const owner = `${kind}/${textOf(metadata['name'] ?? metadata['generateName'] ?? 'unnamed')}`;
  if (!isManifest(template)) {
    throw new VouchsafeError('ERR_ADMISSION_MALFORMED', `${owner} has no ${path.join('.')}`);
  }
  const isPod = path.length === 0;
  return {
    owner,
    namespace: textOf(metadata['namespace'] ?? defaultNamespace),
    // Pod templates, often those of Jobs, may have no metadata.
    pod: isPod ? template : { apiVersion: 'v1', kind: 'Pod', metadata: {}, ...template },
    replace: (pod) => (isPod ? pod : withValueAt(manifest, path, withoutKind(pod, template))),
  };
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

/** Items of a `List` set their kind; items of a `PodList` take it from the kind of the list. */
function expandList(manifest: Manifest, name: string): readonly Manifest[] {
  const { apiVersion, kind, items } = manifest;
  const ofItems = /^(.*)List$/.exec(textOf(kind))?.[1];
  if (ofItems === undefined || !Array.isArray(items)) return [manifest];
  return items.map((item: unknown) => {
    if (!isManifest(item))
      throw unreadable(name, 'contains a List with an item that is not an object');
    return ofItems === '' ? item : { apiVersion, kind: ofItems, ...item };
  });
}

function withValueAt(manifest: Manifest, path: readonly string[], value: unknown): Manifest {
  const [field, ...rest] = path;
  if (field === undefined) return manifest;
  const inner = manifest[field];
  return {
    ...manifest,
    [field]: rest.length === 0 ? value : withValueAt(isManifest(inner) ? inner : {}, rest, value),
  };
}

/** Removes `apiVersion` and `kind` unless the template itself had them. */
function withoutKind(pod: Manifest, template: Manifest): Manifest {
  const added = ['apiVersion', 'kind'].filter((field) => !Object.hasOwn(template, field));
  return Object.fromEntries(Object.entries(pod).filter(([field]) => !added.includes(field)));
}

function textOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

function unreadable(name: string, what: string): VouchsafeError {
  return new VouchsafeError('ERR_CONFIG_UNREADABLE', `${name} ${what}`);
}
