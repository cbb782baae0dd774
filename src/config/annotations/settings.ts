/**
 * Annotations of pod and namespace, and the installation's defaults -> settings, each with its source.
 */
import { typoDistance, type Problem } from '../../core/index.ts';
import {
  ANNOTATIONS,
  classify,
  FILE_SETTINGS,
  isSettingName,
  SETTINGS,
  type FileSettings,
  type Level,
  type Setting,
  type SettingName,
  type Settings,
  type VariableSettings,
  VARIABLE_SETTINGS,
} from './annotations.ts';
import { withGcpCredentials } from './clouds.ts';
import { contradictions } from './contradictions.ts';
import { grammar, type Grammar } from '../schema/index.ts';

/** Annotations of a Kubernetes object. */
export type Annotations = Readonly<Record<string, string>>;

/** Input of {@link resolveSettings}. */
export interface SettingsInput {
  /** `vouchsafe.dev` */
  readonly prefix: string;
  readonly pod: Annotations;
  /** Undefined if they are not known. */
  readonly namespace?: Annotations | undefined;
  /** Defaults of the installation by annotation name without prefix. */
  readonly installation: Readonly<Record<string, string>>;
  /** What unknown annotations of the pod lead to: a warning (the default), or a problem. */
  readonly unknown?: 'warned' | 'rejected';
}

/** The settings of all levels. A setting with a problem has its default; a file with one is missing. */
export interface ResolvedSettings {
  readonly settings: Settings;
  /** By name, in alphabetical order. */
  readonly files: readonly FileSettings[];
  /** By name, in alphabetical order. */
  readonly variables: readonly VariableSettings[];
  /** What has no effect or is probably not intended. */
  readonly warnings: readonly string[];
  readonly problems: readonly Problem[];
}

/**
 * Pod takes precedence over namespace, namespace over installation, installation over built in. Collects every
 * problem; never throws.
 */
export function resolveSettings(input: SettingsInput): ResolvedSettings {
  const problems: Problem[] = [];
  const given = givenBy(input, problems);
  const warnings = collectWarnings(input, given, problems);
  const settings = settingsOf(input, problems);
  const own = filesOf(input, given, problems);
  const variables = variablesOf(input, given, problems);
  const found = contradictions({ settings, files: own, variables, prefix: input.prefix });
  const files = withGcpCredentials(settings, own);
  problems.push(...found.problems);
  warnings.push(...found.warnings);
  return { settings, files, variables, warnings, problems };
}

function settingsOf(input: SettingsInput, problems: Problem[]): Settings {
  const names = Object.keys(SETTINGS).filter(isSettingName);
  const entries = names.map((name) => [name, settingOf(name, input, problems)]);
  return Object.fromEntries(entries) as Settings; // one entry per name, read by its own grammar
}

function settingOf(name: SettingName, input: SettingsInput, problems: Problem[]): Setting<unknown> {
  const spec = SETTINGS[name];
  const levels: readonly Level[] = spec.levels;
  const key = `${input.prefix}/${name}`;
  const given: readonly (readonly [Level, string | undefined, string])[] = [
    ['pod', own(input.pod, key), key],
    ['namespace', own(input.namespace ?? {}, key), `${key} of the namespace`],
    ['installation', own(input.installation, name), `defaults.${name} of the installation`],
  ];
  for (const [source, text, path] of given) {
    if (text === undefined || !levels.includes(source)) continue;
    const parsed = spec.grammar.parse(text);
    if ('value' in parsed) return { value: parsed.value, source, text };
    problems.push({ path, message: parsed.problem });
  }
  return { value: spec.builtIn, source: 'built in', text: undefined };
}

function filesOf(
  input: SettingsInput,
  given: readonly Given[],
  problems: Problem[],
): FileSettings[] {
  const written = given.flatMap(([key, text]): Written[] => {
    const meaning = classify(key);
    if (meaning.kind !== 'file') return [];
    const { setting, file: item } = meaning;
    const spec = FILE_SETTINGS[setting].grammar;
    return [{ path: `${input.prefix}/${key}`, item, setting, text, spec }];
  });
  return itemsOf(written, grammar.fileName, problems) as FileSettings[]; // filled by its grammars
}

function variablesOf(
  input: SettingsInput,
  given: readonly Given[],
  problems: Problem[],
): VariableSettings[] {
  const written = given.flatMap(([key, text]): Written[] => {
    const meaning = classify(key);
    if (meaning.kind !== 'variable') return [];
    const { setting, variable: item } = meaning;
    const spec = VARIABLE_SETTINGS[setting].grammar;
    return [{ path: `${input.prefix}/${key}`, item, setting, text, spec }];
  });
  return itemsOf(written, grammar.variableName, problems) as VariableSettings[]; // as above
}

/** A setting of one file or one variable, as it was written. */
interface Written {
  readonly path: string;
  /** The name of the file or variable. */
  readonly item: string;
  readonly setting: string;
  readonly text: string;
  readonly spec: Grammar<unknown>;
}

/** The settings by file or variable, in the order of the names. */
function itemsOf(
  written: readonly Written[],
  names: Grammar<string>,
  problems: Problem[],
): readonly unknown[] {
  const items = new Map<string, Record<string, unknown>>();
  // An item with a rejected setting is left out, so that what it lacks now is not reported as well.
  const rejected = new Set<string>();
  for (const { path, item, setting, text, spec } of written) {
    const name = names.parse(item);
    const parsed = spec.parse(text);
    if ('problem' in name)
      problems.push({ path, message: `the part after the dash ${name.problem}` });
    if ('problem' in parsed) problems.push({ path, message: parsed.problem });
    if ('problem' in name || 'problem' in parsed) {
      rejected.add(item);
      continue;
    }
    const known = items.get(item) ?? { name: item };
    known[setting] = { value: parsed.value, source: 'pod', text };
    items.set(item, known);
  }
  const kept = [...items.keys()].filter((name) => !rejected.has(name)).sort();
  return kept.map((name) => items.get(name));
}

/** Maximum number of unknown names that are each reported with a guess: guessing takes time. */
const MAX_GUESSES = 10;
/** Longer than any annotation of ours. */
const MAX_GUESSED_CHARS = 128;

/** A name that is not an annotation of ours. */
interface Unknown {
  readonly level: 'pod' | 'namespace';
  readonly name: string;
}

/** Warns about names without effect at their level; reports those that are rejected. */
function collectWarnings(
  input: SettingsInput,
  given: readonly Given[],
  problems: Problem[],
): string[] {
  const { prefix } = input;
  const warnings: string[] = [];
  const unknown: Unknown[] = [];
  for (const [name] of given) {
    const meaning = classify(name);
    if (meaning.kind === 'unknown') unknown.push({ level: 'pod', name });
  }
  for (const [name] of annotationsOf(input.namespace ?? {}, prefix)) {
    const meaning = classify(name);
    if (meaning.kind === 'unknown') unknown.push({ level: 'namespace', name });
    else if (meaning.kind !== 'setting') {
      warnings.push(`${prefix}/${name} has no effect on a namespace: set it on the pod`);
    }
  }
  reportUnknown(unknown, input, { problems, warnings });
  return warnings;
}

function reportUnknown(
  unknown: readonly Unknown[],
  input: SettingsInput,
  { problems, warnings }: { readonly problems: Problem[]; readonly warnings: string[] },
): void {
  const { prefix } = input;
  for (const { level, name } of unknown.slice(0, MAX_GUESSES)) {
    const guess = nearestAnnotation(name);
    const hint = guess === undefined ? '' : `; did you mean ${prefix}/${guess}?`;
    const isRejected = level === 'pod' && input.unknown === 'rejected';
    const where = level === 'pod' ? '' : 'on the namespace: ';
    if (isRejected) problems.push({ path: `${prefix}/${name}`, message: `is not known${hint}` });
    else warnings.push(`${where}unknown annotation ${prefix}/${name}${hint}`);
  }
  const rest = unknown.length - MAX_GUESSES;
  if (rest > 0) warnings.push(`${rest} more annotations of ${prefix} are unknown`);
}

/** The part after the name of a setting of a file or a variable. */
const ITEM = /-<name>$/i;

/** Of `templates-db` only the part before the file's name is compared: `template-db` may be meant. */
function nearestAnnotation(name: string): string | undefined {
  if (name.length > MAX_GUESSED_CHARS) return undefined;
  const parts = name.replace(/(?<!-)-+$/, '').split('-');
  const guesses = ANNOTATIONS.flatMap((row) => {
    const [known = '', isPerItem] = row.name.split(ITEM);
    const count = isPerItem === undefined ? parts.length : known.split('-').length;
    const [given, rest] = [parts.slice(0, count).join('-'), parts.slice(count)];
    const edits = typoDistance(given, known);
    if (edits === undefined) return [];
    const guess =
      isPerItem === undefined || rest.length > 0 ? [known, ...rest].join('-') : row.name;
    return [{ guess, edits }];
  });
  return guesses.sort((a, b) => a.edits - b.edits)[0]?.guess;
}

/** Far more than every setting of the maximum number of files. */
const MAX_ANNOTATIONS = 4096;

/** The annotations of the pod under the prefix. Reports it if there are too many, and leaves out the rest. */
function givenBy({ pod, prefix }: SettingsInput, problems: Problem[]): readonly Given[] {
  const given = annotationsOf(pod, prefix);
  if (given.length <= MAX_ANNOTATIONS) return given;
  const message = `has ${given.length} annotations; the maximum is ${MAX_ANNOTATIONS}`;
  problems.push({ path: prefix, message });
  return given.slice(0, MAX_ANNOTATIONS);
}

/** Name without prefix, and text. */
type Given = readonly [name: string, text: string];

function annotationsOf(annotations: Annotations, prefix: string): Given[] {
  return Object.entries(annotations)
    .filter(([key]) => key.startsWith(`${prefix}/`))
    .map(([key, text]): Given => [key.slice(prefix.length + 1), text])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

function own(record: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}
