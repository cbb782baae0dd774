/**
 * Pictures of what runs when, from a description in YAML: a lane for each case, a bar for each process.
 */
import { assertFits, box, picture, text, type Described, type Point } from './svg.ts';

interface Mark {
  /** Percent of the whole time. */
  readonly at: number;
  readonly label: string;
}

interface Bar {
  /** Percent of the whole time. */
  readonly from: number;
  readonly to: number;
  readonly label: string;
  /** Default `box`; `outside` is a process that is not in the pod. */
  readonly style?: 'box' | 'accent' | 'outside';
}

interface Lane {
  readonly label: string;
  readonly note: string;
  readonly bars: readonly Bar[];
}

export interface TimelineDescription extends Described {
  readonly kind: 'timeline';
  readonly width: number;
  readonly marks: readonly Mark[];
  readonly lanes: readonly Lane[];
}

const LEFT = 130;
const RIGHT = 50;
const TOP = 40;
const BAR_HEIGHT = 26;
const BAR_STEP = 32;
const LANE_GAP = 20;

/** Bars that overlap are one below the other. */
interface Placed extends Bar {
  readonly row: number;
}

/** The SVG of a description. */
export function drawTimeline(description: TimelineDescription): string {
  const { width, lanes, marks } = description;
  const toX = (percent: number): number => LEFT + ((width - LEFT - RIGHT) * percent) / 100;
  let y = TOP + LANE_GAP / 2;
  const drawn = lanes.map((lane) => {
    const bars = placed(lane.bars);
    const height = (Math.max(...bars.map(({ row }) => row)) + 1) * BAR_STEP;
    const parts = drawLane(lane, bars, { y, height, toX });
    y += height + LANE_GAP;
    return parts;
  });
  const lines = marks.map(({ at, label }) => drawMark(label, toX(at), y - LANE_GAP / 2));
  return picture(description, [width, y], [...lines, ...drawn]);
}

function placed(bars: readonly Bar[]): readonly Placed[] {
  const ends: number[] = [];
  return bars.map((bar) => {
    const free = ends.findIndex((end) => end <= bar.from);
    const row = free < 0 ? ends.length : free;
    ends[row] = bar.to;
    return { ...bar, row };
  });
}

interface LaneSpace {
  readonly y: number;
  readonly height: number;
  readonly toX: (percent: number) => number;
}

function drawLane({ label, note }: Lane, bars: readonly Placed[], space: LaneSpace): string {
  const middle = space.y + space.height / 2 - (BAR_STEP - BAR_HEIGHT) / 2;
  return [
    text(label, [20, middle - 2], 'label', { anchor: 'start' }),
    text(note, [20, middle + 15], 'note', { anchor: 'start' }),
    ...bars.map((bar) => drawBar(bar, space)),
  ].join('\n');
}

function drawBar({ from, to, label, style = 'box', row }: Placed, { y, toX }: LaneSpace): string {
  const at: Point = [toX(from) + 1, y + row * BAR_STEP];
  const width = toX(to) - toX(from) - 2;
  assertFits(label, 'note', width);
  const place: Point = [at[0] + width / 2, at[1] + BAR_HEIGHT / 2 + 4];
  const classes = style === 'outside' ? 'accent dashed' : style;
  return `${box(at, [width, BAR_HEIGHT], classes)}\n${text(label, place, 'note', { style: 'plain' })}`;
}

function drawMark(label: string, x: number, bottom: number): string {
  const line = `<path class="line dashed" d="M${x} ${TOP - 8} L${x} ${bottom}"/>`;
  return `${line}\n${text(label, [x, TOP - 16], 'note')}`;
}
