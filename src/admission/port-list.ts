/**
 * Lists of ports, as annotations and arguments of service meshes have them: comma-separated numbers and ranges.
 */

/** One item: a port or a range, in any amount of white space. */
const ITEM = /^\s*(\d{1,5})\s*(?:-\s*(\d{1,5})\s*)?$/;

/** Longer lists are left as they are: the record of an injection has them twice. */
export const MAX_LIST_CHARS = 4096;

/** True if the list has the port, by itself or within a range. An item that is not a port is ignored. */
export function hasPort(list: string, port: number): boolean {
  return list.split(',').some((item) => {
    const [, first, last = first] = ITEM.exec(item) ?? [];
    return Number(first) <= port && port <= Number(last);
  });
}

/** The list with the port as its last item. What it had is kept as it is written. */
export function withPort(list: string, port: number): string {
  const items = list.trimEnd().replace(/,$/, '');
  return items.trim() === '' ? String(port) : `${items},${port}`;
}
