/**
 * Renders all files from the values at hand: the whole set, or what is still missing. Ring: agent.
 */
import { dependencyKey, VouchsafeError, type Dependency } from '../core/index.ts';
import type { AgentConfig, FileConfig, SecretRef } from '../config/index.ts';
import type { FilesPort, OutputFile, TemplateInput, TemplatePort, X509Files } from './ports.ts';

/** Longest mounted template. */
const MAX_TEMPLATE_BYTES = 1024 * 1024;

/** Looks a value up; undefined while it is not there. */
export type Lookup = TemplateInput['lookup'];

/** What rendering the set gave. */
export interface RenderedSet {
  /** Undefined while anything is missing. */
  readonly files: readonly OutputFile[] | undefined;
  /** What the set uses, present or not, with the shortest refresh of the files that use it. */
  readonly used: ReadonlyMap<
    string,
    { readonly dependency: Dependency; readonly refreshMs: number }
  >;
  /** Those of it that have no value yet. */
  readonly missing: readonly Dependency[];
}

/** The files of a config, with their templates parsed. */
export interface FileSet {
  /** Paths of mounted templates, to be watched. */
  readonly templateFiles: readonly string[];
  /** Reads and parses the mounted templates again. On failure the parsed ones stay. */
  reload(): Promise<void>;
  /** Throws `ERR_TEMPLATE_*` of the first file that cannot be rendered. */
  render(lookup: Lookup): RenderedSet;
}

interface Renderable {
  readonly file: FileConfig;
  readonly render: (lookup: Lookup) => {
    readonly content: string | undefined;
    readonly missing: readonly Dependency[];
    readonly used: readonly Dependency[];
  };
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
  const items = config.files.map((file) => renderable(file, templates, mounted));
  const templateFiles = [
    ...new Set(
      config.files.flatMap(({ source }) => (source.kind === 'template-file' ? [source.path] : [])),
    ),
  ];
  return {
    templateFiles,

    async reload() {
      for (const path of templateFiles) {
        const text = await readTemplate(path, reader);
        mounted.set(path, templates.parseTemplate(text, path));
      }
    },

    render(lookup) {
      const files: OutputFile[] = [];
      const used = new Map<string, { dependency: Dependency; refreshMs: number }>();
      const missing = new Map<string, Dependency>();
      for (const { file, render } of items) {
        const result = render(lookup);
        for (const dependency of result.used) {
          const key = dependencyKey(dependency);
          const refreshMs = Math.min(file.refreshMs, used.get(key)?.refreshMs ?? Infinity);
          used.set(key, { dependency, refreshMs });
        }
        for (const dependency of result.missing) {
          missing.set(dependencyKey(dependency), dependency);
        }
        if (result.content !== undefined) {
          files.push({ path: file.path, mode: file.mode, content: Buffer.from(result.content) });
        }
      }
      return {
        files: missing.size === 0 ? files : undefined,
        used,
        missing: [...missing.values()],
      };
    },
  };
}

function renderable<T>(
  file: FileConfig,
  templates: TemplatePort<T>,
  mounted: ReadonlyMap<string, T>,
): Renderable {
  const { source } = file;
  switch (source.kind) {
    case 'template': {
      const template = templates.parseTemplate(source.text, file.name);
      return templated(file, () => template, source.secret, templates);
    }
    case 'template-file':
      return templated(file, () => loaded(mounted, source.path), source.secret, templates);
    case 'format': {
      const template = templates.formatTemplate(source.format);
      return templated(file, () => template, source.secret, templates);
    }
    case 'jwt-svid': {
      const dependency: Dependency = { kind: 'jwt-svid', audiences: source.audiences };
      return single(file, dependency, (value) => String(value));
    }
    case 'x509-svid': {
      return single(file, { kind: 'x509-svid' }, (value) => {
        const svid = value as X509Files; // what the identity port puts there
        return source.part === 'key' ? svid.key.reveal() : svid[source.part];
      });
    }
  }
}

function templated<T>(
  file: FileConfig,
  template: () => T,
  secret: SecretRef | undefined,
  templates: TemplatePort<T>,
): Renderable {
  const context = secret === undefined ? undefined : contextOf(secret);
  return {
    file,
    render(lookup) {
      const input = context === undefined ? { lookup } : { lookup, context };
      const { text, missing, used } = templates.renderTemplate(template(), input);
      return { content: text, missing, used };
    },
  };
}

function single(
  file: FileConfig,
  dependency: Dependency,
  print: (value: unknown) => string,
): Renderable {
  return {
    file,
    render(lookup) {
      const found = lookup(dependency);
      const content = found === undefined ? undefined : print(found.value);
      const missing = found === undefined ? [dependency] : [];
      return { content, missing, used: [dependency] };
    },
  };
}

function contextOf(secret: SecretRef): NonNullable<TemplateInput['context']> {
  const { path, key, params } = secret;
  const dependency: Dependency =
    params === undefined ? { kind: 'read', path } : { kind: 'write', path, params };
  return key === undefined ? { dependency } : { dependency, key };
}

function loaded<T>(mounted: ReadonlyMap<string, T>, path: string): T {
  const template = mounted.get(path);
  if (template !== undefined) return template;
  throw new VouchsafeError('ERR_TEMPLATE_UNREADABLE', `the template ${path} is not loaded`);
}

async function readTemplate(path: string, reader: Pick<FilesPort, 'read'>): Promise<string> {
  try {
    return await reader.read(path, MAX_TEMPLATE_BYTES);
  } catch (error) {
    throw new VouchsafeError(
      'ERR_TEMPLATE_UNREADABLE',
      `cannot read the template ${path}; is the ConfigMap mounted and does it hold that key?`,
      { cause: error },
    );
  }
}
