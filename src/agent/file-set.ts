/**
 * Renders every file from the known values: to its content, or to the dependencies that have no value yet.
 */
import {
  dependencyKey,
  toVouchsafeError,
  VouchsafeError,
  withLogin,
  withOptional,
  type Dependency,
} from '../core/index.ts';
import type { AgentConfig, FileConfig } from '../config/agent/index.ts';
import type { SecretRef } from '../config/schema/index.ts';
import { envFile } from './env-file.ts';
import { withFederatedBundles } from './federated-files.ts';
import type {
  FilesPort,
  KnownValues,
  TemplateJob,
  TemplateOutput,
  TemplatePort,
  X509Files,
} from './ports.ts';
import { readTemplates } from './read-templates.ts';
import { createX509Printer, type X509Printer } from './x509-files.ts';

/** What is at the path of a file: its bytes, or no file, because its secret is optional and absent. */
export type FileContent = Uint8Array | 'no file';

/** One file after a rendering. */
export interface RenderedFile {
  readonly file: FileConfig;
  /** Undefined while a value is missing or the rendering fails. */
  readonly content: FileContent | undefined;
  /** Of the content, if the renderer has computed it: see {@link TemplateOutput}. */
  readonly digest: string | undefined;
  /** {@link dependencyKey} of the dependencies that the rendering has reached, with or without a value. */
  readonly used: ReadonlyMap<string, Dependency>;
  /** Those of `used` that have no value yet. */
  readonly missing: readonly Dependency[];
  /** Why the rendering failed. */
  readonly error: VouchsafeError | undefined;
}

/** The values that the templates of a login may use. */
export type ValuesOfLogin = (login: string | undefined) => KnownValues;

/** The files of a config, with their templates parsed. */
export interface FileSet {
  /** Paths of mounted templates, to be watched. */
  readonly templateFiles: readonly string[];
  /** Reads and parses the mounted templates again, all of one moment. On failure all parsed ones stay. */
  reload(): Promise<void>;
  /**
   * Renders each file from the values of its login, in the order of the config, and those of federated trust domains.
   * Rejects with the signal's reason on abort.
   */
  render(valuesOf: ValuesOfLogin, signal: AbortSignal): Promise<readonly RenderedFile[]>;
}

/** How a file is made: from a template, or from a single value. Nothing is rendered before `of` has a value. */
type Recipe<T> =
  | { readonly job: () => TemplateJob<T>; readonly of?: Dependency }
  | { readonly single: Single; readonly printFederated?: X509Printer['printFederated'] };

interface Single {
  readonly dependency: Dependency;
  readonly print: (value: unknown) => string | Uint8Array;
}

/**
 * Makes the file set. Mounted templates are parsed by the first {@link FileSet.reload}.
 *
 * @throws VouchsafeError `ERR_TEMPLATE_SYNTAX`, `ERR_TEMPLATE_HELPER` for an inline template.
 */
export function createFileSet<T>(
  config: Pick<AgentConfig, 'files'>,
  templates: TemplatePort<T>,
  reader: Pick<FilesPort, 'read'>,
): FileSet {
  const mounted = new Map<string, T>();
  const byLogin = Map.groupBy(
    config.files.map((file, index) => ({
      file,
      index,
      recipe: recipeOf(file, templates, mounted),
    })),
    ({ file }) => file.login,
  );
  const templateFiles = [
    ...new Set(
      config.files.flatMap(({ source }) => (source.kind === 'template-file' ? [source.path] : [])),
    ),
  ];
  return {
    templateFiles,

    async reload() {
      const texts = await readTemplates(templateFiles, reader);
      const parsed = [...texts].map(
        ([path, text]) => [path, templates.parseTemplate(text, path)] as const,
      );
      for (const [path, template] of parsed) mounted.set(path, template);
    },

    async render(valuesOf, signal) {
      const rendered: (readonly RenderedFile[])[] = [];
      for (const [login, group] of byLogin) {
        const values = valuesOf(login);
        const outputs = await outputsOf(group, { values, templates }, signal);
        for (const { output, ...item } of outputs) {
          const file = renderedFile(item.file, output);
          rendered[item.index] = withAdded(file, item.recipe, { files: config.files, values });
        }
      }
      return rendered.flat();
    },
  };
}

const X509_SVID = { kind: 'x509-svid' } as const satisfies Dependency;

type Output = TemplateOutput | VouchsafeError;

/** A file and its place in the config. */
interface Item<T> {
  readonly file: FileConfig;
  readonly index: number;
  readonly recipe: Recipe<T>;
}

/** Renders the files of one login together. */
async function outputsOf<T>(
  items: readonly Item<T>[],
  { values, templates }: { readonly values: KnownValues; readonly templates: TemplatePort<T> },
  signal: AbortSignal,
): Promise<readonly (Item<T> & { readonly output: Output })[]> {
  const prepared = items.map((item) => ({ ...item, ready: prepare(item.recipe, values) }));
  const jobs = prepared.flatMap(({ ready }) => ('job' in ready ? [ready.job] : []));
  const outputs = jobs.length === 0 ? [] : await templates.renderTemplates(jobs, values, signal);
  const rest = outputs.values();
  return prepared.map(({ ready, ...item }) => {
    const output = 'job' in ready ? (rest.next().value ?? nothing(item.file)) : ready.output;
    return { ...item, output };
  });
}

function prepare<T>(
  recipe: Recipe<T>,
  values: KnownValues,
): { readonly job: TemplateJob<T> } | { readonly output: Output } {
  try {
    if ('single' in recipe) return { output: printed(recipe.single, values) };
    const { of } = recipe;
    if (of !== undefined && !values.has(dependencyKey(of))) return { output: waitingFor(of) };
    return { job: recipe.job() };
  } catch (error) {
    return { output: toVouchsafeError(error) };
  }
}

function renderedFile(file: FileConfig, output: Output): RenderedFile {
  if (output instanceof VouchsafeError) {
    const none = { content: undefined, digest: undefined, used: new Map(), missing: [] };
    return { file, ...none, error: output };
  }
  const ofLogin = (dependency: Dependency): Dependency => withLogin(dependency, file.login);
  const all = output.used.map(ofLogin);
  const used = new Map(all.map((dependency) => [dependencyKey(dependency), dependency]));
  const missing = output.missing.map(ofLogin);
  if (file.variable === undefined) {
    const { digest } = output;
    return { file, content: contentOf(output), digest, used, missing, error: undefined };
  }
  const common = { file, digest: undefined, used, missing };
  try {
    return { ...common, content: variableOf(file.variable, output), error: undefined };
  } catch (error) {
    return { ...common, content: undefined, error: toVouchsafeError(error) };
  }
}

/** The file of a variable. */
function variableOf(name: string, output: TemplateOutput): FileContent | undefined {
  const { text, binary, isAbsent = false } = output;
  if (isAbsent) return 'no file';
  const value = binary ?? text;
  return value === undefined ? undefined : envFile(name, value);
}

/** The file, and those that are not in the config but follow from its value. */
function withAdded(
  item: RenderedFile,
  recipe: Recipe<unknown>,
  { files, values }: { readonly files: readonly FileConfig[]; readonly values: KnownValues },
): readonly RenderedFile[] {
  if (!('printFederated' in recipe)) return [item];
  const found = values.get(dependencyKey(X509_SVID));
  if (found === undefined) return [item];
  const svid = found.value as X509Files; // what the identity port puts there
  const taken = files.map(({ path }) => path);
  return withFederatedBundles(item, svid, { taken, print: recipe.printFederated });
}

function contentOf({ text, binary, isAbsent = false }: TemplateOutput): FileContent | undefined {
  if (isAbsent) return 'no file';
  return binary ?? (text === undefined ? undefined : Buffer.from(text));
}

/** A port that skips a template must not produce an empty file. */
function nothing({ name }: FileConfig): VouchsafeError {
  return new VouchsafeError('ERR_BUG', `the template ${name} was not rendered`);
}

function recipeOf<T>(
  file: FileConfig,
  templates: TemplatePort<T>,
  mounted: ReadonlyMap<string, T>,
): Recipe<T> {
  const { source } = file;
  switch (source.kind) {
    case 'template': {
      const template = templates.parseTemplate(source.text, file.name);
      return templated(() => template, source.secret);
    }
    case 'template-file':
      return templated(() => loaded(mounted, source.path), source.secret);
    case 'format': {
      const template = templates.formatTemplate(source.format);
      // A format depends only on the secret that it writes.
      return {
        ...templated(() => template, source.secret),
        of: contextOf(source.secret).dependency,
      };
    }
    case 'jwt-svid':
      return single({ kind: 'jwt-svid', audiences: source.audiences }, (value) => String(value));
    case 'x509-svid': {
      const { print, printFederated } = createX509Printer(source);
      const recipe = single(X509_SVID, (value) => print(value as X509Files)); // what the identity port puts there
      return source.part === 'bundle' ? { ...recipe, printFederated } : recipe;
    }
  }
}

function templated<T>(
  template: () => T,
  secret: SecretRef | undefined,
): { readonly job: () => TemplateJob<T> } {
  const context = secret === undefined ? {} : { context: contextOf(secret) };
  return { job: () => ({ template: template(), ...context }) };
}

function single(dependency: Dependency, print: Single['print']): { readonly single: Single } {
  return { single: { dependency, print } };
}

function printed({ dependency, print }: Single, values: KnownValues): TemplateOutput {
  const found = values.get(dependencyKey(dependency));
  if (found === undefined) return waitingFor(dependency);
  const content = print(found.value);
  const output =
    typeof content === 'string'
      ? { text: content, binary: undefined }
      : { text: undefined, binary: content };
  return { ...output, used: [dependency], missing: [] };
}

function waitingFor(dependency: Dependency): TemplateOutput {
  return { text: undefined, binary: undefined, used: [dependency], missing: [dependency] };
}

function contextOf(secret: SecretRef): NonNullable<TemplateJob<unknown>['context']> {
  const { path, key, params, optional = false } = secret;
  const dependency: Dependency =
    params === undefined
      ? withOptional({ kind: 'read', path }, optional)
      : { kind: 'write', path, params };
  return key === undefined ? { dependency } : { dependency, key };
}

function loaded<T>(mounted: ReadonlyMap<string, T>, path: string): T {
  const template = mounted.get(path);
  if (template !== undefined) return template;
  throw new VouchsafeError('ERR_TEMPLATE_UNREADABLE', `the template ${path} is not loaded`);
}
