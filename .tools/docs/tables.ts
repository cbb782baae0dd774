/**
 * The lists of the manual, made from the tables and schemas that the code itself goes by.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { REASONS } from '../../src/admission/index.ts';
import { AGENT_CONFIG_SCHEMA } from '../../src/config/agent/index.ts';
import {
  ANNOTATIONS,
  IGNORED_IN_CSI,
  UNSUPPORTED_IN_CSI,
  NO_MOUNT_PATH,
  NOT_IN_VOLUME,
  type AnnotationRow,
} from '../../src/config/annotations/index.ts';
import { CHART_ONLY, INSTALLATION_SCHEMA } from '../../src/config/installation/index.ts';
import type { JsonSchema } from '../../src/config/schema/index.ts';
import { ERROR_TABLE, EXIT } from '../../src/core/index.ts';
import { TEMPLATE_HELPERS } from '../../src/template/index.ts';
import { anchorOf, code, table } from './markdown.ts';

/** Settings of the pod as a whole. */
export function podAnnotations(): string {
  const rows = ANNOTATIONS.filter(({ name }) => !name.includes('<'));
  const columns = rows.map((row) => [...annotation(row), row.levels.join(', ')]);
  return table(['annotation', 'meaning', 'values', 'default', 'levels'], columns);
}

/** Settings of one file. */
export function fileAnnotations(): string {
  return itemAnnotations('<name>');
}

/** Settings of one environment variable. */
export function variableAnnotations(): string {
  return itemAnnotations('<NAME>');
}

function itemAnnotations(item: string): string {
  const rows = ANNOTATIONS.filter(({ name }) => name.includes(item));
  return table(['annotation', 'meaning', 'values', 'default'], rows.map(annotation));
}

function annotation({ name, description, values, default: given }: AnnotationRow): string[] {
  return [code(name), description, values, given];
}

/** What becomes of each setting where the CSI driver delivers; settings that fare alike are one row. */
export function csiSettings(): string {
  const rows = new Map<string, { readonly names: string[]; readonly fate: readonly string[] }>();
  for (const { name } of ANNOTATIONS) {
    const fate = [fateOfAnnotation(name), fateOfAttribute(name)];
    const known = rows.get(fate.join());
    if (known === undefined) rows.set(fate.join(), { names: [code(name)], fate });
    else known.names.push(code(name));
  }
  const columns = [...rows.values()].map(({ names, fate }) => [names.join(', '), ...fate]);
  return table(['setting', 'annotation with `mode: csi`', 'attribute of a volume'], columns);
}

const TAKES_EFFECT = 'takes effect';

function fateOfAnnotation(name: string): string {
  const refused = notByDriver(name);
  if (refused !== undefined) return refused;
  return Object.hasOwn(IGNORED_IN_CSI, name) ? 'no effect, with a warning' : TAKES_EFFECT;
}

function fateOfAttribute(name: string): string {
  const reason = NOT_IN_VOLUME[name];
  if (name === 'mode') return '`csi`, or left out';
  if (name === 'mount-path') {
    return `takes effect with \`gcp-workload-identity-provider\`, else rejected: ${NO_MOUNT_PATH}`;
  }
  return notByDriver(name) ?? (reason === undefined ? TAKES_EFFECT : `rejected: ${reason}`);
}

function notByDriver(name: string): string | undefined {
  const found = Object.entries(UNSUPPORTED_IN_CSI).find(
    ([one]) => name.replace(/-<name>$/i, '') === one,
  );
  return found === undefined ? undefined : `rejected: ${found[1].replace('<name>', '…')}`;
}

/** Keys of the AgentConfig document. */
export function agentKeys(): string {
  return schemaTable(AGENT_CONFIG_SCHEMA);
}

/** Keys of the values that admission reads. */
export function valuesKeys(): string {
  return table(KEYS, leaves(INSTALLATION_SCHEMA).filter(isRead).map(keyRow));
}

/** True for a key that admission reads, whether or not the chart does. */
export function isRead({ path }: Leaf): boolean {
  return !CHART_ONLY.some((key) => path === key || path.startsWith(`${key}.`));
}

/** Every key of the chart, with the default that its `values.yaml` gives. */
export function chartValues(defaults: unknown): string {
  const rows = leaves(INSTALLATION_SCHEMA).map((leaf) => {
    const given = valueAt(defaults, leaf.path);
    const shown = given === undefined ? '' : code(JSON.stringify(given));
    return [...keyRow(leaf).slice(0, 3), leaf.isRequired ? requiredOf(leaf.path) : shown];
  });
  return table(KEYS, rows);
}

function valueAt(document: unknown, path: string): unknown {
  return path.split('.').reduce((value: unknown, key) => {
    const fields = typeof value === 'object' && value !== null ? Object.entries(value) : [];
    return fields.find(([name]) => name === key)?.[1] as unknown; // of any type
  }, document);
}

const KEYS = ['key', 'meaning', 'type', 'default'];

function schemaTable(schema: JsonSchema): string {
  return table(KEYS, leaves(schema).map(keyRow));
}

function keyRow({ path, schema, isRequired }: Leaf): string[] {
  return [
    code(path),
    schema.description ?? schema.anyOf?.map(({ description = '' }) => description).join(' ') ?? '',
    kindOf(schema),
    isRequired ? requiredOf(path) : defaultOf(schema),
  ];
}

/** When a key is required: always, or with the object that it belongs to. */
function requiredOf(path: string): string {
  const [parent = ''] = path.split('.').slice(-2, -1);
  if (parent === '') return 'required';
  if (parent === '<name>' || parent.endsWith('[]')) return 'required in each';
  return `required with ${code(parent)}`;
}

/** A key that holds a value of its own. */
export interface Leaf {
  /** `files[].name`, `vault.connections.<name>.address` */
  readonly path: string;
  readonly schema: JsonSchema;
  readonly isRequired: boolean;
}

/** Stands for a key per annotation. */
const DEFAULTS: JsonSchema = {
  description:
    'Default of that annotation for the whole installation, written as the annotation is.',
};

/** Every key of a schema. */
export function leaves(schema: JsonSchema, path = '', isRequired = false): readonly Leaf[] {
  if (path === 'defaults') return [{ path: 'defaults.<annotation>', schema: DEFAULTS, isRequired }];
  const below = children(schema, path);
  const itself = path !== '' && (below.length === 0 || schema.anyOf !== undefined);
  const rest = below.flatMap((child) => leaves(child.schema, child.path, child.isRequired));
  return itself ? [{ path, schema, isRequired }, ...rest] : rest;
}

function children(schema: JsonSchema, path: string): readonly Leaf[] {
  const { properties, items, additionalProperties, anyOf, required = [] } = schema;
  const at = (name: string): string => (path === '' ? name : `${path}.${name}`);
  if (properties !== undefined) {
    return Object.entries(properties).map(([name, child]) => {
      return { path: at(name), schema: child, isRequired: required.includes(name) };
    });
  }
  if (anyOf !== undefined) return anyOf.flatMap((one) => children(one, path));
  if (items?.properties !== undefined) return children(items, `${path}[]`);
  if (typeof additionalProperties === 'object' && additionalProperties.properties !== undefined) {
    return children(additionalProperties, at('<name>'));
  }
  return [];
}

/** Names of the values that admission lets pass unread. */
export function chartKeys(): string {
  return CHART_ONLY.map(code).join(', ');
}

function kindOf(schema: JsonSchema): string {
  if (schema.anyOf !== undefined) return schema.anyOf.map(kindOf).join(' or ');
  if (schema.type === 'array') {
    return schema.items?.type === 'object' ? 'list of objects' : 'list of strings';
  }
  if (schema.enum !== undefined) return schema.enum.map(code).join(', ');
  if (schema.pattern?.includes('(ms|s|m|h|d)') === true) return 'duration';
  return schema.type ?? 'as the annotation';
}

function defaultOf({ default: given }: JsonSchema): string {
  if (given === undefined || (Array.isArray(given) && given.length === 0)) return '';
  return code(String(given));
}

/** Every helper of templates. */
export function helpers(): string {
  const rows = TEMPLATE_HELPERS.map(({ usage, description }) => [code(usage), description]);
  return table(['helper', 'meaning'], rows);
}

/** Heading of the errors whose codes begin with `ERR_<key>_`. */
const AREAS: Readonly<Record<string, string>> = {
  BUG: 'General',
  USAGE: 'General',
  CONFIG: 'General',
  SPIFFE: 'Identity',
  VAULT: 'Vault',
  TEMPLATE: 'Templates',
  OUTPUT: 'Files',
  ENV: 'Environment variables',
  NOTIFY: 'Notifications',
  AGENT: 'Agent',
  ADMISSION: 'Admission',
  POLICY: 'Admission',
  CSI: 'CSI driver',
  CHECK: 'Cluster',
  KUBERNETES: 'Cluster',
  SERVER: 'Cluster',
};

/** Every error under a heading of its own, which is its anchor, by area. */
export function errors(root: string): string {
  const help = readFileSync(join(root, 'docs/operate/troubleshooting.md'), 'utf8');
  const entries = Object.entries(ERROR_TABLE).map(([name, { meaning, retry, exit }]) => {
    const text = `${meaning}\n\nRetry: ${code(retry)}. Exit code: ${code(String(exit))}.${troubleshooting(help, name)}`;
    return { area: areaOf(name), text: `### ${name}\n\n${text}` };
  });
  const byArea = Map.groupBy(entries, ({ area }) => area);
  return [...byArea]
    .flatMap(([area, list]) => [`## ${area}`, ...list.map(({ text }) => text)])
    .join('\n\n');
}

function areaOf(name: string): string {
  const area = AREAS[name.split('_')[1] ?? ''];
  if (area === undefined) throw new Error(`no area for the error code ${name}`);
  return area;
}

/** A link to the heading of the page on troubleshooting that names the code, if there is one. */
function troubleshooting(help: string, name: string): string {
  const heading = help.split('\n').find((line) => line.startsWith('#') && line.includes(name));
  if (heading === undefined) return '';
  const anchor = anchorOf(heading.replace(/^#+ /, ''));
  return ` See [troubleshooting](../operate/troubleshooting.md#${anchor}).`;
}

/** What an exit code without errors means. */
const EXIT_MEANINGS: Readonly<Record<string, string>> = {
  ok: 'Done, or stopped by a first SIGINT or SIGTERM.',
  secondSignal: 'Ended at once by a second SIGINT or SIGTERM.',
  brokenPipe: 'A command whose reader went away, as in `vouchsafe dev | head`.',
};

/** Every exit code with the errors that end so. */
export function exitCodes(): string {
  const rows = Object.entries(EXIT).map(([name, exit]) => {
    const codes = Object.entries(ERROR_TABLE).filter(([, rule]) => rule.exit === exit);
    return [String(exit), EXIT_MEANINGS[name] ?? codes.map(([one]) => errorLink(one)).join(', ')];
  });
  return table(['exit code', 'meaning'], rows);
}

function errorLink(name: string): string {
  return `[${code(name)}](#${anchorOf(name)})`;
}

/** Why the webhook did what it did. */
export function reasons(): string {
  return table(
    ['reason', 'meaning'],
    Object.entries(REASONS).map(([name, meaning]) => [code(name), meaning]),
  );
}

/** One registration of a metric in the sources. */
interface Metric {
  readonly kind: string;
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
}

const REGISTRATION =
  /\.(counter|gauge|histogram)\(\s*'(vouchsafe_\w+)',\s*'([^']*)'(?:,\s*[A-Z_]+)?(?:,\s*\[([^\]]*)\])?/g;

/** A process with metrics of its own. */
type Process = 'agent' | 'webhook' | 'csi';

/** Folders with metrics of a process; all others belong to the agent. */
const FOLDERS: Readonly<Record<string, Process>> = {
  webhook: 'webhook',
  'webhook-certificates': 'webhook',
  kubernetes: 'webhook',
  csi: 'csi',
  renderer: 'csi',
};

/** Every metric of a process, found where the sources register it. */
export function metrics(root: string, process: Process): string {
  for (const folder of Object.keys(FOLDERS)) {
    if (!existsSync(join(root, 'src', folder))) throw new Error(`there is no folder src/${folder}`);
  }
  const found = sources(join(root, 'src'))
    .filter((path) => processOf(relative(join(root, 'src'), path)) === process)
    .flatMap((path) => registrations(readFileSync(path, 'utf8')));
  const sorted = found.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const rows = sorted.map(({ name, kind, labels, help }) => [
    code(name),
    kind,
    labels.map(code).join(', '),
    help,
  ]);
  return table(['metric', 'type', 'labels', 'meaning'], rows);
}

function processOf(path: string): Process {
  return FOLDERS[path.split(sep)[0] ?? ''] ?? 'agent';
}

function registrations(text: string): readonly Metric[] {
  return [...text.matchAll(REGISTRATION)].map(([, kind = '', name = '', help = '', list = '']) => {
    const labels = [...list.matchAll(/'(\w+)'/g)].map(([, label = '']) => label);
    return { kind, name, help, labels };
  });
}

function sources(directory: string): readonly string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(directory, name));
}
