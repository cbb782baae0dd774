/**
 * The identity that the same user has at every login.
 */
import { createHash } from 'node:crypto';

/** An entity ID in the form of a UUID, equal for equal names at the same mount. */
export function entityIdOf(mountPath: string, name: string): string {
  const hex = createHash('sha256').update(`${mountPath}\n${name}`).digest('hex');
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20, 32),
  ].join('-');
}

/** The name of a login method in display names: `auth/team/jwt/` is `team-jwt`. */
export function mountName(mountPath: string): string {
  return mountPath
    .replace(/^auth\//, '')
    .replace(/\/$/, '')
    .replaceAll('/', '-');
}
