/**
 * The installation's Helm values, from a file.
 */
import { parseInstallation, type Installation } from '../config/installation/index.ts';
import { readDocument, type Io } from './io.ts';

/**
 * Reads Helm values; without a path, the chart's defaults.
 *
 * @throws VouchsafeError `ERR_CONFIG_UNREADABLE`, `ERR_CONFIG_INVALID`.
 */
export async function readInstallation(io: Io, path: string | undefined): Promise<Installation> {
  if (path === undefined) return parseInstallation({});
  return parseInstallation(await readDocument(io, path));
}
