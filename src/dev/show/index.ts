export { CSI_IDENTITIES } from './csi-identity.ts';
export { showVolume } from './csi-show.ts';
export { ShowConsole } from './console.ts';
export { EXIT_WITH_PARENT } from './exiting-with-parent.ts';
export { prepareAgent, type InjectedPod } from './local-agent.ts';
export { showPod } from './show.ts';
export type { OpenOptions } from './open.ts';
export type { RealVault } from './vaults.ts';
export type { ConfigMap } from './volumes.ts';
