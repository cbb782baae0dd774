/**
 * `vouchsafe render -f template.hbs --data data.json`.
 */
import { EXIT } from '../core/index.ts';
import { parseTemplate, renderTemplate } from '../template/index.ts';
import { readDocument, readInput, type Io } from './io.ts';
import { offlineLookup } from './offline-data.ts';

/** Renders a template with values from a file; the text goes to standard output as it is. */
export async function renderOffline(
  io: Io,
  options: { readonly file: string; readonly data: string | undefined },
): Promise<number> {
  const template = parseTemplate(await readInput(io, options.file), options.file);
  const data = options.data === undefined ? {} : await readDocument(io, options.data);
  const { text, binary } = renderTemplate(template, { lookup: offlineLookup(data), root: data });
  // What a program reads has to be as it was rendered; a terminal is not to be steered.
  io.out(binary ?? (io.isTerminal ? (text ?? '') : Buffer.from(text ?? '')));
  return EXIT.ok;
}
