/**
 * Annotations of pod and namespace and the installation's defaults -> settings, each with its source.
 */
import { typoDistance, type Problem } from '../core/index.ts';
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
} from './annotations.ts';
import { contradictions } from './contradictions.ts';
import { fileName } from './grammar.ts';

/** Annotations as Kubernetes has them. */
export type Annotations = Readonly<Record<string, string>>;

/** Input of {@link resolveSettings}. */
export interface SettingsInput {
  /** `vouchsafe.dev` */
  readonly prefix: string;
  readonly pod: Annotations;
  /** Undefined where they are not known. */
  readonly namespace?: Annotations | undefined;
  /** Defaults of the installation by annotation name without prefix. */
  readonly installation: Readonly<Record<string, string>>;
  /** What becomes of names of the pod that mean nothing. Default: a warning. */
  readonly unknown?: 'warned' | 'refused';
}

/** All that annotations say. Where there are problems, what was refused is missing or has its default. */
export interface ResolvedSettings {
  readonly settings: Settings;
  /** By name, in alphabetical order. */
  readonly files: readonly FileSettings[];
  /** What is odd but does no harm. */
  readonly warnings: readonly string[];
  readonly problems: readonly Problem[];
}

/** Pod beats namespace beats installation beats built in. Collects every problem; throws nothing. */
export function resolveSettings(input: SettingsInput): ResolvedSettings {
  const problems: Problem[] = [];
  const given = givenBy(input, problems);
  const warnings = collectWarnings(input, given, problems);
  const settings = settingsOf(input, problems);
  const files = filesOf(input, given, problems);
  const found = contradictions(settings, files, input.prefix);
  problems.push(...found.problems);
  warnings.push(...found.warnings);
  return { settings, files, warnings, problems };
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
  const files = new Map<string, Record<string, unknown>>();
  // A file of which a part was refused is left out: what it lacks now is no further problem.
  const refused = new Set<string>();
  for (const [key, text] of given) {
    const meaning = classify(key);
    if (meaning.kind !== 'file') continue;
    const path = `${input.prefix}/${key}`;
    const name = fileName.parse(meaning.file);
    const parsed = FILE_SETTINGS[meaning.setting].grammar.parse(text);
    if ('problem' in name)
      problems.push({ path, message: `the part after the dash: ${name.problem}` });
    if ('problem' in parsed) problems.push({ path, message: parsed.problem });
    if ('problem' in name || 'problem' in parsed) {
      refused.add(meaning.file);
      continue;
    }
    const file = files.get(meaning.file) ?? { name: meaning.file };
    file[meaning.setting] = { value: parsed.value, source: 'pod', text };
    files.set(meaning.file, file);
  }
  const names = [...files.keys()].filter((name) => !refused.has(name)).sort();
  return names.map((name) => files.get(name) as FileSettings); // filled by the grammars above
}

/** Names that mean nothing, of which each is answered with a guess: guessing takes time. */
const MAX_GUESSES = 10;
/** A name of Kubernetes is no longer. */
const MAX_GUESSED_CHARS = 128;

/** A name that means nothing where it stands. */
interface Unknown {
  readonly level: 'pod' | 'namespace';
  readonly name: string;
}

/** Warns about names that mean nothing where they stand; reports those that are refused. */
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
    if (meaning.kind !== 'refused') continue;
    problems.push({ path: `${prefix}/${name}`, message: meaning.reason });
  }
  for (const [name] of annotationsOf(input.namespace ?? {}, prefix)) {
    const meaning = classify(name);
    if (meaning.kind === 'unknown') unknown.push({ level: 'namespace', name });
    else if (meaning.kind !== 'setting') {
      warnings.push(`${prefix}/${name} has no effect on a namespace: write it on the pod`);
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
    const isRefused = level === 'pod' && input.unknown === 'refused';
    const where = level === 'pod' ? '' : 'on the namespace: ';
    if (isRefused) problems.push({ path: `${prefix}/${name}`, message: `is not known${hint}` });
    else warnings.push(`${where}unknown annotation ${prefix}/${name}${hint}`);
  }
  const rest = unknown.length - MAX_GUESSES;
  if (rest > 0) warnings.push(`${rest} more annotations of ${prefix} are unknown`);
}

/** Of `templates-db` only the part before the user's own name is compared: it may be meant as `template-db`. */
function nearestAnnotation(name: string): string | undefined {
  if (name.length > MAX_GUESSED_CHARS) return undefined;
  const parts = name.replace(/(?<!-)-+$/, '').split('-');
  const guesses = ANNOTATIONS.flatMap((row) => {
    const [known = '', isPerFile] = row.name.split('-<name>');
    const count = isPerFile === undefined ? parts.length : known.split('-').length;
    const [given, rest] = [parts.slice(0, count).join('-'), parts.slice(count)];
    const edits = typoDistance(given, known);
    if (edits === undefined) return [];
    const guess =
      isPerFile === undefined || rest.length > 0 ? [known, ...rest].join('-') : row.name;
    return [{ guess, edits }];
  });
  return guesses.sort((a, b) => a.edits - b.edits)[0]?.guess;
}

/** Far more than every setting of as many files as there may be. */
const MAX_ANNOTATIONS = 4096;

/** The annotations of the pod under the prefix; reports that there are more than anybody can mean, and leaves those out. */
function givenBy({ pod, prefix }: SettingsInput, problems: Problem[]): readonly Given[] {
  const given = annotationsOf(pod, prefix);
  if (given.length <= MAX_ANNOTATIONS) return given;
  const message = `has ${given.length} annotations, more than ${MAX_ANNOTATIONS}`;
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
