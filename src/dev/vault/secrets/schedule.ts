/**
 * Rotation schedules: the five fields of cron, in UTC.
 */
import { Refusal } from '../core/messages.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
/** Longest interval of a meaningful schedule: 29 February comes every eight years at the latest. */
const HORIZON_MS = 8 * 366 * DAY_MS;

/** When something is due. */
export interface Schedule {
  /** The first time after an instant. Milliseconds since the epoch. */
  next(afterMs: number): number;
}

const RANGES = [
  [0, 59],
  [0, 23],
  [1, 31],
  [1, 12],
  [0, 6],
] as const;

/** Reads `minute hour day month weekday` with `*`, lists, ranges and steps. @throws Refusal 400 */
export function parseSchedule(text: string): Schedule {
  const parts = text.trim().split(/\s+/);
  const fields = RANGES.map(([from, to], index) => parseField(parts[index] ?? '', from, to));
  const [minutes, hours, days, months, weekdays] = fields;
  if (parts.length !== RANGES.length || fields.includes(undefined)) {
    throw new Refusal(400, `could not parse rotation_schedule: expected exactly 5 fields`);
  }
  const isDay = (date: Date): boolean =>
    days?.has(date.getUTCDate()) === true &&
    months?.has(date.getUTCMonth() + 1) === true &&
    weekdays?.has(date.getUTCDay()) === true;
  const isTime = (date: Date): boolean =>
    minutes?.has(date.getUTCMinutes()) === true && hours?.has(date.getUTCHours()) === true;
  return {
    next(afterMs) {
      let atMs = (Math.floor(afterMs / MINUTE_MS) + 1) * MINUTE_MS;
      while (atMs < afterMs + HORIZON_MS) {
        const date = new Date(atMs);
        if (!isDay(date)) atMs = (Math.floor(atMs / DAY_MS) + 1) * DAY_MS;
        else if (isTime(date)) return atMs;
        else atMs += MINUTE_MS;
      }
      throw new Refusal(400, 'rotation_schedule is never due');
    },
  };
}

function parseField(text: string, from: number, to: number): Set<number> | undefined {
  const values = new Set<number>();
  for (const part of text.split(',')) {
    const run = parseRun(part, from, to);
    if (run === undefined || run.begin < from || run.end > to || run.step < 1) return undefined;
    for (let value = run.begin; value <= run.end; value += run.step) values.add(value);
  }
  return values;
}

function parseRun(part: string, first: number, last: number): Run | undefined {
  const match = /^(?<begin>\*|\d+)(?:-(?<end>\d+))?(?:\/(?<step>\d+))?$/.exec(part);
  if (match?.groups === undefined) return undefined;
  const { begin, end, step } = match.groups;
  const isOpen = begin === '*' || step !== undefined;
  return {
    begin: begin === '*' ? first : Number(begin),
    end: Number(end ?? (isOpen ? last : begin)),
    step: Number(step ?? 1),
  };
}

interface Run {
  readonly begin: number;
  readonly end: number;
  readonly step: number;
}
