/**
 * The description of a gRPC service for transport and servers.
 */

/** A service whose methods are named `M`. */
export interface Protocol<M extends string = string> {
  /** Prefix of every method's path. */
  readonly service: string;
  /** Method name -> whether it streams, and the names of its messages. */
  readonly methods: Readonly<
    Record<M, { readonly isStream: boolean; readonly request: string; readonly response: string }>
  >;
  /** Metadata that every request must carry, so that a browser or proxy cannot be tricked into making one. */
  readonly securityHeader?: { readonly name: string; readonly value: string };
}
