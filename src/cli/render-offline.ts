/**
 * `vouchsafe render -f template.hbs --data data.json`.
 */
import { EXIT } from '../core/index.ts';
import { parseTemplate, renderTemplate } from '../template/index.ts';
import { readInput, readValues, type Io } from './io.ts';
import { offlineLookup } from './offline-data.ts';

/** Renders a template with values from a file to standard output. */
export async function renderOffline(
  io: Io,
  options: { readonly file: string; readonly data: string | undefined },
): Promise<number> {
  const template = parseTemplate(await readInput(io, options.file), options.file);
  const data = options.data === undefined ? {} : await readValues(io, options.data);
  const { text, binary } = renderTemplate(template, { lookup: offlineLookup(data), root: data });
  // Programs read the exact bytes; for a terminal, escape sequences are escaped.
  io.out(binary ?? (io.isTerminal ? (text ?? '') : Buffer.from(text ?? '')));
  return EXIT.ok;
}
