/**
 * Reads the templates that are mounted as files, all of one moment.
 */
import { isDeepStrictEqual } from 'node:util';
import { VouchsafeError } from '../core/index.ts';
import type { FilesPort } from './ports.ts';

/** The largest mounted template. */
const MAX_TEMPLATE_BYTES = 1024 * 1024;

/** Templates that change during so many readings are used as they were last read; the next change reads them again. */
const MAX_READINGS = 5;

/**
 * Each path with its text. The kubelet swaps all files of a volume at once, perhaps after some of them have been read: they are read
 * until two readings agree, so that no set of files is rendered from old and new templates.
 *
 * @throws VouchsafeError `ERR_TEMPLATE_UNREADABLE`
 */
export async function readTemplates(
  paths: readonly string[],
  reader: Pick<FilesPort, 'read'>,
): Promise<ReadonlyMap<string, string>> {
  let texts = await readEach(paths, reader);
  if (paths.length < 2) return texts;
  for (let readings = 1; readings < MAX_READINGS; readings += 1) {
    const before = texts;
    texts = await readEach(paths, reader);
    if (isDeepStrictEqual(texts, before)) break;
  }
  return texts;
}

async function readEach(
  paths: readonly string[],
  reader: Pick<FilesPort, 'read'>,
): Promise<ReadonlyMap<string, string>> {
  const texts = new Map<string, string>();
  for (const path of paths) texts.set(path, await readTemplate(path, reader));
  return texts;
}

async function readTemplate(path: string, reader: Pick<FilesPort, 'read'>): Promise<string> {
  try {
    return await reader.read(path, MAX_TEMPLATE_BYTES);
  } catch (error) {
    throw new VouchsafeError(
      'ERR_TEMPLATE_UNREADABLE',
      `cannot read the template ${path}; is the ConfigMap mounted and does it hold that key?`,
      { cause: error },
    );
  }
}
