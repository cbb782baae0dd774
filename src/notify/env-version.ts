/**
 * Reads which version of its environment variables a container runs with.
 */
import { DEFAULTS } from '../config/schema/index.ts';
import { environmentOf } from './process-table.ts';

/** Reads the environment of the containers of this pod. */
export function createEnvReader({ procDirectory = '/proc' } = {}): {
  /** The version that the main process of a container started with; undefined if it cannot be seen. */
  versionOf(container: string): Promise<number | undefined>;
} {
  return {
    async versionOf(container) {
      const text = await environmentOf(procDirectory, container, DEFAULTS.ENV_VERSION);
      return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
    },
  };
}
