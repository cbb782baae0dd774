/** A mount, as the kernel lists it. */
export interface KnownMount {
  /** The kernel's number of the mount. */
  readonly id: number;
  readonly type: string;
  /** The device of the mount call; for tmpfs an arbitrary name. */
  readonly source: string;
}

/** A tmpfs to mount. */
interface TmpfsMount {
  /** Descriptor of the open target directory. */
  readonly descriptor: number;
  readonly source: string;
  /** Options of mount(8), such as `size=16777216`. */
  readonly options: readonly string[];
}

/**
 * Mounting, which requires privileges, from src/platform to the mounter. Targets are open directories, so that no name
 * is resolved twice. Failures are errors with the message of the system's program.
 */
export interface SystemMounts {
  /** The mount that an open file is on; undefined if this process does not see it. */
  mountOf(descriptor: number): Promise<KnownMount | undefined>;
  mountTmpfs(mount: TmpfsMount): Promise<void>;
  /** Detaches the mount whose root is open; processes that have files open there can still use them. */
  unmount(descriptor: number): Promise<void>;
}
