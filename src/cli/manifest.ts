/**
 * Kubernetes manifests as people write them: several documents, and pods inside workloads.
 */
import { Document, parseAllDocuments, visit, type Tags } from 'yaml';
import { printableText, VouchsafeError } from '../core/index.ts';

/** Longest manifest read. */
const MAX_MANIFEST_CHARS = 16 * 1024 * 1024;

/** Any object of a manifest. */
export type Manifest = Readonly<Record<string, unknown>>;

/** A pod found in a manifest. */
export interface FoundPod {
  /** `Deployment/web`, for messages. */
  readonly owner: string;
  readonly namespace: string;
  /** The pod, or the pod template with the pod's kind and version added. */
  readonly pod: Manifest;
  /** The manifest with another pod in its place. */
  readonly replace: (pod: Manifest) => Manifest;
}

/** Kind -> where its pod template stands. */
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

/** Kinds of plain values that YAML 1.1 knows but Kubernetes reads as text. */
const TEXT_TAGS = ['timestamp', 'binary', 'omap', 'pairs', 'set'].map(
  (name) => `tag:yaml.org,2002:${name}`,
);

/**
 * Kubernetes reads YAML 1.1 as Go's parser does: `0440` is octal, `yes` a boolean and `<<` a merge, while dates
 * and `8080:80` are texts. What is printed must read back the same there.
 */
const DIALECT = {
  version: '1.1',
  customTags: (tags: Tags): Tags =>
    tags.filter(
      (tag) => typeof tag === 'string' || !(TEXT_TAGS.includes(tag.tag) || tag.format === 'TIME'),
    ),
} as const;

/**
 * Reads YAML or JSON with any number of documents; lists are opened.
 *
 * @throws VouchsafeError `ERR_CONFIG_UNREADABLE` with document, line and column.
 */
export function parseManifests(text: string, name: string): readonly Manifest[] {
  if (text.length > MAX_MANIFEST_CHARS) {
    throw unreadable(name, `is larger than ${MAX_MANIFEST_CHARS} characters`);
  }
  const documents = parseAllDocuments(text, { ...DIALECT, uniqueKeys: true });
  const manifests: Manifest[] = [];
  // An empty stream is typed as an object of its own, without documents.
  for (const [index, document] of Array.from(documents).entries()) {
    const [error] = document.errors;
    if (error !== undefined) {
      const place = error.linePos?.[0];
      const where = place === undefined ? '' : ` at line ${place.line}, column ${place.col}`;
      throw unreadable(name, `document ${index + 1} is not YAML${where}: ${error.code}`);
    }
    const value = valueOf(document, name, index);
    if (value === null || value === undefined) continue;
    if (!isManifest(value)) throw unreadable(name, `document ${index + 1} is no Kubernetes object`);
    manifests.push(...expandList(value, name));
  }
  if (manifests.length === 0) throw unreadable(name, 'holds no document');
  return manifests;
}

/** The pod in a manifest, or undefined where its kind has none. */
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
    // A template may do without metadata, as those of Jobs often do.
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
          // Only between double quotes can a character stand escaped.
          const isPlain =
            typeof node.value !== 'string' || printableText(node.value) === node.value;
          if (!isPlain) node.type = 'QUOTE_DOUBLE';
        },
      });
      return printableText(document.toString({ ...DIALECT, lineWidth: 0 }));
    })
    .join('---\n');
}

/** True for an object that is no list. */
export function isManifest(value: unknown): value is Manifest {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Aliases are known to exist, and counted, only when they are followed. */
function valueOf(document: Document, name: string, index: number): unknown {
  try {
    const value: unknown = document.toJS({ maxAliasCount: 100 });
    return value;
  } catch {
    throw unreadable(name, `document ${index + 1} has too many or unknown aliases`);
  }
}

/** Items of a `List` name their kind; those of a `PodList` and its like are known by it. */
function expandList(manifest: Manifest, name: string): readonly Manifest[] {
  const { apiVersion, kind, items } = manifest;
  const ofItems = /^(.*)List$/.exec(textOf(kind))?.[1];
  if (ofItems === undefined || !Array.isArray(items)) return [manifest];
  return items.map((item: unknown) => {
    if (!isManifest(item)) throw unreadable(name, 'holds a List with an item that is no object');
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

/** A pod template has no kind of its own, unless it was written there. */
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
