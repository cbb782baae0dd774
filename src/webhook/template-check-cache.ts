/**
 * Remembers what was found in templates: the pods of a Deployment bring the same ones.
 */
import type { CheckTemplate } from '../admission/index.ts';

/** Characters of all templates that are remembered; with what was found in them they take a few MiB at most. */
const MAX_CHARS = 512 * 1024;
/** What a result takes besides, in characters. */
const CHARS_PER_RESULT = 512;

/** The same check, which must give the same result for the same arguments; the oldest results are forgotten first. */
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
