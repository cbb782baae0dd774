/**
 * The installation's values, from the file that Helm would be given.
 */
import { parseInstallation, type Installation } from '../config/index.ts';
import { readDocument, type Io } from './io.ts';

/**
 * Reads Helm values; the chart's defaults where there is no file.
 *
 * @throws VouchsafeError `ERR_CONFIG_UNREADABLE`, `ERR_CONFIG_INVALID`.
 */
export async function readInstallation(io: Io, path: string | undefined): Promise<Installation> {
  if (path === undefined) return parseInstallation({});
  return parseInstallation(await readDocument(io, path));
}
