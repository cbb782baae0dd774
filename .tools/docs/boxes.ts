/**
 * Pictures of boxes and arrows, from a description in YAML. Places and sizes are written down, in pixels; what does not
 * fit is an error.
 */
import { arrow, assertFits, box, lines, picture, text, type Described, type Point } from './svg.ts';

/** A frame around other boxes. */
interface Group {
  readonly label: string;
  readonly at: Point;
  readonly size: Point;
}

interface Box extends Group {
  /** What arrows call it. */
  readonly name: string;
  readonly note?: string;
  /** Default `box`. */
  readonly style?: 'box' | 'accent' | 'store';
}

/** Name of a box, its side, and the distance from the middle of that side: `agent right -20`. */
type End = string;

interface Arrow {
  readonly from: End;
  readonly to: End;
  readonly label: string;
  readonly dashed?: boolean;
  /** Where the label is, from the middle of the longest stretch. */
  readonly shift?: Point;
}

export interface BoxesDescription extends Described {
  readonly kind: 'boxes';
  readonly size: Point;
  readonly groups: readonly Group[];
  readonly boxes: readonly Box[];
  readonly arrows: readonly Arrow[];
}

const MARGIN = 8;

/** The SVG of a description. */
export function drawBoxes(description: BoxesDescription): string {
  const byName = new Map(description.boxes.map((one) => [one.name, one]));
  return picture(description, description.size, [
    ...description.groups.map(drawGroup),
    ...description.arrows.map((one) => drawArrow(one, byName)),
    ...description.boxes.map(drawBox),
  ]);
}

function drawGroup({ label, at, size }: Group): string {
  const [x, y] = at;
  return `${box(at, size, 'group')}\n${text(label, [x + 12, y + 20], 'note', { anchor: 'start' })}`;
}

function drawBox({ label, note, at, size, style = 'box' }: Box): string {
  const [x, y] = at;
  const [width, height] = size;
  assertFits(label, 'label', width - MARGIN);
  const middle: Point = [x + width / 2, y + height / 2 + 5];
  if (note === undefined) return `${box(at, size, style)}\n${text(label, middle, 'label')}`;
  assertFits(note, 'note', width - MARGIN);
  const up = note.split('\n').length * 8;
  const head = text(label, [middle[0], middle[1] - up], 'label');
  return [box(at, size, style), head, lines(note, [middle[0], middle[1] - up + 18], 'note')].join(
    '\n',
  );
}

function drawArrow(one: Arrow, boxes: ReadonlyMap<string, Box>): string {
  const [from, to] = [pointOf(one.from, boxes), pointOf(one.to, boxes)];
  const points = route(from, to);
  return `${arrow(points, one.dashed)}\n${drawLabel(one, points)}`;
}

interface Place {
  readonly point: Point;
  readonly isSideways: boolean;
}

function pointOf(end: End, boxes: ReadonlyMap<string, Box>): Place {
  const [name = '', side, shift = '0'] = end.split(' ');
  const found = boxes.get(name);
  if (found === undefined) throw new Error(`no box has the name "${name}"`);
  const [x, y] = found.at;
  const [width, height] = found.size;
  const along = Number(shift);
  switch (side) {
    case 'left':
      return { point: [x, y + height / 2 + along], isSideways: true };
    case 'right':
      return { point: [x + width, y + height / 2 + along], isSideways: true };
    case 'top':
      return { point: [x + width / 2 + along, y], isSideways: false };
    case 'bottom':
      return { point: [x + width / 2 + along, y + height], isSideways: false };
    default:
      throw new Error(`"${end}" names no side: left, right, top or bottom`);
  }
}

/** Straight, or with one corner. */
function route({ point: from, isSideways }: Place, { point: to }: Place): readonly Point[] {
  if (from[0] === to[0] || from[1] === to[1]) return [from, to];
  return [from, isSideways ? [to[0], from[1]] : [from[0], to[1]], to];
}

/** Above the longest stretch if it is level, to the right of it otherwise. */
function drawLabel({ label, shift = [0, 0] }: Arrow, points: readonly Point[]): string {
  const stretches = points.slice(1).map((end, index) => ({ start: points[index] ?? end, end }));
  const [longest] = stretches.toSorted((a, b) => lengthOf(b) - lengthOf(a));
  if (longest === undefined) throw new Error(`the arrow "${label}" has no length`);
  const { start, end } = longest;
  const [x, y] = [(start[0] + end[0]) / 2 + shift[0], (start[1] + end[1]) / 2 + shift[1]];
  const isLevel = start[1] === end[1];
  if (isLevel) {
    assertFits(label, 'note', lengthOf(longest));
    return lines(label, [x, y - 8 - 16 * (label.split('\n').length - 1)], 'note');
  }
  return lines(label, [x + 8, y + 4], 'note', { anchor: 'start' });
}

function lengthOf({ start, end }: { readonly start: Point; readonly end: Point }): number {
  return Math.abs(start[0] - end[0]) + Math.abs(start[1] - end[1]);
}
