/**
 * Which version of the project this is. The bundle holds it; nothing is read when a process starts.
 */
import project from '../../package.json' with { type: 'json' };

/** The version of this project, which is the tag of its image. */
export const VERSION: string = project.version;
