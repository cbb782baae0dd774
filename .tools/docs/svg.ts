/**
 * The little SVG that the pictures of the documents are made of. One file serves light and dark pages: it has a
 * background of its own, and its colours follow the reader's setting.
 */

/** Text size -> its classes in {@link STYLE}. */
const FONT_SIZE = { label: 14, note: 12, code: 13 } as const;

/** Kind of text: a name, a remark beside it, or a line of a terminal. */
export type TextKind = keyof typeof FONT_SIZE;

/** Mean width of a character, in parts of the font size; a little more than the usual fonts have. */
const CHARACTER_WIDTH = { label: 0.58, note: 0.56, code: 0.61 } as const;

/** A point in pixels, from the upper left corner. */
export type Point = readonly [x: number, y: number];

/** What every picture has, for readers who do not see it. */
export interface Described {
  /** A short name. */
  readonly title: string;
  /** What the picture shows, in sentences. */
  readonly description: string;
}

const STYLE = `
text { font-family: -apple-system, BlinkMacSystemFont, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif; fill: #1f2328; }
.label { font-size: ${FONT_SIZE.label}px; font-weight: 600; }
.note { font-size: ${FONT_SIZE.note}px; fill: #59636e; }
.code { font-size: ${FONT_SIZE.code}px; font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, 'Liberation Mono', 'DejaVu Sans Mono', monospace; }
.plain { fill: #1f2328; }
.muted { fill: #59636e; }
.strong { font-weight: 600; }
.paper { fill: #ffffff; stroke: #d1d9e0; }
.group { fill: none; stroke: #818b98; stroke-dasharray: 5 4; }
.box { fill: #f6f8fa; stroke: #818b98; }
.accent { fill: #ddf4ff; stroke: #0969da; }
.store { fill: #dafbe1; stroke: #1a7f37; }
.line { fill: none; stroke: #59636e; stroke-width: 1.5; }
.dashed { stroke-dasharray: 5 4; }
.head { fill: #59636e; }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc; }
.note, .muted { fill: #9198a1; }
.plain { fill: #f0f6fc; }
.paper { fill: #0d1117; stroke: #3d444d; }
.group { stroke: #656c76; }
.box { fill: #212830; stroke: #656c76; }
.accent { fill: #121d2f; stroke: #4493f8; }
.store { fill: #12261e; stroke: #3fb950; }
.line { stroke: #9198a1; }
.head { fill: #9198a1; }
}
`.trim();

/** A whole picture. Parts are drawn in their order. */
export function picture(described: Described, size: Point, parts: readonly string[]): string {
  const [width, height] = size;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title description">`,
    `<title id="title">${escape(described.title)}</title>`,
    `<desc id="description">${escape(described.description.trim())}</desc>`,
    `<style>\n${STYLE}\n</style>`,
    box([0.5, 0.5], [width - 1, height - 1], 'paper'),
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}

/** A rectangle with round corners. */
export function box([x, y]: Point, [width, height]: Point, style: string): string {
  return `<rect class="${style}" x="${x}" y="${y}" width="${width}" height="${height}" rx="6"/>`;
}

/** How a text is placed. */
export interface TextOptions {
  /** Which point of the text is at its place. Default `middle`. */
  readonly anchor?: 'start' | 'middle' | 'end';
  /** More classes. */
  readonly style?: string;
  /** Muted text in front. */
  readonly before?: string;
}

/** A line of text on its baseline. */
export function text(
  words: string,
  [x, y]: Point,
  kind: TextKind,
  options: TextOptions = {},
): string {
  const { anchor = 'middle', style = '', before = '' } = options;
  const classes = `${kind} ${style}`.trim();
  const front = before === '' ? '' : `<tspan class="muted">${escape(before)}</tspan>`;
  return `<text class="${classes}" x="${x}" y="${y}" text-anchor="${anchor}">${front}${escape(words)}</text>`;
}

/** Lines of text, the first at this baseline. */
export function lines(words: string, [x, y]: Point, kind: TextKind, options?: TextOptions): string {
  const step = FONT_SIZE[kind] + 4;
  return words
    .split('\n')
    .map((line, index) => text(line, [x, y + index * step], kind, options))
    .join('\n');
}

/** Width of a text in pixels, estimated. */
export function widthOf(words: string, kind: TextKind): number {
  const longest = Math.max(...words.split('\n').map((line) => line.length));
  return longest * FONT_SIZE[kind] * CHARACTER_WIDTH[kind];
}

/**
 * Checks that a text has room.
 *
 * @throws Error that names the text.
 */
export function assertFits(words: string, kind: TextKind, room: number): void {
  const width = Math.ceil(widthOf(words, kind));
  if (width > room) throw new Error(`"${words}" needs ${width} px and has ${Math.floor(room)}`);
}

/** A line through points that ends in an arrow head. */
export function arrow(points: readonly Point[], isDashed = false): string {
  const [before, end] = points.slice(-2);
  if (before === undefined || end === undefined) throw new Error('an arrow has two ends');
  const path = points.map(([x, y], index) => `${index === 0 ? 'M' : 'L'}${x} ${y}`).join(' ');
  const style = isDashed ? 'line dashed' : 'line';
  return `<path class="${style}" d="${path}"/>\n${head(before, end)}`;
}

/** The head of an arrow that comes from a point straight to its end. */
function head([fromX, fromY]: Point, [x, y]: Point): string {
  const [dx, dy] = [Math.sign(x - fromX), Math.sign(y - fromY)];
  const [backX, backY] = [x - dx * 9, y - dy * 9];
  const corners = [
    [x, y],
    [backX - dy * 4, backY - dx * 4],
    [backX + dy * 4, backY + dx * 4],
  ];
  return `<polygon class="head" points="${corners.map((corner) => corner.join(',')).join(' ')}"/>`;
}

function escape(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
