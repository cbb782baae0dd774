/**
 * Caches the results of template checks: pods of one Deployment have the same templates.
 */
import type { CheckTemplate } from '../contracts/index.ts';

/** Characters of all cached templates. With their results they take a few MiB at most. */
const MAX_CHARS = 512 * 1024;
/** Estimated size of a result, in characters. */
const CHARS_PER_RESULT = 512;

/** Wraps a check, which must be a pure function of its arguments. The oldest results are evicted first. */
export function cacheTemplateChecks(check: CheckTemplate): CheckTemplate {
  const results = new Map<string, ReturnType<CheckTemplate>>();
  let chars = 0;
  return (source, name) => {
    const key = JSON.stringify([name, source]);
    const known = results.get(key);
    if (known !== undefined) return known;
    const found = check(source, name);
    results.set(key, found);
    chars += key.length + CHARS_PER_RESULT;
    for (const oldest of results.keys()) {
      if (chars <= MAX_CHARS) break;
      results.delete(oldest);
      chars -= oldest.length + CHARS_PER_RESULT;
    }
    return found;
  };
}
