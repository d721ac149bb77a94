/** Apart from the index, since it brings gRPC along. */
export * from '../gen/mecai/v1/coordinator.ts';
