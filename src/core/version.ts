/**
 * The version of the project. It is part of the bundle, so that no file is read at the start.
 */
import project from '../../package.json' with { type: 'json' };

/** The version of this project, which is the tag of its image. */
export const VERSION: string = project.version;
