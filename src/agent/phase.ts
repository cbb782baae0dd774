/**
 * What the agent knows of the files of its pod.
 */

/**
 * The files of this pod: `none` written yet; `good`; or with `revoked` credentials, so that no application may start
 * with them and the next files need a notification.
 */
export type FilesState = 'none' | 'good' | 'revoked';
