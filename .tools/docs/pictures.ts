/**
 * The pictures of the documents: an SVG beside each description in docs/pictures. They are drawn here rather than by a
 * library: Mermaid and PlantUML need a browser or a Java runtime to make a file, and the layout of Graphviz knows neither
 * fixed places nor the colours of a dark page.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseDocumentText } from '../../src/config/schema/index.ts';
import { drawBoxes, type BoxesDescription } from './boxes.ts';
import { drawTerminal, type TerminalDescription } from './terminal.ts';
import { drawTimeline, type TimelineDescription } from './timeline.ts';

type Description = BoxesDescription | TerminalDescription | TimelineDescription;

const FOLDER = 'docs/pictures';

/** Path below the project -> SVG. */
export async function pictures(root: string): Promise<ReadonlyMap<string, string>> {
  const names = readdirSync(join(root, FOLDER)).filter((name) => name.endsWith('.yaml'));
  const drawn = names.map(async (name) => {
    const text = readFileSync(join(root, FOLDER, name), 'utf8');
    const description = (await parseDocumentText(text)) as Description; // written by us; checked by drawing it
    return [`${FOLDER}/${name.replace('.yaml', '.svg')}`, draw(root, description)] as const;
  });
  return new Map(await Promise.all(drawn));
}

function draw(root: string, description: Description): string {
  switch (description.kind) {
    case 'boxes':
      return drawBoxes(description);
    case 'timeline':
      return drawTimeline(description);
    case 'terminal':
      return drawTerminal(
        description,
        readFileSync(join(root, FOLDER, description.output), 'utf8'),
      );
  }
}
