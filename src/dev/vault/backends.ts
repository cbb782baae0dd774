/**
 * Which types can be mounted.
 */
import type { Clock } from '../../core/index.ts';
import { createCertBackend } from './auth/cert.ts';
import { createJwtBackend } from './auth/jwt.ts';
import { createKubernetesBackend } from './auth/kubernetes.ts';
import { createSpiffeBackend } from './auth/spiffe.ts';
import type { BackendFactory } from './core/mounts.ts';
import { createDatabaseBackend } from './secrets/database.ts';
import { createKv1Backend } from './secrets/kv1.ts';
import { createKv2Backend } from './secrets/kv2.ts';
import { createPkiBackend } from './secrets/pki.ts';
import type { DatabaseUsers } from './secrets/users.ts';

/** Creates backends by the type in `sys/mounts/...`, or `auth/` and the type in `sys/auth/...`. */
export function createBackendFactory(clock: Clock, users: DatabaseUsers): BackendFactory {
  return (type, mount) => {
    switch (type) {
      case 'kv':
        return mount.options['version'] === '2' ? createKv2Backend(clock) : createKv1Backend(mount);
      case 'database':
        return createDatabaseBackend(clock, users);
      case 'pki':
        return createPkiBackend(clock, mount);
      case 'auth/jwt':
        return createJwtBackend(clock, mount);
      case 'auth/kubernetes':
        return createKubernetesBackend(clock, mount);
      case 'auth/cert':
        return createCertBackend(clock, mount);
      case 'auth/spiffe':
        return createSpiffeBackend(clock, mount);
      default:
        return undefined;
    }
  };
}
