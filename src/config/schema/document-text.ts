/**
 * Text of a document -> value.
 */

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
