/**
 * Opens answers at once, where they are.
 */
import { openAnswer } from './answer.ts';
import type { AnswerOpener } from './types.ts';

/** For whoever has none but its own answers to read. */
export const OPENER: AnswerOpener = {
  open({ body, shape, nowMs }, signal) {
    if (signal.aborted) return Promise.reject(signal.reason as Error); // what `throwIfAborted` throws
    return Promise.resolve(openAnswer(body, shape, nowMs));
  },
};
