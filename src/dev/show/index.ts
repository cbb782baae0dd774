export { CSI_IDENTITIES, type CsiIdentity } from './csi-identity.ts';
export { showVolume, type CsiShowOptions } from './csi-show.ts';
export { ShowConsole } from './console.ts';
export { EXIT_WITH_PARENT } from './exiting-with-parent.ts';
export { prepareAgent, type InjectedPod, type LocalAgent } from './local-agent.ts';
export { showPod, type ShowOptions } from './show.ts';
export type { OpenOptions } from './open.ts';
export type { RealVault } from './vaults.ts';
export type { ConfigMap } from './volumes.ts';
