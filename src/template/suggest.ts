/**
 * What somebody may have meant by an unknown helper.
 */
import { nearest } from '../core/index.ts';

/** Names of other template languages, chiefly consul-template's, and what does their job here. */
const FOREIGN_NAMES: Readonly<Record<string, string>> = {
  range: '{{#each …}}',
  end: '{{/name}} of the block',
  index: 'lookup',
  len: 'length',
  printf: 'concat',
  print: 'concat',
  pkiCert: 'pki',
  toJSON: 'json',
  toUnescapedJSON: 'json',
  toJSONPretty: 'json … indent=2',
  toUnescapedJSONPretty: 'json … indent=2',
  toYAML: 'yaml',
  toTOML: 'toml',
  replaceAll: 'replace',
  trimSpace: 'trim',
  sha256Hex: 'sha256',
  urlquery: 'url',
  quote: 'json',
  squote: 'shell',
  mergeMap: 'merge',
  in: 'contains',
  parseInt: 'parseNumber',
  parseFloat: 'parseNumber',
};

/** What does the job of `name` here, or the known name that is nearest to it, if any is near. */
export function suggest(name: string, known: Iterable<string>): string | undefined {
  return Object.hasOwn(FOREIGN_NAMES, name) ? FOREIGN_NAMES[name] : nearest(name, known);
}
