/**
 * Pictures of a terminal: a command and what it printed.
 */
import { picture, text, widthOf, type Described, type Point } from './svg.ts';

export interface TerminalDescription extends Described {
  readonly kind: 'terminal';
  readonly command: string;
  /** File with what was printed, beside the description. */
  readonly output: string;
}

const LEFT = 24;
const TOP = 44;
const LINE_HEIGHT = 19;

/** Width of a character in most fonts of terminals at 13 px. */
const CHARACTER = 7.8;

/** The SVG of a command and its output. */
export function drawTerminal(description: TerminalDescription, output: string): string {
  const shown = [`$ ${description.command}`, ...output.trimEnd().split('\n')];
  const width = Math.ceil(Math.max(...shown.map((line) => widthOf(line, 'code')))) + 2 * LEFT;
  const height = TOP + shown.length * LINE_HEIGHT + 14;
  const buttons = [0, 1, 2].map(
    (index) => `<circle class="box" cx="${LEFT + 5 + index * 20}" cy="20" r="5.5"/>`,
  );
  const drawn = shown.map((line, index) => {
    const y = TOP + (index + 1) * LINE_HEIGHT;
    return line === '' ? '' : drawLine(line, y);
  });
  return picture(description, [width, height], [...buttons, ...drawn.filter((one) => one !== '')]);
}

/** Headings and the command stand out; who prints a line, and what was left out, steps back. */
function drawLine(line: string, y: number): string {
  const indent = line.length - line.trimStart().length;
  return drawWords(line.trimStart(), [LEFT + indent * CHARACTER, y]);
}

function drawWords(line: string, at: Point): string {
  const options = { anchor: 'start' } as const;
  if (/^(\[\d+\]|\$) /.test(line)) {
    return text(line, at, 'code', { ...options, style: 'strong' });
  }
  if (line === '…') return text(line, at, 'code', { ...options, style: 'muted' });
  const [, speaker = '', rest = line] = /^([\w-]+ \| )(.*)$/.exec(line) ?? [];
  if (speaker === '') return text(line, at, 'code', options);
  return text(rest, at, 'code', { ...options, before: speaker });
}
