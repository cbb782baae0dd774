/** A child process, from src/platform, which starts it, to the pool of such processes. */
export interface Child {
  /** Sends bytes; those that do not fit in the pipe are buffered. */
  send(chunks: readonly Uint8Array[]): void;
  /** Ends it with SIGKILL. */
  kill(): void;
  /** Resident memory, in bytes; undefined if the system does not report it. */
  residentBytes(): number | undefined;
}

/** Events of a child process. */
interface ChildEvents {
  received(chunk: Uint8Array): void;
  /** Called once, last of all. `reason` is a short text without any data of its jobs. */
  ended(reason: string): void;
}

/** Starts a child process; never throws: if it cannot be started, `ended` is called. */
export type StartChild = (events: ChildEvents) => Child;
