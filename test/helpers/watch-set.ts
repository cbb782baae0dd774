/** A reader that looks at the delivered set all the time, as an application might at the worst moment. */
import { readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** The content of files of one set, by name. */
export type FileContents = Readonly<Record<string, string>>;

/** A reader at work. */
export interface SetWatch extends AsyncDisposable {
  /** Sets seen that differ from the one before. */
  readonly sets: readonly FileContents[];
  /** Ends it; throws what it found wrong. Gives the number of looks. */
  stop(): Promise<number>;
}

/**
 * Watches files from the moment they are first there. Once there, each must stay so, through its visible name;
 * all of one set must satisfy `check`, which throws where they do not go together.
 */
export function watchSet(
  directory: string,
  names: readonly string[],
  check: (files: FileContents) => void,
): SetWatch {
  const end = new AbortController();
  const sets: FileContents[] = [];
  let looks = 0;
  const watching = (async (): Promise<void> => {
    while (!end.signal.aborted) {
      const set = lookAtSet(directory, names, sets.length > 0);
      if (set !== undefined) {
        looks += 1;
        check(set);
        if (JSON.stringify(set) !== JSON.stringify(sets.at(-1))) sets.push(set);
      }
      await delay(3);
    }
  })();
  watching.catch(() => undefined); // stop() reports it
  const stop = async (): Promise<number> => {
    end.abort();
    await watching;
    return looks;
  };
  return { sets, stop, [Symbol.asyncDispose]: () => stop().then(() => undefined) };
}

/**
 * One look at the files: through their visible names, then all of one set. Undefined where one is not there yet;
 * with `mustExist` that is an error.
 */
export function lookAtSet(
  directory: string,
  names: readonly string[],
  mustExist: boolean,
): FileContents | undefined {
  try {
    for (const name of names) readFileSync(join(directory, name));
    return readSet(directory, names);
  } catch (error) {
    if (mustExist) throw error;
    return undefined;
  }
}

/** Files opened through one directory are of one set; two swaps later it is gone, and one looks again. */
function readSet(directory: string, names: readonly string[]): FileContents {
  for (;;) {
    const set = readlinkSync(join(directory, '..data'));
    try {
      const files = names.map((name) => [name, readFileSync(join(directory, set, name), 'utf8')]);
      return Object.fromEntries(files) as FileContents; // pairs of texts
    } catch (error) {
      if (set === readlinkSync(join(directory, '..data'))) throw error;
    }
  }
}
