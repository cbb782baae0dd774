/**
 * Text of a document -> value.
 */
import { parseExactJson } from '../../core/index.ts';

/**
 * JSON or YAML text -> value.
 *
 * @throws VouchsafeError `ERR_CONFIG_UNREADABLE` with line and column.
 */
export async function parseDocumentText(source: string): Promise<unknown> {
  try {
    return JSON.parse(source);
  } catch {
    const { parseYaml } = await import('./yaml.ts');
    return parseYaml(source);
  }
}

/**
 * As {@link parseDocumentText}, for values that reach files: numbers keep their digits. In YAML, notations that JSON does not
 * have are converted: `0x1F` to 31, `+1.50` to 1.50, `.5` to 0.5, `010` to 10.
 *
 * @throws VouchsafeError `ERR_CONFIG_UNREADABLE` with line and column.
 */
export async function parseExactDocumentText(source: string): Promise<unknown> {
  try {
    return parseExactJson(source);
  } catch {
    const [{ parseYaml }, { EXACT_NUMBERS }] = await Promise.all([
      import('./yaml.ts'),
      import('./yaml-numbers.ts'),
    ]);
    return parseYaml(source, EXACT_NUMBERS);
  }
}
