export { MounterClient } from './client.ts';
export { Mounter, type MounterOptions, type MounterPort, type MountSpec } from './mounter.ts';
export { placeOf, targetOf, type Place } from './place.ts';
export { serveMounter } from './server.ts';
