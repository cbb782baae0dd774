/**
 * Suggestions for unknown helpers.
 */
import { nearest } from '../core/index.ts';

/** Functions of other template languages, mainly consul-template, and their equivalent here. */
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

/** The equivalent of `name` here, or else the most similar known name, if one is similar enough. */
export function suggest(name: string, known: Iterable<string>): string | undefined {
  return Object.hasOwn(FOREIGN_NAMES, name) ? FOREIGN_NAMES[name] : nearest(name, known);
}
