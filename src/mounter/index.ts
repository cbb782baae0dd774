export { MounterClient, type MounterClientOptions } from './client.ts';
export {
  Mounter,
  type KnownMount,
  type MounterOptions,
  type MounterPort,
  type MountSpec,
  type SystemMountsPort,
} from './mounter.ts';
export { placeOf, targetOf, type Place } from './place.ts';
export { serveMounter, type MounterServerOptions } from './server.ts';
