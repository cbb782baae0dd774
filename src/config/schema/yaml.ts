/**
 * YAML text -> value, by the `yaml` package. Imported lazily: the agent reads JSON.
 */
import {
  LineCounter,
  parseDocument,
  type Document,
  type DocumentOptions,
  type ParseOptions,
  type SchemaOptions,
} from 'yaml';
import { VouchsafeError } from '../../core/index.ts';

/** How a document differs from the core schema with JS numbers. */
export interface YamlDialect {
  readonly options: ParseOptions & DocumentOptions & SchemaOptions;
  /** Changes the parsed document before it is converted to values. */
  readonly prepare: (document: Document.Parsed) => void;
}

/**
 * Reads one YAML document (core schema; aliases are bounded by the parser).
 *
 * @throws VouchsafeError `ERR_CONFIG_UNREADABLE` with line and column.
 */
export function parseYaml(source: string, dialect?: YamlDialect): unknown {
  const lineCounter = new LineCounter();
  const document = parseDocument(source, {
    lineCounter,
    uniqueKeys: true,
    // Excerpts in errors cost time in proportion to the length of the line.
    prettyErrors: false,
    // Warnings would go to stderr and quote the source.
    logLevel: 'error',
    ...dialect?.options,
  });
  const [error] = document.errors;
  if (error !== undefined) {
    const { line, col } = lineCounter.linePos(error.pos[0]);
    throw unreadable(`${error.code} at line ${line}, column ${col}`, error);
  }
  dialect?.prepare(document);
  try {
    const value: unknown = document.toJS({ maxAliasCount: 100 });
    return value;
  } catch (error) {
    throw unreadable('too many or unknown aliases', error);
  }
}

/** The parser's message quotes the source, which may hold a secret by mistake; code and position are enough. */
function unreadable(what: string, cause: unknown): VouchsafeError {
  return new VouchsafeError('ERR_CONFIG_UNREADABLE', `not valid JSON or YAML: ${what}`, { cause });
}
