/**
 * Which types can be mounted. Ring: dev.
 */
import type { Clock } from '../../core/index.ts';
import { createJwtBackend } from './auth/jwt.ts';
import type { BackendFactory } from './core/mounts.ts';
import { createKv1Backend } from './secrets/kv1.ts';
import { createKv2Backend } from './secrets/kv2.ts';

/** Makes backends by the type in `sys/mounts/...`, or `auth/` and the type in `sys/auth/...`. */
export function createBackendFactory(clock: Clock): BackendFactory {
  return (type, mount) => {
    switch (type) {
      case 'kv':
        return mount.options['version'] === '2' ? createKv2Backend(clock) : createKv1Backend(mount);
      case 'auth/jwt':
        return createJwtBackend(clock, mount);
      default:
        return undefined;
    }
  };
}
