/**
 * What somebody may have meant by an unknown helper. Ring: template.
 */

/** Names of other template languages, chiefly consul-template's, and what does their job here. */
const ELSEWHERE: Readonly<Record<string, string>> = {
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

/** The known name that is nearest to `name`, if any is near. */
export function suggest(name: string, known: Iterable<string>): string | undefined {
  if (Object.hasOwn(ELSEWHERE, name)) return ELSEWHERE[name];
  if (name.length > 40) return undefined;
  const wanted = name.toLowerCase();
  let best: string | undefined;
  let least = Math.max(1, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(wanted, candidate.toLowerCase());
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

/** Levenshtein's distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: Array.from(b).length + 1 }, (_, index) => index);
  for (const [i, unit] of Array.from(a).entries()) {
    const next = [i + 1];
    for (const [j, other] of Array.from(b).entries()) {
      const change = (row[j] ?? 0) + (unit === other ? 0 : 1);
      next.push(Math.min(change, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
