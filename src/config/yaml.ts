/**
 * YAML text -> value, by the `yaml` package. Ring: config. Imported lazily: the agent reads JSON.
 */
import { parseDocument } from 'yaml';
import { VouchsafeError } from '../core/index.ts';

/**
 * Reads one YAML document (core schema; aliases are bounded by the parser).
 *
 * @throws VouchsafeError `ERR_CONFIG_UNREADABLE` with line and column.
 */
export function parseYaml(source: string): unknown {
  const document = parseDocument(source, { prettyErrors: true, uniqueKeys: true });
  const [error] = document.errors;
  if (error !== undefined) {
    const { line, col } = error.linePos?.[0] ?? { line: 1, col: 1 };
    throw unreadable(`${error.code} at line ${line}, column ${col}`, error);
  }
  try {
    const value: unknown = document.toJS({ maxAliasCount: 100 });
    return value;
  } catch (error) {
    throw unreadable('too many or unknown aliases', error);
  }
}

/** The parser's text quotes the source, which may hold a secret by mistake: code and place are enough. */
function unreadable(what: string, cause: unknown): VouchsafeError {
  return new VouchsafeError('ERR_CONFIG_UNREADABLE', `not valid JSON or YAML: ${what}`, { cause });
}
