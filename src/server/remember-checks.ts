/**
 * Remembers what was found in templates: the pods of a Deployment bring the same ones. Ring: server.
 */
import type { CheckTemplate } from '../admission/index.ts';

/** Results kept. With {@link MAX_SOURCE_CHARS} they take a few MiB at most. */
const MAX_RESULTS = 256;
/** Longer templates are checked each time. */
const MAX_SOURCE_CHARS = 8192;

/** The same check, which must give the same result for the same arguments; the oldest result is forgotten first. */
export function rememberChecks(check: CheckTemplate): CheckTemplate {
  const results = new Map<string, ReturnType<CheckTemplate>>();
  return (source, name) => {
    if (source.length > MAX_SOURCE_CHARS) return check(source, name);
    const key = JSON.stringify([name, source]);
    const known = results.get(key);
    if (known !== undefined) return known;
    const found = check(source, name);
    const [oldest] = results.keys();
    if (results.size >= MAX_RESULTS && oldest !== undefined) results.delete(oldest);
    results.set(key, found);
    return found;
  };
}
