/** One file to deliver, from the engine to the file writer. */
export interface OutputFile {
  /** Below the output directory; see `outputPathProblem` of src/core for the rules. */
  readonly path: string;
  /** Permission bits, 0 to 0o777, set whatever the umask is. */
  readonly mode: number;
  readonly content: Uint8Array;
}
